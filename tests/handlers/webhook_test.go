package handlers_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/handler/webhook"
)

const secret = "a secret of the tests of handlers"

// A hook is a backend that is asked by HTTP, and that can be ill.
type hook struct {
	*ledger
	t         testing.TB
	addr      string
	protected http.Handler

	mood    atomic.Pointer[mood] // nil: well
	strayed atomic.Int64         // requests that came elsewhere than they should

	mu       sync.Mutex // guards all below
	listener net.Listener
	conns    map[net.Conn]http.ConnState
	serving  sync.WaitGroup
}

// A mood answers a call, or does not. It panics if it is to end the connection.
type mood func(w http.ResponseWriter, r *http.Request, c *told)

// newHook starts a backend, which is well.
func newHook(t testing.TB) *hook {
	t.Helper()
	h := &hook{ledger: newLedger(), t: t, addr: "127.0.0.1:0"}
	h.protected = webhook.Protect(http.HandlerFunc(h.answer), webhook.ReceiverOptions{Secrets: []string{secret}})
	h.open()
	t.Cleanup(h.kill)
	return h
}

func (h *hook) url() string { return "http://" + h.addr + "/hook" }

// open begins to listen, where it has listened before.
func (h *hook) open() {
	h.t.Helper()
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.addr, h.listener, h.conns = l.Addr().String(), l, make(map[net.Conn]http.ConnState)
	srv := &http.Server{Handler: h, ConnState: h.noteConn}
	h.serving.Go(func() { _ = srv.Serve(l) }) // it ends when it is killed
}

func (h *hook) noteConn(c net.Conn, state http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(h.conns, c)
	} else {
		h.conns[c] = state
	}
}

// kill ends it as a crash does, with all its connections.
func (h *hook) kill() {
	h.mu.Lock()
	h.listener.Close()
	for c := range h.conns {
		reset(c)
	}
	h.mu.Unlock()
	h.serving.Wait()
}

func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// connected is how many connections it has.
func (h *hook) connected() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

// ail has it be in a mood; nil: well.
func (h *hook) ail(m mood) {
	if m == nil {
		h.mood.Store(nil)
	} else {
		h.mood.Store(&m)
	}
}

// ServeHTTP takes a call, which must be one.
func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/hook" || r.Method != http.MethodPost {
		h.strayed.Add(1)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // it was killed, or given up
	}
	c, err := readCall(body)
	if err != nil {
		h.fault("%v", err)
		return
	}
	if id := r.Header.Get(webhook.HeaderID); id != c.ID {
		h.fault("%v: the header's id is %q, the call's %q", c, id, c.ID)
	}
	h.note(c)
	if ill := h.mood.Load(); ill != nil {
		if err := webhook.Verify(secret, r.Header, body, time.Now()); err != nil {
			h.fault("%v: %v", c, err)
		}
		(*ill)(w, r, c)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	h.protected.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
}

type callKey struct{}

// answer is what is protected.
func (h *hook) answer(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(callKey{}).(*told)
	h.answered(c) // before the page can hear of it
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%q,"result":%s}`, c.ID, c.result())
}

// result is the proper answer to a call.
func (c *told) result() string {
	if c.Method == "event" {
		return answerTo(c.n)
	}
	return "null"
}
