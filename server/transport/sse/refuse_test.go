package sse_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/sse"
)

// An EventSource is told what is for good by 204, and what passes by a stream
// that ends, after which it comes again; others by what they understand.
func TestRefusals(t *testing.T) {
	h := hub.New(hub.Config{NewKey: func() string { return "right" }, Limits: hub.Limits{SessionsPerClient: 1}}, memory.New())
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	defer func() { stop(); running.Wait() }()
	<-h.Ready()
	if _, _, err := h.CreateClient(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	other, err := h.Attach(ctx, []hub.Credentials{{ID: "alice", Key: "right"}}, hub.Start{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	handler := sse.New(h, transport.Options{Lot: park.New(park.Options{})})
	const stream = "text/event-stream"
	for _, tt := range []struct {
		name, key, accept string
		inHeader          bool
		status            int
		body              string // begins with it
	}{
		{"EventSource, wrong key", "wrong", stream, false, 204, ""},
		{"curl, wrong key", "wrong", "*/*", false, 204, ""},
		{"fetch, wrong key", "wrong", stream, true, 404, `{"signals":[{"type":"gone","client":"alice"}]`},
		{"EventSource, full", "right", stream, false, 200, "retry: "},
		{"curl, full", "right", "*/*", false, 429, `{"error":{"code":429,"type":"limit_reached"`},
		{"fetch, full", "right", stream, true, 429, `{"error":{"code":429,"type":"limit_reached"`},
	} {
		token := "alice" + hub.Delimiter + tt.key
		r := httptest.NewRequest("GET", "/sse?client_id="+url.QueryEscape(token), nil)
		if tt.inHeader {
			r = httptest.NewRequest("GET", "/sse", nil)
			r.Header.Set("Authorization", "Shaveet "+token)
		}
		r.Header.Set("Accept", tt.accept)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if got := w.Body.String(); w.Code != tt.status || !strings.HasPrefix(got, tt.body) || tt.body == "" && got != "" {
			t.Errorf("%s: %d %s", tt.name, w.Code, got)
		}
	}
}

// A Last-Event-ID of somebody else is a position of nowhere; one that is none at
// all is refused.
func TestStrangeEventIDs(t *testing.T) {
	h := hub.New(hub.Config{NewKey: func() string { return "key" }}, memory.New())
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	defer func() { stop(); running.Wait() }()
	<-h.Ready()
	if _, _, err := h.CreateClient(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	drained, drain := context.WithCancel(ctx)
	drain() // each stream ends after what it begins with
	handler := sse.New(h, transport.Options{Lot: park.New(park.Options{Drain: drained})})
	for id, want := range map[string]string{
		"urn:uuid:5e94c686-2c0b-4f9b-958c-92ccc3bbb4eb": "event: reset",
		"7":                        "event: reset",
		"ffffffffffffffff.1":       "event: reset",
		h.Position().String():      "event: drain",
		strings.Repeat("x", 257):   `"code":400`,
		strings.Repeat("1", 1<<10): `"code":400`,
	} {
		r := httptest.NewRequest(http.MethodGet, "/sse?cursor=now&client_id=alice"+hub.Delimiter+"key", nil)
		r.Header.Set("Last-Event-ID", id)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if got := w.Body.String(); !strings.Contains(got, want) || want != "event: reset" && strings.Contains(got, "event: reset") {
			t.Errorf("%.40q: %d %s", id, w.Code, got)
		}
	}
}
