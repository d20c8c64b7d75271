package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shaveet/shaveet/bench"
)

// A trace is what strace has counted during a fan-out.
type trace struct {
	window     int
	seconds    float64
	deliveries float64
	writes     float64 // calls that send
	all        float64 // calls of any kind
	calls      []called
	err        error
}

// called is how often there was a system call.
type called struct {
	name  string
	times float64
}

var sends = []string{"write", "writev", "sendto", "sendmsg", "sendmmsg", "pwrite64", "pwritev", "sendfile", "splice"}

// trace counts system calls for a second. The server is much slower meanwhile,
// so that it is the ratio to deliveries that means something.
func (r *runner) trace(ctx context.Context, window int, d time.Duration) (t trace) {
	t.window = window
	t.err = r.during(ctx, window, func(ctx context.Context, s *site) error {
		path, err := exec.LookPath("strace")
		if err != nil {
			return errors.New("strace is not installed")
		}
		dir, err := os.MkdirTemp("", "shaveet-report-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "calls")
		counter, err := bench.Start(ctx, func(line string) bool { return strings.Contains(line, " attached") }, ownEnv(),
			path, "-f", "-c", "-o", file, "-p", number(s.PID()))
		if err != nil {
			return err
		}
		before, err := s.delivered()
		began := time.Now()
		if err == nil {
			select {
			case <-time.After(d):
			case <-ctx.Done():
			}
		}
		after, later := s.delivered()
		t.seconds, t.deliveries = time.Since(began).Seconds(), after-before
		counter.Stop()
		if err := errors.Join(err, later, ctx.Err()); err != nil {
			return err
		}
		out, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		t.read(string(out))
		if t.all == 0 || t.deliveries == 0 {
			return fmt.Errorf("strace counted %v calls, and there were %v deliveries", t.all, t.deliveries)
		}
		return nil
	})
	return t
}

// read takes the counts from strace's table: a share, seconds, time for each,
// calls, perhaps errors, and the name.
func (t *trace) read(out string) {
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 5 || fields[len(fields)-1] == "total" {
			continue
		}
		n, err := strconv.ParseFloat(fields[3], 64)
		if err != nil {
			continue
		}
		name := fields[len(fields)-1]
		t.calls = append(t.calls, called{name, n})
		t.all += n
		if slices.Contains(sends, name) {
			t.writes += n
		}
	}
	slices.SortStableFunc(t.calls, func(a, b called) int { return int(b.times - a.times) })
}
