package longpoll_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/longpoll"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A place is a hub with its poll handler.
type place struct {
	t    testing.TB
	hub  *hub.Hub
	poll *longpoll.Handler
	lot  *park.Lot
	keys map[string]string
	stop func() // ends the hub's log
}

// newPlace returns a place that lives as long as the test, or, in a bubble, as
// the bubble. Who is to come again is told three times the retry time.
func newPlace(t testing.TB, opts longpoll.Options, limits hub.Limits) *place {
	t.Helper()
	p := &place{t: t, keys: map[string]string{}}
	newKey := func() string { return fmt.Sprintf("%032x", len(p.keys)) }
	p.hub = hub.New(hub.Config{NewKey: newKey, Limits: limits}, memory.New())
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.hub.Run(ctx) })
	p.stop = func() { cancel(); running.Wait() }
	t.Cleanup(p.stop)
	<-p.hub.Ready()
	if opts.Jitter == nil {
		opts.Jitter = func(d time.Duration) time.Duration { return 3 * d }
	}
	if opts.Lot == nil {
		opts.Lot = park.New(park.Options{})
	}
	p.lot = opts.Lot
	p.poll = longpoll.New(p.hub, opts)
	return p
}

// holding are the options for a lot of these.
func holding(o park.Options) longpoll.Options {
	return longpoll.Options{Options: transport.Options{Lot: park.New(o)}}
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// client makes a client on the channels; its key is p.keys[id].
func (p *place) client(id string, channels ...string) {
	p.t.Helper()
	key, _, err := p.hub.CreateClient(p.t.Context(), id)
	p.must(err)
	p.keys[id] = key
	for _, ch := range channels {
		_, err := p.hub.Subscribe(p.t.Context(), []hub.Pair{{Client: id, Channel: ch}})
		p.must(err)
	}
}

// say publishes a message and returns how it is on the wire.
func (p *place) say(channel, text string) string {
	p.t.Helper()
	data, err := json.Marshal(text)
	p.must(err)
	to, err := p.hub.Publish(p.t.Context(), hub.Publication{Channel: channel, Sender: json.RawMessage(`"bob"`), Data: data})
	p.must(err)
	return fmt.Sprintf(`{"channel":%q,"id":%d,"pos":"%v","sender":"bob","data":%s,"time":`, channel, to.ID, to.Position, data)
}

// query asks for the clients, from the top of the log on, which is where they
// have been told everything.
func (p *place) query(ids ...string) string {
	q := "cursor=" + p.hub.Position().String()
	for _, id := range ids {
		q += "&client_id=" + url.QueryEscape(id+hub.Delimiter+p.keys[id])
	}
	return q
}

// get answers one poll on the caller's goroutine.
func (p *place) get(query string) *httptest.ResponseRecorder {
	return p.do(httptest.NewRequest(http.MethodGet, "/longpoll?"+query, nil))
}

func (p *place) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.poll.ServeHTTP(w, r)
	return w
}

// post returns a poll of the client as it is on the wire, from the top on.
func (p *place) post(id string) string {
	body := fmt.Sprintf(`{"clients":[{"id":%q,"key":%q}],"cursor":"%v"}`, id, p.keys[id], p.hub.Position())
	return fmt.Sprintf("POST /longpoll HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// empty is the answer to who has heard everything.
func (p *place) empty() string {
	return fmt.Sprintf(`{"cursor":"%v","signals":[],"messages":[]}`, p.hub.Position())
}

// connect returns a connection to a server that gives a request's body, as the
// real one does, only so long.
func (p *place) connect() net.Conn {
	const patience = 10 * time.Second
	ours, theirs := net.Pipe()
	l := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conn <- theirs
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.must(http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience)))
		p.poll.ServeHTTP(w, r)
	})}
	served := make(chan struct{})
	go func() { defer close(served); p.lot.Serve(srv, l) }()
	p.t.Cleanup(func() { srv.Close(); ours.Close(); <-served })
	return ours
}

// oneConn is a listener that accepts what it is given.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error   { close(l.closed); return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// want wants an answer to begin so and to have exactly these headers, and the
// right length.
func want(t *testing.T, w *httptest.ResponseRecorder, status int, body string, header http.Header) {
	t.Helper()
	if w.Code != status || !strings.HasPrefix(w.Body.String(), body) {
		t.Errorf("\ngot  %d %s\nwant %d %s", w.Code, w.Body, status, body)
	}
	header = header.Clone()
	header.Set("Content-Length", fmt.Sprint(w.Body.Len()))
	if got := w.Result().Header; fmt.Sprint(got) != fmt.Sprint(header) {
		t.Errorf("header\n got %v\nwant %v", got, header)
	}
}

// plain is all that a plain answer's header has beside its length.
var plain = http.Header{
	"Content-Type":           {"application/json"},
	"Cache-Control":          {"no-cache, no-store"},
	"X-Content-Type-Options": {"nosniff"},
}

// script is all that a JSONP answer's header has beside its length.
var script = http.Header{
	"Content-Type":                 {"text/javascript; charset=utf-8"},
	"Cache-Control":                {"no-cache, no-store"},
	"X-Content-Type-Options":       {"nosniff"},
	"Content-Disposition":          {`attachment; filename="poll.js"`},
	"Referrer-Policy":              {"no-referrer"},
	"Cross-Origin-Resource-Policy": {"cross-origin"},
}

func with(header http.Header, name, value string) http.Header {
	header = header.Clone()
	header.Set(name, value)
	return header
}
