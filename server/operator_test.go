package server

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/gc"
	"github.com/shaveet/shaveet/server/hub"
)

// metrics are what /metrics tells of ours, by name and labels.
func (s *Server) allMetrics(t testing.TB) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	s.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	all := make(map[string]float64)
	for line := range strings.Lines(w.Body.String()) {
		if i := strings.LastIndexByte(line, ' '); strings.HasPrefix(line, "shaveet_") {
			var value float64
			if _, err := fmt.Sscan(line[i:], &value); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			all[line[:i]] = value
		}
	}
	return all
}

// metric is one of them. It is an error if it is not there.
func (s *Server) metric(t testing.TB, name string) float64 {
	t.Helper()
	value, ok := s.allMetrics(t)[name]
	if !ok {
		t.Errorf("there is no metric %s", name)
	}
	return value
}

// wantMetric waits for a metric to have a value: a request is counted when its
// handler has returned, which may be after its answer has come.
func (r *running) wantMetric(name string, want float64) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		got := r.srv.metric(r.t, name)
		if got == want || r.t.Failed() {
			return
		}
		if time.Now().After(deadline) {
			r.t.Errorf("%s = %v, want %v", name, got, want)
			return
		}
	}
}

// What operators read is for those who may call the admin API, and nobody else.
func TestAccessOfOperators(t *testing.T) {
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile", "/debug/pprof/trace"} {
		for _, token := range []string{"", rightToken} {
			for _, dedicated := range []bool{false, true} {
				main, public, admin, _ := doors(t, func(c *Config) {
					c.AdminToken = token
					if dedicated {
						c.AdminListen = "127.0.0.1:0"
					}
				})
				for _, tt := range asks {
					ask := func(h http.Handler, with string) *httptest.ResponseRecorder {
						r := plainCall()
						r.Method, r.URL.Path, r.URL.RawQuery = "GET", path, "seconds=0" // too short to be recorded
						r.Body, r.ContentLength = http.NoBody, 0
						tt.change(r)
						if with != "" {
							r.Header.Set("Authorization", "Bearer "+with)
						}
						return answerOf(h, r)
					}
					what := fmt.Sprintf("%s, %s, token %q, dedicated %v", path, tt.name, token, dedicated)
					may := tt.backend || token != ""
					wantShown(t, what+" at the admin door", ask(admin, token), may)
					wantShown(t, what+" at the main door", ask(main, token), may && !dedicated)
					wantShown(t, what+" at the public door", ask(public, token), false)
					if token != "" {
						wantShown(t, what+" without the token", ask(admin, ""), false)
						wantShown(t, what+" with another token", ask(admin, wrongToken), false)
					}
				}
			}
		}
	}
}

func wantShown(t *testing.T, what string, w *httptest.ResponseRecorder, want bool) {
	t.Helper()
	if hidden := w.Code == 404 && w.Body.String() == "Not Found\r\n"; hidden == want {
		t.Errorf("%s: %d, %d bytes; want it to be shown: %v", what, w.Code, w.Body.Len(), want)
	}
}

// The numbers are those of a server at work.
func TestMetricsOfARunningServer(t *testing.T) {
	t.Parallel()
	r := start(t)
	key := r.client("alice", "room")
	r.call("new_message", "alice", "hello", "room", false)
	get(t, "http://"+r.pub+pollPath("alice", key))
	get(t, "http://"+r.pub+"/nothing")
	get(t, "http://"+r.main+pollPath("alice", "wrong"))
	status, text := get(t, "http://"+r.main+"/metrics")
	if status != 200 || !strings.Contains(text, "\ngo_goroutines ") || !strings.Contains(text, "\nprocess_start_time_seconds ") {
		t.Errorf("%d %.200s", status, text)
	}
	for name, want := range map[string]float64{
		"shaveet_clients":       1,
		"shaveet_kept_messages": r.srv.allMetrics(t)["shaveet_kept_messages"],
		"shaveet_ready":         1,
		`shaveet_http_requests_total{code="2xx",route="/"}`:                3,
		`shaveet_http_requests_total{code="2xx",route="/message_updates"}`: 1,
		`shaveet_http_requests_total{code="4xx",route="/message_updates"}`: 1,
		`shaveet_http_requests_total{code="4xx",route="other"}`:            1,
		`shaveet_http_requests_total{code="2xx",route="/metrics"}`:         1,
		`shaveet_admin_calls_total{method="subscribe"}`:                    1,
		"shaveet_admin_call_duration_seconds_count":                        3,
		`shaveet_connections_accepted_total{door="public"}`:                2,
		`shaveet_connections_accepted_total{door="main"}`:                  5,
		`shaveet_connections_max{door="main"}`:                             float64(newRoom(descriptors(), 2, 0, 0).part(0).now()),
	} {
		r.wantMetric(name, want)
	}
	if got := r.srv.metric(t, "shaveet_messages_published_total"); got < 1 {
		t.Errorf("%v messages were published", got)
	}
}

// The sweeper is seen at work, and what it lets go of.
func TestSweeperIsSeen(t *testing.T) {
	inBubble(t, func(*Config) {}, func(t *testing.T, r *running, _, _ *pipeListener) {
		began := time.Now()
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if n := r.srv.metric(t, "shaveet_sweeps_total"); n < 9 || n > 11 {
			t.Errorf("%v sweeps in ten seconds", n)
		}
		last := r.srv.metric(t, "shaveet_sweep_last_timestamp_seconds") - float64(began.Unix())
		if last < 9 || last > 11 {
			t.Errorf("the last sweep was %vs after the beginning, want 10", last)
		}
		if took := r.srv.metric(t, "shaveet_sweep_seconds_total"); took != 0 { // by this clock, which waits for them
			t.Errorf("they took %vs, want what is between them not to count", took)
		}
	})
}

// One that fails is not seen, but whom it let go of before it did.
func TestFailedSweepsDoNotCount(t *testing.T) {
	r := prepare(t, DefaultConfig())
	r.srv.swept(gc.Sweep{LetGo: 7, Took: time.Second, Err: hub.ErrUnavailable})
	for _, name := range []string{"shaveet_sweeps_total", "shaveet_sweep_seconds_total", "shaveet_sweep_last_timestamp_seconds"} {
		if got := r.srv.metric(t, name); got != 0 {
			t.Errorf("%s = %v", name, got)
		}
	}
	if lines := r.log.lines("let go of idle clients"); len(lines) != 1 || lines[0]["clients"] != 7. {
		t.Errorf("the log says %v", lines)
	}
	r.srv.swept(gc.Sweep{Took: time.Second})
	if n, took := r.srv.metric(t, "shaveet_sweeps_total"), r.srv.metric(t, "shaveet_sweep_seconds_total"); n != 1 || took != 1 {
		t.Errorf("%v sweeps took %vs", n, took)
	}
	if lines := r.log.lines("let go of idle clients"); len(lines) != 1 {
		t.Errorf("the log tells of nobody: %v", lines[1:])
	}
}

// The profiles can be read, by one at a time where there is only one to have.
func TestProfiles(t *testing.T) {
	t.Parallel()
	r := start(t)
	at := "http://" + r.main + "/debug/pprof/"
	for _, name := range profiles {
		if status, body := get(t, at+name); status != 200 || !strings.HasPrefix(body, "\x1f\x8b") {
			t.Errorf("%s: %d %.20q, want what go tool pprof reads", name, status, body)
		}
		if status, body := get(t, at+name+"?debug=1"); status != 200 || !strings.Contains(body, name) && !strings.Contains(body, "cycles/second") {
			t.Errorf("%s as text: %d %.80q", name, status, body)
		}
	}
	status, index := get(t, at)
	for _, name := range append(slices.Clone(profiles), "profile", "trace") {
		if status != 200 || !strings.Contains(index, name) {
			t.Errorf("the index does not name %s", name)
		}
	}
	for _, seconds := range []string{"0", "-1", "301", "x", "1e9"} {
		if status, _ := get(t, at+"profile?seconds="+seconds); status != 400 {
			t.Errorf("a recording of %s seconds: %d", seconds, status)
		}
	}
}

// Of recordings there is one at a time.
func TestRecordingTwice(t *testing.T) {
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Skip(err) // the test itself is being profiled
	}
	defer pprof.StopCPUProfile()
	r := start(t)
	if status, body := get(t, "http://"+r.main+"/debug/pprof/profile?seconds=1"); status != http.StatusConflict {
		t.Errorf("%d %.80q", status, body)
	}
}

// A recording may take longer than an answer may be written.
func TestLongRecording(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.BodyTimeout, c.WriteTimeout = time.Millisecond, 1500*time.Millisecond })
	status, body := get(t, "http://"+r.main+"/debug/pprof/profile?seconds=2")
	if status == http.StatusConflict {
		t.Skip("the test itself is being profiled")
	}
	if status != 200 || !strings.HasPrefix(body, "\x1f\x8b") {
		t.Errorf("%d %.20q", status, body)
	}
}

// A recording ends when nobody waits for it any more: others can have theirs.
func TestRecordingIsAbandoned(t *testing.T) {
	if trace.IsEnabled() {
		t.Skip("the test itself is being traced")
	}
	r := start(t)
	c := dial(t, r.main)
	io.WriteString(c, getRequest("/debug/pprof/trace?seconds=300"))
	for _, want := range []bool{true, false} {
		for deadline := time.Now().Add(patience); trace.IsEnabled() != want; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("something is recorded: %v, want %v", !want, want)
			}
		}
		c.Close()
	}
}

// A recording that is under way ends with the server.
func TestRecordingEnds(t *testing.T) {
	if trace.IsEnabled() {
		t.Skip("the test itself is being traced")
	}
	r := start(t)
	answer := make(chan string, 1)
	go func() {
		resp, err := oneShot.Get("http://" + r.main + "/debug/pprof/trace?seconds=300")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		answer <- fmt.Sprint(resp.StatusCode, err, strings.HasPrefix(string(body), "go 1."))
	}()
	for deadline := time.Now().Add(patience); !trace.IsEnabled(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("nothing is recorded")
		}
	}
	r.stop()
	<-r.done
	if r.err != nil {
		t.Errorf("Serve: %v", r.err)
	}
	if got := <-answer; got != "200 <nil> true" {
		t.Errorf("the recording: %s", got)
	}
}
