package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// A way is what a reader reads by.
type way uint8

const (
	byGet way = iota
	byPost
	byScript
	byEvents
	byLines
	byFrames
	byIOFrames
	byIOPolls
	byIOUpgrade
	byLegacy
	ways // how many there are
)

func (w way) String() string {
	return [...]string{"/longpoll by GET", "/longpoll by POST", "/longpoll by JSONP", "/sse", "/stream", "/websocket",
		"Socket.IO, WebSocket", "Socket.IO, polling", "Socket.IO, polling and upgrade", "/message_updates"}[w]
}

// bySocketIO reports whether it is one of those of Socket.IO.
func (w way) bySocketIO() bool { return w >= byIOFrames && w <= byIOUpgrade }

// A reader is one client's, on one connection at a time.
type reader struct {
	*world
	*checker // nil: it only remembers where it was
	client   *client
	way      way
	was      way  // at the beginning
	io       bool // its way is one of Socket.IO, and stays so
	session  string
	rand     *rand.Rand
	dial     func() (net.Conn, error)
	key      string // that the last request was made with
	cursor   string
	late     time.Time // up to here it may be superseded by itself
	socket   socket    // of Socket.IO

	stalls  atomic.Int64          // how long it reads nothing, ns, once
	doubles atomic.Bool           // it polls twice, once
	turn    atomic.Int32          // the way it takes next, and one more
	ended   atomic.Pointer[error] // how the last connection has

	mu   sync.Mutex // guards all below
	conn net.Conn
}

func (w *world) newReader(c *client, by way, verified bool, seed uint64) *reader {
	r := &reader{world: w, client: c, way: by, was: by, io: by.bySocketIO(), session: "s-" + c.id, rand: rand.New(rand.NewPCG(w.plan.seed, seed))}
	r.dial = func() (net.Conn, error) { return net.DialTimeout("tcp", w.roster.pick().public, 2*time.Second) }
	if verified {
		r.checker = newChecker(w, c)
		r.dial = func() (net.Conn, error) { return net.DialTimeout("tcp", w.front.addr(), 2*time.Second) }
	}
	return r
}

// run reads until ctx ends.
func (r *reader) run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { r.hangUp(false) })()
	wait := time.Duration(0)
	for ctx.Err() == nil {
		if t := r.turn.Swap(0); t > 0 {
			r.way = way(t - 1)
		}
		begun := time.Now()
		err := r.once(ctx)
		r.ended.Store(&err)
		if ctx.Err() == nil && err != nil {
			r.wrong(err)
		}
		wait = min(max(2*wait, 50*time.Millisecond), time.Second)
		if time.Since(begun) > time.Second {
			wait = 50 * time.Millisecond
		}
		pause(ctx, time.Duration(1+r.rand.Int64N(int64(wait))))
	}
}

// A broken promise is an error that no connection is to blame for.
type broken struct{ error }

// plight says how a reader is that does not hear what it should.
func (r *reader) plight() string {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	var err error
	if e := r.ended.Load(); e != nil {
		err = *e
	}
	return fmt.Sprintf("%s by %v: its key is void: %v, is being made: %v; its last connection ended with %v", r.client.id, r.way, r.client.void, r.client.busy, err)
}

func (r *reader) wrong(err error) {
	var b broken
	if errors.As(err, &b) {
		r.journal.find("%s by %v: %v", r.client.id, r.way, err)
	}
}

// hold notes the connection that the reader has.
func (r *reader) hold(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = c
}

// hangUp ends the reader's connection, from outside.
func (r *reader) hangUp(abrupt bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.conn == nil:
	case abrupt:
		reset(r.conn)
	default:
		r.conn.Close()
	}
}

// once connects and reads until that connection ends.
func (r *reader) once(ctx context.Context) error {
	c, err := r.dial()
	if err != nil {
		return err
	}
	l := newLine(c)
	r.hold(c)
	defer c.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.key = r.client.await(ctx)
	if r.checker != nil {
		r.remember()
	}
	switch {
	case r.way.bySocketIO():
		return r.readSocketIO(l)
	case r.way >= byEvents && r.way <= byFrames:
		return r.stream(l)
	}
	for n := 1 + r.rand.IntN(20); n > 0 && ctx.Err() == nil; n-- {
		if err := r.poll(l); err != nil {
			return err
		}
	}
	return nil
}

// remember has what is known of a client that is gone be forgotten.
func (r *reader) remember() {
	r.shown, r.again = r.key, r.io
	if r.gone {
		r.forget()
		r.cursor, r.socket = "", socket{}
	}
}

// wait is how long a poll is held, or how often a stream without news says so.
const wait = 5 * time.Second

// patience is how long a reader waits beyond that.
const patience = 7 * time.Second

// query is what the reader says of itself.
func (r *reader) query() string {
	q := "client_id=" + url.QueryEscape(r.client.id+"_!!_"+r.key)
	if r.way == byLegacy {
		return q + "&callback=cb&v=2"
	}
	q += fmt.Sprintf("&session=%s&wait=%d", r.session, wait.Milliseconds())
	if r.cursor != "" {
		q += "&cursor=" + r.cursor
	}
	return q
}

func (r *reader) hello() string {
	h := map[string]any{"clients": []any{map[string]any{"id": r.client.id, "key": r.key}}, "session": r.session, "wait": wait.Milliseconds()}
	if r.cursor != "" {
		h["cursor"] = r.cursor
	}
	text, _ := json.Marshal(h) // strings and numbers
	return string(text)
}

// poll asks once.
func (r *reader) poll(l *line) error {
	if err := r.ask(l); err != nil {
		return err
	}
	if r.doubles.Swap(false) {
		r.askTwice()
	}
	if d := r.stalls.Swap(0); d > 0 {
		time.Sleep(time.Duration(d))
	}
	held := wait
	if r.way == byLegacy {
		held = 25 * time.Second
	}
	l.patient(held + patience)
	h, text, err := l.answer()
	if err != nil {
		r.late = time.Now().Add(2 * wait)
		return err
	}
	if r.way == byLegacy {
		return r.legacy(h, text)
	}
	if r.way == byScript {
		inner, ok1 := bytes.CutPrefix(text, []byte("/**/cb("))
		inner, ok2 := bytes.CutSuffix(inner, []byte(");"))
		if ok1 != ok2 || !ok1 && h.status == 200 {
			return broken{fmt.Errorf("a script is %.200q", text)}
		}
		if ok1 {
			text = inner
		}
	}
	if h.status != 200 && h.status != 404 {
		return r.refused(h, text)
	}
	if err := r.hear(text); err != nil {
		return err
	}
	if h.closing {
		return io.EOF
	}
	return nil
}

func (r *reader) ask(l *line) error {
	switch r.way {
	case byPost:
		return l.request("POST", "/longpoll", "", r.hello())
	case byScript:
		return l.request("GET", "/longpoll?callback=cb&"+r.query(), "", "")
	case byLegacy:
		return l.request("GET", "/message_updates?"+r.query(), "", "")
	}
	return l.request("GET", "/longpoll?"+r.query(), "", "")
}

// askTwice makes the same request by another connection, and does not care what
// becomes of it.
func (r *reader) askTwice() {
	c, err := r.dial()
	if err != nil {
		return
	}
	r.late = time.Now().Add(3 * wait)
	_ = r.ask(newLine(c))
	r.errands.Go(func() {
		pause(r.over, 300*time.Millisecond)
		c.Close()
	})
}

// legacy takes an answer to a poll of 2010.
func (r *reader) legacy(h head, text []byte) error {
	if h.status == 404 && bytes.Contains(text, []byte(`"gone"`)) {
		r.client.lost(r.world, r.key)
		return io.EOF
	}
	if h.status != 200 {
		return r.refused(h, text)
	}
	if !bytes.HasPrefix(text, []byte("/**/cb({")) || !bytes.HasSuffix(text, []byte("});")) {
		return broken{fmt.Errorf("an answer is %.200q", text)}
	}
	return nil
}

// refused looks at why.
func (r *reader) refused(h head, text []byte) error {
	switch h.status {
	case 429, 502, 503:
		return fmt.Errorf("refused: %d", h.status)
	}
	return broken{fmt.Errorf("answered %d %.200q", h.status, text)}
}

var errOver = errors.New("the session has ended")

// hear takes a batch.
func (r *reader) hear(text []byte) error {
	if r.checker == nil {
		return r.hearLightly(text)
	}
	r.told = text
	var b batch
	if err := json.Unmarshal(text, &b); err != nil {
		return broken{fmt.Errorf("%w: %.200q", err, text)}
	}
	if b.Error != nil {
		return r.error(b.Error.Code)
	}
	r.batch(&b)
	r.cursor = r.at.String()
	return r.obey(b.Signals)
}

func (r *reader) error(code int) error {
	if code != 429 && code != 503 {
		return broken{fmt.Errorf("error %d", code)}
	}
	return fmt.Errorf("refused: %d", code)
}

// obey reports whether signals end the session.
func (r *reader) obey(signals []signal) error {
	for i := range signals {
		switch signals[i].Type {
		case "superseded":
			if time.Now().After(r.late) {
				return broken{errors.New("superseded, by nobody")}
			}
			return errOver
		case "gone", "drain":
			return errOver
		}
	}
	return nil
}

// hearLightly remembers the cursor, and looks whether it is over.
func (r *reader) hearLightly(text []byte) error {
	if rest, ok := bytes.CutPrefix(text, []byte(`{"cursor":"`)); ok {
		at, _, _ := bytes.Cut(rest, []byte{'"'})
		r.cursor = string(at)
	}
	r.figures.light.Add(1)
	if bytes.Contains(text, []byte(`"type":"gone"`)) {
		r.client.lost(r.world, r.key)
		return errOver
	}
	if bytes.Contains(text, []byte(`"type":"drain"`)) || bytes.Contains(text, []byte(`"type":"superseded"`)) || bytes.Contains(text, []byte(`{"error":`)) {
		return errOver
	}
	return nil
}
