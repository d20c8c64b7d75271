package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A saboteur is a small server that speaks as Nchan's EventSource does, and
// spoils its third message for one reader.
type saboteur struct {
	spoil func(message string, first, other chan string) (later string) // nil: all is well
	mu    sync.Mutex                                                    // guards what follows
	said  int
	late  string // for the first reader of a room, behind its next message
	where string // that room
	rooms map[string][]chan string
}

func (s *saboteur) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	if r.URL.Path == "/pub" {
		text, _ := io.ReadAll(r.Body)
		s.publish(id, string(text))
		return
	}
	c := make(chan string, 10_000)
	s.mu.Lock()
	s.rooms[id] = append(s.rooms[id], c)
	s.mu.Unlock()
	fmt.Fprint(w, ": hi\n\n")
	w.(http.Flusher).Flush()
	for {
		select {
		case m := <-c:
			if m == "" {
				return
			}
			fmt.Fprintf(w, "data: %s\n\n", m)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (s *saboteur) publish(id, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	readers := s.rooms[id]
	if s.said++; s.said == 3 && s.spoil != nil {
		for name, other := range s.rooms {
			if name != id {
				s.late, s.where = s.spoil(message, readers[0], other[0]), id
				break
			}
		}
		readers = readers[1:]
	}
	for _, c := range readers {
		c <- message
	}
	if s.late != "" && s.where == id && s.said > 3 {
		readers[0] <- s.late
		s.late = ""
	}
}

// Whatever a server does to one message of one reader is seen, and reported.
func TestSabotage(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(message string, first, other chan string) (later string)
		want  func(Faults) bool
	}{
		{"all is well", nil, func(f Faults) bool { return !f.Any() }},
		{"lost", func(m string, first, other chan string) string { return "" }, func(f Faults) bool { return f == Faults{Lost: 1} }},
		{"twice", func(m string, first, other chan string) string {
			first <- m
			first <- m
			return ""
		}, func(f Faults) bool { return f == Faults{Duplicated: 1} }},
		{"late", func(m string, first, other chan string) string { return m }, func(f Faults) bool { return f == Faults{Reordered: 1} }},
		{"to somebody else", func(m string, first, other chan string) string {
			first <- m
			other <- m
			return ""
		}, func(f Faults) bool { return f == Faults{Misrouted: 1} }},
		{"damaged", func(m string, first, other chan string) string {
			first <- m[:20] + "?" + m[21:]
			return ""
		}, func(f Faults) bool { return f == Faults{Damaged: 1, Lost: 1} }},
		{"broken off", func(m string, first, other chan string) string {
			first <- m
			first <- ""
			return ""
		}, func(f Faults) bool { return f.Broken == 1 && f.Lost > 0 && f.Misrouted == 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(&saboteur{spoil: tt.spoil, rooms: make(map[string][]chan string)})
			defer srv.Close()
			var out bytes.Buffer
			o := Options{Target: "nchan", URL: srv.URL, PID: os.Getpid(), JSON: true, Quiet: true, Stdout: &out, Stderr: io.Discard,
				Plan: Plan{Workload: FanOut, Transport: "sse", Readers: 6, Channels: 3, Publishers: 2, Rate: 100, WarmUp: 10 * time.Millisecond,
					Duration: 300 * time.Millisecond, Patience: time.Second, settle: time.Millisecond}}
			err := Run(t.Context(), o)
			var r Result
			if jsonErr := json.Unmarshal(out.Bytes(), &r); jsonErr != nil {
				t.Fatalf("%v: %s; %v", jsonErr, &out, err)
			}
			if !tt.want(r.Faults) {
				t.Errorf("%+v (%s)", r.Faults, r.Broke)
			}
			if errors.Is(err, ErrFaults) != r.Faults.Any() || err != nil && !errors.Is(err, ErrFaults) {
				t.Errorf("%+v, and the error is %v", r.Faults, err)
			}
		})
	}
}

// options are for small runs with servers of the bench's own.
func options(out io.Writer, p Plan) Options {
	p.WarmUp, p.Duration, p.Patience, p.settle = 20*time.Millisecond, 400*time.Millisecond, 5*time.Second, time.Millisecond
	return Options{Plan: p, Program: os.Args[0], Env: os.Environ(), Quiet: true, JSON: true, Stdout: out, Stderr: io.Discard}
}

// A crowd without a loop, as it reads over TLS and where there is no epoll,
// hears the same.
func TestCrowdOfGoroutines(t *testing.T) {
	srv := httptest.NewUnstartedServer(&saboteur{rooms: make(map[string][]chan string)})
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // readers are gone when the churn ends
	srv.StartTLS()
	defer srv.Close()
	o := options(io.Discard, Plan{Workload: FanOut, Transport: "sse", Readers: 20, Channels: 2, Window: 4})
	if err := o.Plan.Complete(); err != nil {
		t.Fatal(err)
	}
	plain := httptest.NewServer(srv.Config.Handler)
	defer plain.Close()
	s := &site{target: &nchan{publish: plain.URL, public: srv.URL}, close: func() {}}
	s.tls = srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	s.tls.ServerName = "example.com"
	all, err := o.rounds(t.Context(), []contender{{"it", func(context.Context) (*site, error) { return s, nil }}})
	if err != nil {
		t.Fatal(err)
	}
	if r := all["it"][0]; r.Faults.Any() || r.Messages == 0 {
		t.Errorf("%+v", r)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tally := newTally(3, 0)
	tally.began = time.Now()
	c := &crowd{readers: []int{0, 1, 2}, dialect: s.target.dialect, address: s.target.readersAt(), tls: s.tls, tally: tally, atOnce: 2, churn: true}
	go func() {
		for c.cycles.Load() < 10 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if err := c.run(ctx); err != nil || c.cycles.Load() < 10 || c.firstError() != nil || c.ready.Load() != 0 {
		t.Errorf("%d cycles, %d are left, %v, %v", c.cycles.Load(), c.ready.Load(), err, c.firstError())
	}
}

// What a run cannot go on with ends it, with a reason.
func TestFailures(t *testing.T) {
	ctx := t.Context()
	refuses := httptest.NewServer(http.NotFoundHandler())
	defer refuses.Close()
	broken := options(io.Discard, Plan{Workload: FanOut})
	broken.Program = "/nowhere/at/all"
	for name, tt := range map[string]struct {
		o    Options
		want string
	}{
		"nobody listens":       {Options{URL: "http://127.0.0.1:1/", Target: "nchan", Plan: Plan{Readers: 2}}, "refused"},
		"readers are refused":  {Options{URL: refuses.URL, Target: "nchan", Plan: Plan{Readers: 2}}, "404"},
		"publishers are":       {Options{URL: refuses.URL, Target: "nchan", Plan: Plan{Workload: Publish}}, "404"},
		"no such target":       {Options{URL: refuses.URL, Target: "x"}, "none of"},
		"a target to start":    {Options{Target: "nchan"}, "has to be started"},
		"no program":           {broken, "/nowhere"},
		"no such transport":    {Options{Plan: Plan{Transport: "x"}}, "transport"},
		"window and rate":      {Options{Plan: Plan{Window: 1, Rate: 1}}, "either"},
		"too small":            {Options{Plan: Plan{Size: 5}}, "size"},
		"too many channels":    {Options{Plan: Plan{Each: 5}}, "hear 5 of 1"},
		"no such workload":     {Options{Plan: Plan{Workload: "x"}}, "no workload"},
		"not the admin API":    {Options{URL: refuses.URL, Plan: Plan{Readers: 2}}, "admin API"},
		"no address":           {Options{URL: "ftp://x/"}, "http://"},
		"a way of Nchan alone": {Options{URL: refuses.URL, Target: "nchan", Plan: Plan{Publish: ByMany}}, "by calls alone"},
	} {
		t.Run(name, func(t *testing.T) {
			o := tt.o
			if o.Plan.Workload == "" {
				o.Plan.Workload = FanOut
			}
			o.PID, o.Stdout, o.Stderr, o.Plan.Patience = os.Getpid(), io.Discard, io.Discard, time.Second
			o.Plan.settle = time.Millisecond
			if err := Run(ctx, o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want one with %q", err, tt.want)
			}
		})
	}
}

// Who has had enough is told what there is.
func TestInterruption(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv := httptest.NewServer(&saboteur{rooms: make(map[string][]chan string)})
	defer srv.Close()
	var out bytes.Buffer
	o := Options{Target: "nchan", URL: srv.URL, PID: os.Getpid(), Stdout: &out, Stderr: cancelAt{"measuring", cancel}, Live: true, Rounds: 5,
		Plan: Plan{Workload: FanOut, Transport: "sse", Readers: 6, WarmUp: time.Millisecond, Duration: time.Minute, settle: 250 * time.Millisecond}}
	if err := Run(ctx, o); err != nil || !strings.Contains(out.String(), "Interrupted") || !strings.Contains(out.String(), "nchan, 1 runs") {
		t.Errorf("%v\n%s", err, &out)
	}
	o.Stderr = cancelAt{"preparing", cancel}
	if err := Run(ctx, o); !errors.Is(err, errInterrupted) {
		t.Errorf("before anything was measured: %v", err)
	}
}

// cancelAt cancels when a word is written.
type cancelAt struct {
	word   string
	cancel context.CancelFunc
}

func (c cancelAt) Write(text []byte) (int, error) {
	if strings.Contains(string(text), c.word) {
		c.cancel()
	}
	return len(text), nil
}
