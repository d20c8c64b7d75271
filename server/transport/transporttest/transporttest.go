// Package transporttest states, once for all transports, what a transport
// promises its readers. A transport's own tests say how it is read and run the
// table:
//
//	func TestPromises(t *testing.T) {
//		transporttest.Run(t, transporttest.Transport{Handler: …, Dial: …})
//	}
//
// Everything happens inside one bubble of testing/synctest, over connections
// in memory that the table breaks, cuts short and stalls as it likes. So no
// test waits for real, and "at once" means within no time at all.
package transporttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// A Transport is one way from the hub to its readers.
type Transport struct {
	// Handler returns what serves h. When drain ends, it lets go of whoever
	// it holds.
	Handler func(h *hub.Hub, drain context.Context) http.Handler
	// Dial returns a reader for the clients that creds name, as a page would
	// be one. It does no I/O; client brings all requests to the handler,
	// whatever host they name.
	Dial func(client *http.Client, creds []hub.Credentials) Reader
}

// A Reader reads as a page does. Its methods are called by one goroutine at a
// time.
type Reader interface {
	// Read returns what comes next, waiting for it; nothing if the server had
	// nothing to say for a while. Whatever an error cuts short has not come:
	// the next Read connects again, and goes on where the last good one was.
	// The error is [ErrGone] where the server says that the reader's clients
	// do not exist, or not with these keys.
	Read(ctx context.Context) ([]Message, error)
	// Close ends the reader and its connections.
	Close()
}

// A Message is what a reader is told.
type Message struct {
	Channel string
	ID      uint64
	Text    string // a string's content
	Sender  string // as JSON
}

// ErrGone is what readers of no client get.
var ErrGone = errors.New("no such client, or another key")

// Run holds the transport to every promise.
func Run(t *testing.T, tr Transport) {
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tr)
				defer w.end()
				p.keeps(w)
			})
		})
	}
}

// A world is a hub behind the transport, and those who read from it.
type world struct {
	t         *testing.T
	hub       *hub.Hub
	transport Transport
	network   *network
	drain     context.CancelFunc
	closers   []func() // last first
}

func newWorld(t *testing.T, tr Transport) *world {
	keys := 0
	newKey := func() string { keys++; return fmt.Sprintf("key-%d", keys) }
	w := &world{t: t, transport: tr, network: newNetwork()}
	w.hub = hub.New(hub.Config{NewKey: newKey}, memory.New())
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.hub.Run(ctx) }()
	<-w.hub.Ready()
	w.atEnd(func() { stop(); <-stopped })

	drain, endDrain := context.WithCancel(context.Background())
	w.drain = endDrain
	srv := &http.Server{Handler: tr.Handler(w.hub, drain)}
	go srv.Serve(w.network)
	w.atEnd(func() { endDrain(); srv.Close() })
	return w
}

func (w *world) atEnd(f func()) { w.closers = append(w.closers, f) }

func (w *world) end() {
	for len(w.closers) > 0 {
		last := len(w.closers) - 1
		w.closers[last]()
		w.closers = w.closers[:last]
	}
	synctest.Wait()
	if n := w.hub.Stats().Sessions; n != 0 {
		w.t.Errorf("%d sessions are left when all connections have gone", n)
	}
}

// must fails the test if something that has to work does not.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// client makes a client that is on the channels.
func (w *world) client(id string, channels ...string) hub.Credentials {
	w.t.Helper()
	key, _, err := w.hub.CreateClient(w.t.Context(), id)
	w.must(err)
	for _, ch := range channels {
		_, err := w.hub.Subscribe(w.t.Context(), []hub.Pair{{Client: id, Channel: ch}})
		w.must(err)
	}
	return hub.Credentials{ID: id, Key: key}
}

func (w *world) publish(channel, text string) {
	w.t.Helper()
	data, err := json.Marshal(text)
	w.must(err)
	_, err = w.hub.Publish(w.t.Context(), hub.Publication{Channel: channel, Sender: json.RawMessage(`"bob"`), Data: data})
	w.must(err)
}

// dial returns a reader, which is closed when the world ends.
func (w *world) dial(creds ...hub.Credentials) Reader {
	client := w.network.client()
	r := w.transport.Dial(client, creds)
	w.atEnd(func() { r.Close(); client.CloseIdleConnections() })
	return r
}

// read returns what r hears first.
func (w *world) read(r Reader) []Message {
	w.t.Helper()
	for range 3 {
		got, err := r.Read(w.t.Context())
		w.must(err)
		if len(got) > 0 {
			return got
		}
	}
	w.t.Fatal("nothing comes")
	return nil
}

// texts reads until n messages of the channel have come, which are not
// notices, and returns their texts.
func (w *world) texts(r Reader, n int, channel string) []string {
	w.t.Helper()
	var texts []string
	for len(texts) < n {
		for _, m := range w.read(r) {
			if m.Channel == channel && m.Sender == `"bob"` {
				texts = append(texts, m.Text)
			}
		}
	}
	return texts
}

// cut breaks all connections, once the server has seen what became of its
// answers: one that breaks earlier may come again.
func (w *world) cut() {
	synctest.Wait()
	w.network.cut()
}

// A call is a Read under way.
type call struct {
	cancel context.CancelFunc
	done   chan struct{}
	got    []Message
	err    error
}

// wait begins a Read and returns when it waits, or has ended.
func (w *world) wait(r Reader) *call {
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.got, c.err = r.Read(ctx)
	}()
	w.atEnd(func() { cancel(); <-c.done })
	synctest.Wait()
	return c
}

// ended reports whether the Read has ended, or does so without waiting.
func (c *call) ended() bool {
	synctest.Wait()
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}
