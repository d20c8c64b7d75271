package cluster

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// behind are readers who have not heard the last word on all of their channels.
func (w *world) behind() (all []*reader) {
	for _, r := range w.verified {
		if int(r.lastWords.Load()) < len(r.client.channels) {
			all = append(all, r)
		}
	}
	return all
}

// judge looks, when all is over, at what could not be seen before.
func (w *world) judge() {
	for i, at := range w.epochs.births() {
		if i > 0 && !w.journal.explainedAt(endsEpoch, at) {
			w.journal.find("the log began epoch %d of %d, %v after the world, and nothing had happened to it", i+1, len(w.epochs.births()), at.Sub(w.begun).Round(time.Millisecond))
		}
	}
	if most := 1 + 2*w.journal.count(endsEpoch); len(w.epochs.births()) > most {
		w.journal.find("the log has had %d epochs, and there was reason for %d", len(w.epochs.births()), most)
	}
	logs := make(map[*channel][]placed)
	for _, ch := range w.channels {
		logs[ch] = ch.log()
		w.inOrder(ch, logs[ch])
	}
	for _, r := range w.verified {
		for _, st := range r.seats {
			w.complete(r, st, logs[st.channel])
		}
	}
	for _, ch := range w.channels {
		w.everHeard(ch)
	}
	for _, n := range w.roster.nodes {
		n.mu.Lock()
		for _, text := range n.panic {
			w.journal.find("%s", text)
		}
		n.mu.Unlock()
	}
}

// inOrder: what a publisher was told of, one by one, comes in its order.
func (w *world) inOrder(ch *channel, log []placed) {
	type who struct{ epoch, publisher int }
	last := make(map[who]int)
	for _, p := range log {
		if outcome(p.outcome.Load()) != acknowledged || p.tries.Load() > 1 {
			continue
		}
		k := who{p.epoch, p.publisher}
		if n, ok := last[k]; ok && n > p.n {
			w.journal.find("message %d of %s is at %v, after %d", p.n, ch.name, p.place, n)
		}
		last[k] = p.n
	}
}

// complete: a reader has heard all that there is in what it was told it has.
func (w *world) complete(r *reader, st *seat, log []placed) {
	for _, p := range log {
		if within(st.spans, p.place) && !st.heard.has(p.n) && !within(st.lost, p.place) {
			w.journal.find("message %d of %s at %v has not come to %s by %v, said %v after the beginning",
				p.n, st.name, p.place, r.client.id, r.way, (time.Duration(p.begun) * time.Microsecond).Round(time.Millisecond))
			return // one is enough
		}
	}
}

// everHeard: what was acknowledged has been heard by somebody, unless its epoch
// has ended by a fault, or nobody was there.
func (w *world) everHeard(ch *channel) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	lost := 0
	for _, s := range ch.sayings {
		switch {
		case outcome(s.outcome.Load()) != acknowledged || s.heard.Load() || ch.members == 0:
		case w.journal.explainedAt(endsEpoch|forgets, w.begun.Add(time.Duration(s.begun)*time.Microsecond)),
			w.journal.explainedAt(endsEpoch|forgets, w.begun.Add(time.Duration(s.begun)*time.Microsecond+5*time.Second)):
			lost++
		default:
			w.journal.find("a message of %s, acknowledged, was heard by nobody", ch.name)
		}
	}
	if lost > 0 {
		w.journal.mu.Lock()
		w.journal.notes["acknowledged, and ended with its epoch"] += lost
		w.journal.mu.Unlock()
	}
}

// remains says what is left of the readers; "": nothing.
func (w *world) remains(ctx context.Context) string {
	w.figures.mu.Lock()
	start := w.figures.start
	w.figures.end = nil
	w.figures.mu.Unlock()
	for i, n := range w.roster.nodes {
		s, err := n.look(ctx)
		if err != nil {
			return err.Error()
		}
		w.figures.mu.Lock()
		w.figures.end = append(w.figures.end, s)
		w.figures.mu.Unlock()
		first := start[min(i, len(start)-1)]
		switch {
		case s.sessions > 0 || s.clients > 0 || s.sockets > 0 && !w.plan.hasty:
			return fmt.Sprintf("%s has %d sessions, %d clients and %d sockets: %s", n.name, s.sessions, s.clients, s.sockets, w.who(ctx))
		case s.goroutines > first.goroutines+30:
			return fmt.Sprintf("%s has %d goroutines, %d at the beginning", n.name, s.goroutines, first.goroutines)
		case s.descriptors > first.descriptors+30:
			return fmt.Sprintf("%s has %d descriptors, %d at the beginning", n.name, s.descriptors, first.descriptors)
		}
	}
	if w.store == nil {
		return ""
	}
	keys, err := w.store.lasting()
	if err != nil {
		return err.Error()
	}
	if keys > mostKeys && !w.plan.hasty {
		return fmt.Sprintf("Redis has %d keys that do not expire: %s", keys, w.store.names())
	}
	return ""
}

// who names some of the clients there are.
func (w *world) who(ctx context.Context) string {
	replies, err := w.backend.post(ctx, []call{{"2.0", "clients", map[string]any{"limit": 30}, 1}})
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%.1000s %v", replies[0].Result, replies[0].Error)
}

// mostKeys is how many keys of the log's own there may be, that do not expire.
const mostKeys = 40

// names are some of the keys that do not expire.
func (s *store) names() string {
	text, _ := s.now().do("EVAL", `local all = {}
		for _, k in ipairs(redis.call('KEYS', '*')) do
			if redis.call('TTL', k) == -1 then all[#all + 1] = k .. ' ' .. redis.call('TYPE', k).ok end
		end
		return table.concat(all, ', ', 1, math.min(#all, 100))`, "0")
	return text
}

// lasting is how many keys do not expire.
func (s *store) lasting() (int, error) {
	text, err := s.now().do("INFO", "keyspace")
	if err != nil {
		return 0, err
	}
	var numbers [2]int
	for i, name := range []string{"keys=", "expires="} {
		_, rest, _ := strings.Cut(text, name)
		value, _, _ := strings.Cut(rest, ",")
		numbers[i], _ = strconv.Atoi(value) // without any there is no line
	}
	return numbers[0] - numbers[1], nil
}
