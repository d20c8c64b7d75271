package hub_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/shaveet/shaveet/server/hub"
)

// TestPolls plays generated histories of pages that hold no position: polls
// that overlap, for one client or for two, whose answers are taken or get
// lost. A poll is given all that its clients have not taken, unless another
// poll's answer to one of them is under way; so every message goes to exactly
// one answer that was taken, and those in lost answers come again.
func TestPolls(t *testing.T) {
	flag.Set("rapid.nofailfile", "true")
	flag.Set("rapid.shrinktime", "-1s") // see TestDelivery
	flag.Set("rapid.checks", cmp.Or(os.Getenv("SHAVEET_HISTORIES"), "3000"))
	flag.Set("rapid.seed", strconv.FormatUint(rand.Uint64(), 10)) // the bubble's clock is always the same
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			w := newWorld(t, aPage, 1)
			defer w.stop()
			w.ending = true // nothing else happens inside a step of reading
			p := &pages{world: w, given: map[string]uint64{}}
			for _, id := range clientIDs[:2] {
				w.create(id)
				w.subscribe(id, "C")
			}
			for range rapid.IntRange(5, 60).Draw(t, "steps") {
				p.act()
			}
			for len(p.open) > 0 {
				p.close(0, false)
			}
		})
	})
}

// pages are the polls that are open, and what they ought to get.
type pages struct {
	world *world
	open  []*page
	given map[string]uint64 // by client: taken up to here
}

type page struct {
	poll   *hub.Poll
	ids    []string
	began  uint64
	answer []*hub.Message
	end    uint64
}

func (p *pages) act() {
	w := p.world
	switch n := w.draw(14); {
	case n < 3:
		w.publish(rapid.SampledFrom([]string{"A", "C"}).Draw(w.t, "channel"))
	case n >= 10:
		e := w.emission()
		e.Namespace, e.PublishID = "/", ""
		for i := range e.Rooms {
			e.Rooms[i] = rapid.SampledFrom([]string{"A", "C", "client:a", "client:b"}).Draw(w.t, "room")
		}
		w.emit(e)
	case n < 5 && len(p.open) < 6:
		p.begin()
	case len(p.open) == 0:
	case n < 8:
		p.look(p.open[w.draw(len(p.open))])
	default:
		p.close(w.draw(len(p.open)), w.draw(2) == 0)
	}
}

func (p *pages) begin() {
	w := p.world
	ids := [][]string{{"a"}, {"b"}, {"a", "b"}, {"b", "a"}}[w.draw(4)]
	var creds []hub.Credentials
	for _, id := range ids {
		creds = append(creds, hub.Credentials{ID: id, Key: w.keys[id]})
	}
	poll, err := w.hub.AttachPoll(context.Background(), creds, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	p.open = append(p.open, &page{poll: poll, ids: ids, began: w.model.top})
}

// look has a page ask what there is now.
func (p *pages) look(pg *page) {
	if pg.answer != nil {
		return
	}
	w := p.world
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	got, err := pg.poll.Next(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		w.t.Fatal(err)
	}
	want, end := p.owed(pg)
	if !slices.EqualFunc(got, want, func(m *hub.Message, e *event) bool { return m.Seq == e.seq && m.ID == e.id }) {
		w.t.Fatalf("poll of %v: %d messages, want %d", pg.ids, len(got), len(want))
	}
	if len(got) > 0 {
		pg.answer = slices.Clone(got)
		pg.end = end
	}
}

// owed is what the page must be given: what one of its clients has not taken
// and the channels still have, as much as a batch may hold; and up to where it
// then has everything.
func (p *pages) owed(pg *page) (owed []*event, end uint64) {
	for _, other := range p.open {
		if other.answer != nil && slices.ContainsFunc(other.ids, func(id string) bool { return slices.Contains(pg.ids, id) }) {
			return nil, 0
		}
	}
	for {
		owed = p.notTaken(pg)
		if len(owed) == 0 {
			return nil, 0
		}
		end = p.world.model.top
		if most := p.world.limits.BatchMessages; len(owed) > most {
			owed = owed[:most]
			end = owed[most-1].seq
		}
		if owed = slices.DeleteFunc(owed, func(e *event) bool { return p.withheld(pg, e) }); len(owed) > 0 {
			return owed, end
		}
		// What is not for these clients is over without an answer.
		for _, id := range pg.ids {
			p.given[id] = max(p.given[id], end)
		}
	}
}

func (p *pages) notTaken(pg *page) (events []*event) {
	for _, e := range p.world.model.events {
		if !e.evicted && (e.kind != volatile || e.seq > pg.began) && slices.ContainsFunc(pg.ids, func(id string) bool {
			return e.owed[p.world.model.clients[id].life] && e.seq > p.given[id]
		}) {
			events = append(events, e)
		}
	}
	return events
}

// withheld reports whether e is not for any of the page's clients.
func (p *pages) withheld(pg *page, e *event) bool {
	if u := e.union; u != nil && (p.excepted(pg, u) || slices.ContainsFunc(u.before(e), func(o *event) bool { return p.hears(pg, o, e) })) {
		return true
	}
	return e.late() || !slices.ContainsFunc(pg.ids, func(id string) bool {
		return e.owed[p.world.model.clients[id].life] && e.seq > p.given[id] && !slices.Contains(e.exclude, id)
	})
}

// excepted reports whether the event is not for one of the page's clients.
func (p *pages) excepted(pg *page, u *union) bool {
	return slices.ContainsFunc(pg.ids, func(id string) bool {
		return slices.Contains(u.exceptIDs, id) || u.exceptLives[p.world.model.clients[id].life]
	})
}

// hears reports whether the page hears an earlier copy than e: in this answer,
// or in the last one, if that ended between the two.
func (p *pages) hears(pg *page, earlier, e *event) bool {
	from := uint64(math.MaxUint64)
	for _, id := range pg.ids {
		if earlier.owed[p.world.model.clients[id].life] {
			from = min(from, p.given[id])
		}
	}
	return from < earlier.seq || e.union.first() <= from && from < e.seq
}

// close ends a page's poll; its answer was taken or not.
func (p *pages) close(i int, taken bool) {
	pg := p.open[i]
	p.open = slices.Delete(p.open, i, i+1)
	if taken && pg.answer != nil {
		pg.poll.Done(true)
		for _, id := range pg.ids {
			p.given[id] = max(p.given[id], pg.end)
		}
	}
	pg.poll.Close()
}
