package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// A wrong is a mistake that a reader makes on purpose, so that it can be seen
// whether the verdict notices.
type wrong uint8

const (
	right      wrong = iota
	eager            // moves its cursor when the first bytes of a batch have come
	hasty            // takes what has come of a cut batch, and its cursor
	deafToGaps       // does not note gaps
	deafToSkips
	deafToChannels
	forgetful // does not drop what it has seen
)

// A way is what a reader reads by.
type way uint8

const (
	byPoll   way = iota // /longpoll
	byScript            // /longpoll, with a callback
	byEvents            // /sse
	byLines             // /stream
	byFrames            // /websocket
)

var allWays = []way{byPoll, byScript, byEvents, byLines, byFrames}

func (w way) String() string {
	return [...]string{"polls", "scripts", "events", "lines", "frames"}[w]
}

func (w way) streams() bool { return w >= byEvents }

// A reader is a strict little client of everything that has a cursor. It moves
// its cursor only when a whole batch has come.
type reader struct {
	name    string
	clients []string
	world   *world
	base    string // URL before the path
	rand    *rand.Rand
	wrong   wrong

	way      way
	restless bool // it reads by another way each time it comes back
	appetite int  // how much it reads by one stream before it leaves
	reloads  int  // how often it may still forget where it was
	session  string
	polls    http.Client
	streams  http.Client // the same, for answers that do not end
	cursor   position
	keys     []string // that the last request was made with
	late     int      // for so many batches more a request that was not answered may arrive
	ledger   *ledger
	count    map[string]int // what has befallen it
}

func newReader(w *world, name, addr string, clients []string) *reader {
	r := &reader{name: name, clients: clients, world: w, base: "http://" + addr, ledger: newLedger(),
		rand: rand.New(rand.NewPCG(w.seed, uint64(len(w.readers))+100)), count: make(map[string]int)}
	if w.plan.reloads {
		r.reloads = 4
	}
	if r.rand.IntN(2) == 0 {
		r.session = "session-" + name
	}
	r.appetite = max(1, w.plan.messages/perSeed)
	r.restless = r.rand.IntN(2) == 0
	r.way = r.anyWay()
	transport := &http.Transport{DisableCompression: true}
	r.polls = http.Client{Timeout: 10 * time.Second, Transport: transport}
	r.streams = http.Client{Transport: transport}
	return r
}

func (r *reader) anyWay() way {
	if len(r.world.plan.ways) > 0 {
		return pick(r.rand, r.world.plan.ways...)
	}
	return pick(r.rand, allWays...)
}

// run reads until it has everything up to the position final, which is there
// when the backend has said its last.
func (r *reader) run(ctx context.Context) error {
	defer r.polls.CloseIdleConnections()
	for range 1_000_000 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("reader %s stands at %v and wants %v: %w", r.name, r.cursor, r.world.final(), err)
		}
		if r.world.through(r.cursor) {
			return nil
		}
		r.comeBack()
		read := r.poll
		if r.way.streams() {
			read = r.stream
		}
		if err := read(ctx); err != nil {
			pause(ctx, time.Duration(1+r.rand.IntN(4))*time.Millisecond)
		}
	}
	return fmt.Errorf("reader %s does not come to an end", r.name)
}

// comeBack is before each connection: the reader may change its way, or forget
// where it was.
func (r *reader) comeBack() {
	seldom := 50
	if r.way.streams() {
		seldom = 5
	}
	if r.reloads > 0 && r.rand.IntN(seldom) == 0 {
		r.reloads--
		r.cursor = position{} // the page has been loaded again
		r.world.stands(r.name, r.cursor)
		r.ledger.forget()
	}
	if r.restless {
		before := r.way
		if r.way = r.anyWay(); r.way != before && !r.cursor.none() {
			r.count["moves"]++
		}
	}
}

// pause is how long a client that found nobody waits before it tries again.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// errAgain: there was no answer to be taken.
var errAgain = errors.New("no answer")

// poll asks once. The error says that there was nothing to be had.
func (r *reader) poll(ctx context.Context) error {
	w := r.words(ctx, r.cursor.String(), 20+r.rand.IntN(200))
	place := pick(r.rand, inQuery, inHeader, inBody)
	callback := r.way == byScript
	if callback {
		place = inQuery // a script has nothing else
		w.query.Set("callback", "cb")
	}
	req := r.request(ctx, "/longpoll", w, place)
	req.Close = r.rand.IntN(8) == 0 // or one connection without faults would last for ever
	asked := r.world.truth.tick()
	resp, err := r.polls.Do(req)
	if err != nil {
		r.unanswered(ctx)
		return errAgain
	}
	return r.whole(ctx, asked, resp, callback)
}

func (r *reader) unanswered(ctx context.Context) {
	if context.Cause(ctx) == errSilent {
		r.count["silences"]++
	}
	r.count["failed requests"]++
	r.late = 4
}

// whole reads an answer that has a length, and closes it.
func (r *reader) whole(ctx context.Context, asked int64, resp *http.Response, callback bool) error {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.ContentLength < 0 || int64(len(body)) != resp.ContentLength {
		if err == nil && resp.ContentLength < 0 && resp.StatusCode == http.StatusOK {
			r.ledger.fault("an answer without a length")
		}
		r.count["broken answers"]++
		r.cut(asked, body)
		return errAgain
	}
	return r.answered(ctx, asked, resp, body, callback)
}

// answered looks at a whole answer.
func (r *reader) answered(ctx context.Context, asked int64, resp *http.Response, body []byte, callback bool) error {
	want := "application/json"
	if resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusRequestTimeout {
		return errAgain // of our request only a part has come there
	}
	if callback {
		want = "text/javascript"
		var ok1, ok2 bool
		body, ok1 = bytes.CutPrefix(body, []byte("/**/cb("))
		body, ok2 = bytes.CutSuffix(body, []byte(");"))
		if !ok1 || !ok2 {
			r.ledger.fault("no call of the callback: %d %.200s", resp.StatusCode, body)
			return errAgain
		}
	}
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, want) {
		r.ledger.fault("Content-Type: %q, want %q: %d %.200s", got, want, resp.StatusCode, body)
		return errAgain
	}
	b, err := parseBatch(body)
	if err != nil {
		r.ledger.fault("%d: %v in %.300s", resp.StatusCode, err, body)
		return errAgain
	}
	if b.Error != nil {
		return r.refused(b.Error)
	}
	r.take(asked, b)
	return r.obey(ctx, b)
}

// refused looks at an error that was answered.
func (r *reader) refused(e *refusal) error {
	if e.Code != 400 && e.Code != 429 && e.Code != 503 {
		r.ledger.fault("error %+v", *e)
	}
	return errAgain
}

// take enters what has come.
func (r *reader) take(asked int64, b batch) {
	keep := b.Signals[:0:0]
	for _, s := range b.Signals {
		if r.wrong == deafToGaps && s.Type == "gap" || r.wrong == deafToSkips && s.Type == "skip" ||
			r.wrong == deafToChannels && s.Type == "channels" && len(r.ledger.answers) > 0 {
			continue
		}
		keep = append(keep, s)
	}
	b.Signals = keep
	r.count[r.way.String()]++
	r.late = max(0, r.late-1)
	r.ledger.take(answer{asked, r.world.truth.tick(), r.cursor, b}, r.wrong != forgetful)
	if !b.Cursor.none() {
		r.cursor = b.Cursor
		r.world.stands(r.name, r.cursor)
	}
}

// obey does what the signals ask for.
func (r *reader) obey(ctx context.Context, b batch) error {
	var err error
	for _, s := range b.Signals {
		switch s.Type {
		case "gone":
			for i, c := range r.clients {
				if c == s.Client {
					r.world.keys.after(ctx, c, r.keys[i])
				}
			}
			err = errAgain
		case "superseded":
			if r.late == 0 {
				r.ledger.fault("superseded by nobody")
			}
			err = errAgain
		case "drain":
			err = errAgain
		}
	}
	return err
}

var (
	cursorOf   = regexp.MustCompile(`(?:"cursor":"|^id: )([^"\n]*)["\n]`)
	messagesOf = regexp.MustCompile(`\{"channel":"[^"]*","id":\d+,"pos":"[^"]*","sender":"[^"]*","data":\{[^}]*\},"time":\d+\}`)
)

// cut is where readers go wrong: a batch has not come whole.
func (r *reader) cut(asked int64, part []byte) {
	if r.wrong != eager && r.wrong != hasty {
		return
	}
	found := cursorOf.FindSubmatch(part)
	if found == nil {
		return
	}
	at, err := parsePosition(string(found[1]))
	if err != nil || at.epoch != r.cursor.epoch {
		return
	}
	if r.wrong == hasty {
		b := batch{Cursor: at}
		for _, text := range messagesOf.FindAll(part, -1) {
			var m message
			if json.Unmarshal(text, &m) == nil {
				b.Messages = append(b.Messages, m)
			}
		}
		r.take(asked, b)
	}
	r.cursor = at
}
