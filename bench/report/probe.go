package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/shaveet/shaveet/bench"
)

// A profile is what the processor did during a fan-out.
type profile struct {
	window     int
	total      string // what pprof says of the whole
	flat, cum  []string
	writeShare float64 // of the time, in the system call write
	callShare  float64 // in any
	err        error
}

// during runs a fan-out by WebSocket with a server of our own, and does
// something in the midst of it.
func (r *runner) during(ctx context.Context, window int, do func(ctx context.Context, s *site) error) error {
	s, err := r.serve(ctx)
	if err != nil {
		return err
	}
	defer s.Stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	loaded := make(chan error, 1)
	go func() {
		_, err := r.one(ctx, nil, append(r.flags(cell{workload: bench.FanOut, readers: 1000}, nil), "--window", number(window), "--yardstick", "off",
			"--url", "http://"+s.main, "--public-url", "http://"+s.public, "--pid", number(s.PID()), "--warmup", "10ms", "--duration", "10m"))
		loaded <- err
	}()
	defer func() { cancel(); <-loaded }()
	if err := s.flows(ctx, loaded); err != nil {
		return err
	}
	return do(ctx, s)
}

// flows waits until messages are delivered.
func (s *site) flows(ctx context.Context, loaded <-chan error) error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if n, err := s.delivered(); err == nil && n > 2000 {
			return nil
		}
		select {
		case err := <-loaded:
			return fmt.Errorf("the load ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("nothing is delivered")
}

// client keeps no connections: servers end.
var client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}

// delivered is how many messages the server has handed to readers.
func (s *site) delivered() (float64, error) {
	resp, err := client.Get("http://" + s.main + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		if value, ok := strings.CutPrefix(in.Text(), "shaveet_messages_delivered_total "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, errors.New("/metrics does not say how many messages were delivered")
}

// profile records what the processor does.
func (r *runner) profile(ctx context.Context, window, seconds int) (p profile) {
	p.window = window
	p.err = r.during(ctx, window, func(ctx context.Context, s *site) error {
		dir, err := os.MkdirTemp("", "shaveet-report-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "cpu")
		if err := fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.main, seconds), file); err != nil {
			return err
		}
		for _, way := range []struct {
			flag string
			to   *[]string
		}{{"-flat", &p.flat}, {"-cum", &p.cum}} {
			out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", way.flag, "-nodecount=1000", "-nodefraction=0", file).Output()
			if err != nil {
				return fmt.Errorf("go tool pprof: %w", err)
			}
			p.read(string(out), way.to)
		}
		if len(p.cum) < 2 {
			return errors.New("go tool pprof prints nothing")
		}
		return nil
	})
	return p
}

func fetch(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}

// linesShown are what of a profile is in the document.
const linesShown = 15

// read takes the first lines of what pprof has printed, and the shares of
// system calls.
func (p *profile) read(out string, to *[]string) {
	table := false
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "Duration:"):
			p.total = line
		case len(fields) > 1 && fields[0] == "flat" && fields[1] == "flat%":
			table = true
			*to = append(*to, line)
		case table && len(fields) >= 6:
			if len(*to) <= linesShown {
				*to = append(*to, line)
			}
			share, err := strconv.ParseFloat(strings.TrimSuffix(fields[4], "%"), 64)
			if err != nil {
				continue
			}
			switch fields[5] {
			case "syscall.write", "syscall.Write":
				p.writeShare = max(p.writeShare, share/100)
			case "internal/runtime/syscall/linux.Syscall6", "internal/runtime/syscall.Syscall6":
				p.callShare = share / 100
			}
		}
	}
}
