package server

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// lines are the log's lines with this message.
func (l *logBuffer) lines(message string) (found []map[string]any) {
	for text := range strings.Lines(l.String()) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

const traceHex = "0af7651916cd43dd8448eb211c80319c"

func TestAccessLog(t *testing.T) {
	main, _, _, log := doors(t, func(c *Config) { c.AccessLog = 1 })
	ask := func(method, target string) {
		r := plainCall()
		r.Method = method
		r.URL, _ = r.URL.Parse(target)
		r.Header.Set("Traceparent", "00-"+traceHex+"-b7ad6b7169203331-01")
		answerOf(main, r)
	}
	ask("POST", "/?token=secret")
	ask("GET", "/longpoll?client_id=a_!!_secret")
	ask("BREW", "/nothing/secret")
	lines := log.lines("request")
	if len(lines) != 3 || strings.Contains(log.String(), "secret") {
		t.Fatalf("%s", log)
	}
	for i, want := range []map[string]any{
		{"level": "INFO", "method": "POST", "route": "/", "status": 200., "bytes": 7., "peer": "127.0.0.1:40000", "trace_id": traceHex},
		{"level": "INFO", "method": "GET", "route": "/longpoll", "peer": "127.0.0.1:40000", "trace_id": nil}, // a reader's trace is its own
		{"level": "INFO", "method": "other", "route": "other", "status": 404.},
	} {
		for key, value := range want {
			if lines[i][key] != value {
				t.Errorf("line %d: %s = %v, want %v", i, key, lines[i][key], value)
			}
		}
		if _, ok := lines[i]["took"].(float64); !ok {
			t.Errorf("line %d does not say how long it took", i)
		}
	}
}

func TestAccessLogIsSampled(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 100, 7: 14, 1000: 0} {
		main, _, _, log := doors(t, func(c *Config) { c.AccessLog = n })
		for range 100 {
			answerOf(main, plainCall())
		}
		if got := len(log.lines("request")); got != want {
			t.Errorf("one in %d: %d lines for 100 requests, want %d", n, got, want)
		}
	}
}

// watched is a server with one more route.
func watched(t *testing.T, h http.HandlerFunc) (*Server, http.Handler, *logBuffer) {
	t.Helper()
	r := prepare(t, DefaultConfig())
	return r.srv, r.srv.watch("/test", h), r.log
}

// What failed is logged, asked for or not; but a flood of failures is no flood
// of lines, and what was left out is counted.
func TestFailuresAreLogged(t *testing.T) {
	srv, h, log := watched(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) })
	for range 1000 {
		answerOf(h, httptest.NewRequest("GET", "/test", nil))
	}
	lines := log.lines("request failed")
	if len(lines) < 1 || len(lines) > 10 || lines[0]["level"] != "WARN" || lines[0]["status"] != 502. {
		t.Errorf("%d lines for 1000 failures: %s", len(lines), log)
	}
	if got := srv.metric(t, "shaveet_log_lines_dropped_total"); got != float64(1000-len(lines)) {
		t.Errorf("%v lines were dropped, want %d", got, 1000-len(lines))
	}
	if got := srv.metric(t, `shaveet_http_requests_total{code="5xx",route="/test"}`); got != 1000 {
		t.Errorf("%v failures were counted, want 1000", got)
	}
}

// Each request is counted as what it was.
func TestRequestsAreCounted(t *testing.T) {
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		code    string
	}{
		"says nothing":   {func(http.ResponseWriter, *http.Request) {}, "2xx"},
		"writes":         {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") }, "2xx"},
		"an early hint":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(304) }, "3xx"},
		"two statuses":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(500) }, "4xx"},
		"a panic":        {func(http.ResponseWriter, *http.Request) { panic("out of cheese") }, "5xx"},
		"an abort":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "gone"},
		"a late failure": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x"); panic("late") }, "5xx"},
	} {
		srv, h, _ := watched(t, tt.handler)
		func() {
			defer func() {
				if v := recover(); v != nil && v != http.ErrAbortHandler {
					t.Errorf("%s: %v got through", name, v)
				}
			}()
			answerOf(h, httptest.NewRequest("GET", "/test", nil))
		}()
		if got := srv.metric(t, `shaveet_http_requests_total{code="`+tt.code+`",route="/test"}`); got != 1 {
			t.Errorf("%s: is not counted as %s", name, tt.code)
		}
		if got := srv.metric(t, `shaveet_http_requests_in_flight{route="/test"}`); got != 0 {
			t.Errorf("%s: %v under way at the end", name, got)
		}
	}
}

// A poll whose caller has left was not answered.
func TestPollsThatAreLeftAreCounted(t *testing.T) {
	t.Parallel()
	r := start(t)
	key := r.client("alice") // without a channel there is nothing to hear
	for route, path := range map[string]string{
		"/message_updates": pollPath("alice", key),
		"/longpoll":        longpollPath("alice", key) + "&cursor=" + r.srv.hub.Position().String(),
	} {
		c := dial(t, r.pub)
		io.WriteString(c, getRequest(path))
		spin(t, func() bool { return r.srv.hub.Stats().Sessions == 1 })
		c.Close()
		r.wantMetric(`shaveet_http_requests_total{code="gone",route="`+route+`"}`, 1)
		r.wantMetric(`shaveet_http_requests_total{code="2xx",route="`+route+`"}`, 0)
		spin(t, func() bool { return r.srv.hub.Stats().Sessions == 0 })
	}
}

func TestTraceID(t *testing.T) {
	const parent = "b7ad6b7169203331"
	for value, good := range map[string]bool{
		"00-" + traceHex + "-" + parent + "-01":     true,
		"00-" + traceHex + "-" + parent + "-00":     true,
		"cc-" + traceHex + "-" + parent + "-01":     true, // a version to come
		"cc-" + traceHex + "-" + parent + "-01-new": true,

		"":                              false,
		traceHex:                        false,
		"00-" + traceHex + "-" + parent: false,
		"00-" + traceHex + "-" + parent + "-01-x":                     false,
		"00-" + traceHex + "-" + parent + "-1":                        false,
		"ff-" + traceHex + "-" + parent + "-01":                       false,
		"00-" + traceHex[1:] + "-" + parent + "-01":                   false,
		"00-" + traceHex + "-" + parent[1:] + "-01":                   false,
		"00-" + strings.ToUpper(traceHex) + "-" + parent + "-01":      false,
		"00-" + strings.Repeat("0", 32) + "-" + parent + "-01":        false,
		"00-" + traceHex + "-" + strings.Repeat("0", 16) + "-01":      false,
		"00-" + strings.Repeat("x", 32) + "-" + parent + "-01":        false,
		" 00-" + traceHex + "-" + parent + "-01":                      false,
		"00-" + traceHex + "-" + parent + "-01\nlevel=ERROR":          false,
		"00-" + traceHex + "-" + parent + "-01, 00-" + traceHex + "-": false,
	} {
		r := plainCall()
		r.Header.Set("Traceparent", value)
		if got := traceID(r); (got == traceHex) != good || !good && got != "" {
			t.Errorf("%q: %q", value, got)
		}
	}
	r := plainCall()
	r.Header["Traceparent"] = []string{"00-" + traceHex + "-" + parent + "-01", "00-" + traceHex + "-" + parent + "-01"}
	if traceID(r) != "" {
		t.Error("two headers are taken for one")
	}
}

// Whatever is logged for a request of a trace says so.
func TestTraceInTheLog(t *testing.T) {
	r := prepare(t, DefaultConfig())
	req := plainCall()
	req.Header.Set("Traceparent", "00-"+traceHex+"-b7ad6b7169203331-01")
	ctx := withTrace(req).Context()
	r.srv.called(ctx, "publish", -32003, 0)
	r.srv.log.With("a", 1).WithGroup("g").InfoContext(ctx, "else")
	r.srv.log.Info("nobody's")
	if lines := r.log.lines("admin call"); len(lines) != 1 || lines[0]["trace_id"] != traceHex || lines[0]["method"] != "publish" ||
		lines[0]["level"] != "DEBUG" || lines[0]["code"] != -32003. {
		t.Errorf("%v", lines)
	}
	if lines := r.log.lines("else"); len(lines) != 1 || !strings.Contains(r.log.String(), `"g":{"trace_id":"`+traceHex) {
		t.Errorf("%v", lines)
	}
	if lines := r.log.lines("nobody's"); len(lines) != 1 || lines[0]["trace_id"] != nil {
		t.Errorf("%v", lines)
	}
}
