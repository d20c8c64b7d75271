package original_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/rpcapi"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/original"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rounds is how often a race is run: a few times usually, and as often as it
// takes to believe it when SHAVEET_LONG is set.
func rounds(quick, long int) int {
	if os.Getenv("SHAVEET_LONG") == "1" {
		return long
	}
	return quick
}

// A place is a hub with its poll handler and its admin API.
type place struct {
	t    testing.TB
	hub  *hub.Hub
	poll *original.Handler
	lot  *park.Lot
	api  *rpcapi.API
	keys map[string]string
}

// newPlace returns a place that lives as long as the test, or, in a bubble,
// as the bubble.
func newPlace(t testing.TB, opts original.Options, limits ...hub.Limits) *place {
	t.Helper()
	var l hub.Limits
	if len(limits) > 0 {
		l = limits[0]
	}
	var keys atomic.Int64
	newKey := func() string { return fmt.Sprintf("%032x", keys.Add(1)) }
	p := &place{t: t, keys: map[string]string{}}
	p.hub = hub.New(hub.Config{NewKey: newKey, Limits: l}, memory.New())
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.hub.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	<-p.hub.Ready()
	if opts.Lot == nil {
		opts.Lot = park.New(park.Options{})
	}
	p.lot = opts.Lot
	p.poll = original.New(p.hub, opts)
	p.api = rpcapi.New(p.hub, rpcapi.Options{})
	return p
}

// call has the admin API do something and returns the result as JSON.
func (p *place) call(method string, params ...any) string {
	p.t.Helper()
	answer := p.handle(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	var envelope struct {
		Result json.RawMessage
		Error  json.RawMessage
	}
	if err := json.Unmarshal(answer, &envelope); err != nil || envelope.Error != nil {
		p.t.Errorf("%s%v: %s %v", method, params, answer, err)
	}
	return string(envelope.Result)
}

// refused has the admin API refuse something.
func (p *place) refused(method string, params ...any) {
	p.t.Helper()
	answer := p.handle(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if !bytes.Contains(answer, []byte(`"error"`)) {
		p.t.Errorf("%s%v: %s", method, params, answer)
	}
}

func (p *place) handle(request any) []byte {
	p.t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		p.t.Error(err)
	}
	return p.api.Handle(context.Background(), body)
}

// client makes a client on the channels; its key is p.keys[id].
func (p *place) client(id string, channels ...string) {
	p.t.Helper()
	var key string
	if err := json.Unmarshal([]byte(p.call("create_client", id)), &key); err != nil {
		p.t.Error(err)
	}
	p.keys[id] = key
	for _, ch := range channels {
		p.call("subscribe", id, ch)
	}
}

func (p *place) say(channel, text string) {
	p.t.Helper()
	p.call("new_message", "bob", text, channel, false)
}

// query is the query string of a poll for the clients.
func (p *place) query(ids ...string) string {
	q := "callback=cb"
	for _, id := range ids {
		q += "&client_id=" + url.QueryEscape(id+hub.Delimiter+p.keys[id])
	}
	return q
}

// get answers one poll on the caller's goroutine.
func (p *place) get(query string) *httptest.ResponseRecorder {
	return p.do(context.Background(), http.MethodGet, query)
}

func (p *place) do(ctx context.Context, method, query string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.poll.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, "/message_updates?"+query, nil))
	return w
}

// wantPoll polls for the clients and wants exactly this JSON in the call.
func (p *place) wantPoll(want string, ids ...string) {
	p.t.Helper()
	w := p.get(p.query(ids...))
	if got, want := w.Body.String(), "/**/cb("+want+");"; w.Code != 200 || got != want {
		p.t.Errorf("poll of %v:\ngot  %d %s\nwant 200 %s", ids, w.Code, got, want)
	}
}

// A held is a poll under way.
type held struct {
	cancel context.CancelFunc
	done   chan struct{}
	w      *httptest.ResponseRecorder
}

// hold begins a poll for the clients.
func (p *place) hold(ids ...string) *held {
	query := p.query(ids...)
	ctx, cancel := context.WithCancel(context.Background())
	h := &held{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		h.w = p.do(ctx, http.MethodGet, query)
	}()
	p.t.Cleanup(func() { cancel(); <-h.done })
	return h
}

// answered reports whether the poll has ended.
func (h *held) answered() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// body waits for the answer.
func (h *held) body() string {
	<-h.done
	return h.w.Body.String()
}

// A line is one message as a page reads it.
type line struct {
	ID     uint64
	Text   string
	Sender json.RawMessage
}

func (l *line) UnmarshalJSON(b []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) != 3 {
		return fmt.Errorf("%s is not [id, text, publisher]: %v", b, err)
	}
	l.Sender = parts[2]
	return errors.Join(json.Unmarshal(parts[0], &l.ID), json.Unmarshal(parts[1], &l.Text))
}

// news reads the body of an answer.
func news(t testing.TB, body string) map[string][]line {
	t.Helper()
	all, err := parseNews(body)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func parseNews(body string) (all map[string][]line, err error) {
	inner, front := strings.CutPrefix(body, "/**/cb(")
	inner, back := strings.CutSuffix(inner, ");")
	if !front || !back {
		return nil, fmt.Errorf("not a call: %q", body)
	}
	err = json.Unmarshal([]byte(inner), &all)
	return all, err
}

// said returns what bob said on the channel.
func said(all map[string][]line, channel string) []string {
	var texts []string
	for _, l := range all[channel] {
		if string(l.Sender) == `"bob"` {
			texts = append(texts, l.Text)
		}
	}
	return texts
}
