package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// atOnce is how long a message may take: far more than it needs on a busy
// machine, and far less than a buffer that waits to be full would take.
const atOnce = 4 * time.Second

// told is one thing that a reader was told: a whole batch, or that a request or
// connection has ended otherwise than it should.
type told struct {
	Cursor   string
	Signals  []struct{ Type string }
	Messages []message

	status int       // of an answer that is no batch to go on with; 0: it was cut
	err    error     // nil: a batch
	at     time.Time // when it had come
}

type message struct {
	ID   int
	Data string
}

// has reports whether a signal of this type is among what was told.
func (b *told) has(signal string) bool {
	for _, s := range b.Signals {
		if s.Type == signal {
			return true
		}
	}
	return false
}

// A reader reads in one way for one client until the test ends. It does what a
// page does: whatever happens it comes again, with the cursor of the last batch
// that it has had whole.
type reader struct {
	way    way
	base   string
	id     string
	wait   time.Duration // to ask for; 0: nothing is asked for
	net    *network
	told   chan told
	cursor string
	lastID int // of the message before, where there is no cursor

	compressed atomic.Bool // what was answered last

	mu  sync.Mutex // guards key
	key string
}

// A network is what readers reach a site through.
type network struct {
	*http.Client
	dials  atomic.Int32
	window int // bytes that the kernel may keep for a reader that does not look; 0: what it likes

	mu      sync.Mutex    // guards stalled
	stalled chan struct{} // nil, or nothing comes in until it is closed
}

// newNetwork returns a network for one reader or several.
func newNetwork() *network {
	n := new(network)
	n.Client = &http.Client{Transport: &http.Transport{DialContext: n.dial, ForceAttemptHTTP2: true}}
	return n
}

func (n *network) dial(ctx context.Context, kind, addr string) (net.Conn, error) {
	n.dials.Add(1)
	conn, err := new(net.Dialer).DialContext(ctx, kind, addr)
	if err != nil {
		return nil, err
	}
	if n.window > 0 {
		err = conn.(*net.TCPConn).SetReadBuffer(n.window)
	}
	return &stallingConn{conn, n}, err
}

// stall has nothing come in until resume.
func (n *network) stall() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stalled = make(chan struct{})
}

func (n *network) resume() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stalled != nil {
		close(n.stalled)
		n.stalled = nil
	}
}

type stallingConn struct {
	net.Conn
	network *network
}

func (c *stallingConn) Read(p []byte) (int, error) {
	c.network.mu.Lock()
	stalled := c.network.stalled
	c.network.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
	return c.Conn.Read(p)
}

// newReader returns a reader for a new client of the server, on one channel. It
// does not read yet.
func newReader(t *testing.T, srv *live.Server, base string, w way, channel string) *reader {
	t.Helper()
	r := &reader{way: w, base: base, id: w.name + " at " + channel, net: newNetwork(), told: make(chan told, 10_000)}
	r.join(t, srv, channel)
	return r
}

// join makes the reader's client, as a backend does for a page.
func (r *reader) join(t *testing.T, srv *live.Server, channel string) {
	t.Helper()
	key := rpc[string](t, srv, "create_client", r.id)
	rpc[int](t, srv, "subscribe", r.id, channel)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.key = key
}

// read reads from now on.
func (r *reader) read(t *testing.T) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		r.net.resume()
		r.net.CloseIdleConnections()
		<-done
	})
	return r
}

// pause is between two attempts.
const pause = 50 * time.Millisecond

func (r *reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.way.read(ctx, r)
		if err == nil || ctx.Err() != nil {
			continue
		}
		bad, ok := err.(*refused)
		if !ok {
			bad = &refused{told{err: err}}
		}
		bad.err = err
		r.tell(bad.told)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// tell hands over what has come. Nobody may fall so far behind that it waits.
func (r *reader) tell(b told) {
	if b.Cursor != "" {
		r.cursor = b.Cursor
	}
	b.at = time.Now()
	r.told <- b
}

// next returns the next thing the reader is told.
func (r *reader) next(t *testing.T, limit time.Duration) told {
	t.Helper()
	select {
	case b := <-r.told:
		return b
	case <-time.After(limit):
		t.Fatalf("%s: nothing within %v", r.way.name, limit)
		return told{}
	}
}

// until returns the first thing the reader is told that ok likes.
func (r *reader) until(t *testing.T, what string, limit time.Duration, ok func(*told) bool) told {
	t.Helper()
	for deadline := time.After(limit); ; {
		select {
		case b := <-r.told:
			if ok(&b) {
				return b
			}
		case <-deadline:
			t.Fatalf("%s: not within %v: %s", r.way.name, limit, what)
		}
	}
}

// expect reads on until the message last has come, and wants the messages
// first to last, in order, each once and nothing else. What they say behind
// their number is not looked at. With cuts, requests and connections may end.
func (r *reader) expect(t *testing.T, first, last int, cuts bool) {
	t.Helper()
	for want := first; want <= last; {
		b := r.next(t, 3*atOnce)
		if b.err != nil && !cuts {
			t.Fatalf("%s: before message %d: %v", r.way.name, want, b.err)
		}
		if b.has("gap") || b.has("reset") || b.has("gone") {
			t.Fatalf("%s: before message %d: %+v", r.way.name, want, b)
		}
		for _, m := range b.Messages {
			var got int
			if _, err := fmt.Sscanf(m.Data, "message %d.", &got); err != nil || got != want {
				t.Fatalf("%s: message %.40q in place of %d", r.way.name, m.Data, want)
			}
			want++
		}
	}
}

// say publishes the messages first to last on a channel, each with padding.
func say(t *testing.T, srv *live.Server, channel string, first, last int, padding string) {
	t.Helper()
	for i := first; i <= last; i++ {
		rpc[int](t, srv, "new_message", "bob", fmt.Sprintf("message %d.%s", i, padding), channel, false)
	}
}

// token is what the reader shows in a header or a query.
func (r *reader) token() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.id + "_!!_" + r.key
}

// hello is what the reader says in a body.
func (r *reader) hello() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	said := map[string]any{"clients": []any{map[string]string{"id": r.id, "key": r.key}}}
	if r.cursor != "" {
		said["cursor"] = r.cursor
	}
	if r.wait > 0 {
		said["wait"] = r.wait.Milliseconds()
	}
	b, err := json.Marshal(said)
	if err != nil {
		panic(err)
	}
	return b
}

// query is what the reader says in a query beside its token.
func (r *reader) query() url.Values {
	q := make(url.Values)
	if r.cursor != "" {
		q.Set("cursor", r.cursor)
	}
	if r.wait > 0 {
		q.Set("wait", strconv.FormatInt(r.wait.Milliseconds(), 10))
	}
	return q
}
