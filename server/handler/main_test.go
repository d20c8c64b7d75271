package handler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a handler and a backend, most of it for bubbles.
type world struct {
	t   testing.TB
	h   *Handler
	log *buffer

	mu     sync.Mutex // guards all below
	calls  []Call
	answer func(ctx context.Context, c *Call) (string, error)
	seen   []string // what Observe was told
	done   []string // what was done with sockets and the hub, in order
	fault  map[string]error
}

// newWorld makes a handler, which is closed at the end.
func newWorld(t testing.TB, l Limits) *world {
	w := &world{t: t, log: new(buffer), fault: make(map[string]error)}
	w.h = New(w, w, Options{Name: "chat", Limits: l, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
		Observe: func(method, result string, took time.Duration) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.seen = append(w.seen, fmt.Sprintf("%s %s", method, result))
		}})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		w.h.Close(ctx)
	})
	return w
}

// answers has all calls be answered with this.
func (w *world) answers(result string, err error) {
	w.answerBy(func(context.Context, *Call) (string, error) { return result, err })
}

func (w *world) answerBy(f func(ctx context.Context, c *Call) (string, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

// Call is part of [Caller].
func (w *world) Call(ctx context.Context, c *Call) (json.RawMessage, error) {
	w.mu.Lock()
	w.calls = append(w.calls, *c)
	f := w.answer
	w.mu.Unlock()
	if f == nil {
		return json.RawMessage("null"), nil
	}
	result, err := f(ctx, c)
	return json.RawMessage(result), err
}

// Emit and Position are parts of [Hub].
func (w *world) Emit(_ context.Context, e hub.Emission) (hub.Published, error) {
	volatile := ""
	if e.Volatile {
		volatile = " volatile"
	}
	return hub.Published{}, w.do("emit", fmt.Sprintf("%s %s in %s to %q except %q by %s%s", e.Event, e.Args, e.Namespace, e.Rooms, e.Except, e.Sender, volatile))
}

func (w *world) Position() hub.Position { return hub.Position{Epoch: 0xabc, Seq: 7} }

func (w *world) do(what, with string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, strings.TrimSpace(what+" "+with))
	return w.fault[what]
}

// tries returns all calls as they were made.
func (w *world) tries() []Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// made returns the calls that were made, as methods and some of their parameters,
// and forgets them.
func (w *world) made() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		p := paramsOf(w.t, &c)
		all = append(all, strings.TrimSpace(fmt.Sprintf("%d %s %s%s %s", p.Serial, c.Method, p.SID, p.Client, p.Event)))
	}
	w.calls = nil
	return all
}

func (w *world) observed() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all, w.seen = w.seen, nil
	return all
}

func (w *world) performed() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all, w.done = w.done, nil
	return all
}

// wantSame compares lists, as one says them.
func wantSame(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("%.100s:\n%.5000s\nwant:\n%.5000s", what, a, b)
	}
}

type someParams struct {
	Serial uint64
	Epoch  string
	Time   time.Time
	SID    string
	Client string `json:"client_id"`
	Event  string
	Reason string
}

func paramsOf(t testing.TB, c *Call) (p someParams) {
	t.Helper()
	if err := json.Unmarshal(c.Params, &p); err != nil {
		t.Fatalf("%s: %v", c.Params, err)
	}
	return p
}

// A fakeSocket is a socket that says what is done with it.
type fakeSocket struct {
	w         *world
	id, owner string
	data      json.RawMessage
}

func (w *world) socket(id string) *fakeSocket { return &fakeSocket{w: w, id: id} }

func (s *fakeSocket) ID() string            { return s.id }
func (s *fakeSocket) Client() string        { return s.owner }
func (s *fakeSocket) Namespace() string     { return "/chat" }
func (s *fakeSocket) Data() json.RawMessage { return s.data }
func (s *fakeSocket) Disconnect()           { s.w.do("disconnect", "") }

func (s *fakeSocket) Join(_ context.Context, rooms ...string) error {
	return s.w.do("join", fmt.Sprintf("%q", rooms))
}

func (s *fakeSocket) Leave(_ context.Context, rooms ...string) error {
	return s.w.do("leave", fmt.Sprintf("%q", rooms))
}

func (s *fakeSocket) SetData(_ context.Context, data json.RawMessage) error {
	return s.w.do("data", string(data))
}

// event returns an event that wants an answer, which is noted as one of the things
// that are done.
func (w *world) event(name string) *socketio.Event {
	return &socketio.Event{Name: name, Args: json.RawMessage(`["hello"]`), Ack: func(args json.RawMessage) error {
		return w.do("ack", string(args))
	}}
}

// say has a socket say something, and returns when the handler has done with it.
func (w *world) say(sid, name string) { w.h.event(context.Background(), w.socket(sid), w.event(name)) }

func (w *world) connect(sid string) error {
	return w.h.connect(context.Background(), w.socket(sid), &socketio.Handshake{Header: http.Header{}})
}

func (w *world) leaves(sid string) { w.h.disconnect(w.socket(sid), "transport close") }

func notSent() error { return &NotSent{errors.New("connection refused")} }

// hang answers nothing.
func hang(ctx context.Context, _ *Call) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

type buffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
