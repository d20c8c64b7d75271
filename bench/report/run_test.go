package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/bench"
	"github.com/shaveet/shaveet/tests/live"
)

// Small, but the real program: what is written by hand meets what it prints.
func TestQuick(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	live.Binary(t)
	t.Chdir("../..")
	docs := t.TempDir()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var out, progress bytes.Buffer
	for range 5 {
		out.Reset()
		progress.Reset()
		err := run(ctx, []string{"--quick", "--shaveet", live.Binary(t), "--docs", docs, "--readers", "100", "--duration", "300ms",
			"--only", "^fanout (sse|longpoll) 1000 w=1$|^many 500/500 many|^idle (TLS )?websocket|^churn|^publish|^latency"}, &out, &progress)
		if err == nil {
			break
		}
		// Runs so short have no tick of the CPU's clock if others have the machine,
		// and take less of the kernel's memory than others give back.
		if !strings.Contains(out.String(), nothingToReckon) && !strings.Contains(out.String(), kernelUnknown) {
			t.Fatalf("%v\n%s\n%s", err, &out, &progress)
		}
	}
	for _, want := range []string{"G1 | fan-out to 1,000, sse, w=1", "G7 | idle memory of a reader over TLS, websocket", "G8", "G9", "G10"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not told:\n%s", want, &out)
		}
	}
	if strings.Contains(progress.String(), "failed") || strings.Contains(out.String(), notMeasured) {
		t.Errorf("something was not measured:\n%s\n%s", &progress, &out)
	}
	if files, _ := os.ReadDir(docs); len(files) > 0 {
		t.Errorf("it has written %v", files)
	}
}

// Other servers are started, measured and ended, if they are installed.
func TestPeers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program := live.Binary(t)
	t.Chdir("../..")
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r := &runner{program: program, duration: 300 * time.Millisecond, most: 50, stderr: io.Discard}
	for kind, c := range map[string]struct{ needs, transport string }{
		"nchan":    {"/usr/share/nginx/modules/ngx_nchan_module.so", "sse"},
		"socketio": {"bench/peers/node_modules/socket.io", "socketio-polling"},
	} {
		t.Run(kind, func(t *testing.T) {
			if _, err := os.Stat(c.needs); err != nil {
				t.Skip("scripts/deps.sh install peers would install it:", err)
			}
			got, err := r.peer(ctx, kind, r.flags(cell{readers: 50, workload: bench.FanOut, peer: kind}, []string{"--transport", c.transport}))
			if err != nil {
				t.Fatal(err)
			}
			if got.Deliveries == 0 || got.Faults.Any() || got.Before.RSS == 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	if _, err := r.peer(ctx, "nobody", nil); err == nil {
		t.Error("nobody is a peer")
	}
}

// The program under test is profiled in the midst of a fan-out.
func TestProfile(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r := &runner{program: live.Binary(t), most: 20, stderr: io.Discard}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	p := r.profile(ctx, 4, 1)
	if p.err != nil {
		t.Fatal(p.err)
	}
	if !strings.HasPrefix(p.total, "Duration:") || len(p.flat) < 3 || len(p.flat) > linesShown+1 || len(p.cum) < 3 ||
		!strings.Contains(p.cum[0], "cum%") || p.callShare <= 0 || p.callShare > 1 || p.writeShare > p.callShare+0.05 {
		t.Errorf("%+v", p)
	}
}

// pretender is a program that prints something whatever it is told, and fails.
func pretender(t *testing.T, prints string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shaveet")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncat <<'END'\n"+prints+"\nEND\necho it is broken >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// What bench finds fault with makes the report fail, and what it cannot measure.
func TestFailures(t *testing.T) {
	for what, c := range map[string]struct{ prints, want, said string }{
		"lost":         {`{"type":"run","workload":"publish","per_cpu_second":5,"faults":{"lost":3}}`, "not everything came", "Lost:3"},
		"twice":        {`{"type":"run","workload":"publish","per_cpu_second":5,"faults":{"duplicated":4}}`, "not everything came", "Duplicated:4"},
		"failed":       {``, "1 parts could not be measured", "it is broken"},
		"failed later": {`{"type":"run","workload":"publish","per_cpu_second":5}`, "1 parts could not be measured", "it is broken"},
		"interrupted":  {`{"type":"run","interrupted":true}`, "1 parts could not be measured", "interrupted"},
		"no JSON":      {`hello`, "1 parts could not be measured", "is not understood"},
	} {
		t.Run(what, func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), []string{"--shaveet", pretender(t, c.prints), "--docs", t.TempDir(), "--rounds", "1", "--only", "^publish call$"}, &out, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(out.String(), c.said) {
				t.Errorf("it ends with %v, and says %s", err, &out)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	there := pretender(t, "")
	for _, args := range [][]string{{"--shaveet", there, "more"}, {"--nothing"}, {"--shaveet", there, "--only", "("}, {"--shaveet", there + "-not"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q is well", args)
		}
	}
}

// A round in which one of two failed counts for neither, or rounds would be
// compared with others.
func TestHalfARound(t *testing.T) {
	r := &runner{runs: map[string]*runs{"x": {}}}
	r.note(cell{name: "x"}, &bench.Result{PerCPU: 1}, &bench.Result{PerCPU: 1}, nil)
	r.note(cell{name: "x"}, &bench.Result{PerCPU: 9}, nil, errors.New("the other failed"))
	r.note(cell{name: "x"}, &bench.Result{PerCPU: 2}, &bench.Result{PerCPU: 1}, nil)
	if got, want := r.runs["x"].ratio(perCPU), (figure{1.5, 1, 2, 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestReadCalls(t *testing.T) {
	var tr trace
	tr.read(`% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    0.100000          10     10000           write
  5.00    0.010000          10       500         3 read
  5.00    0.010000          10        20           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.120000          10     10520         3 total
`)
	if tr.all != 10_520 || tr.writes != 10_020 || len(tr.calls) != 3 || tr.calls[0] != (called{"write", 10_000}) {
		t.Errorf("%+v", tr)
	}
}

// The settings of a peer are those of the project, elsewhere.
func TestMoved(t *testing.T) {
	text, err := os.ReadFile("../peers/nchan.conf")
	if err != nil {
		t.Fatal(err)
	}
	got, err := moved(string(text), "127.0.0.1:7", "/tmp/x")
	if err != nil || !strings.Contains(got, "listen 127.0.0.1:7 reuseport;") || !strings.Contains(got, " /tmp/x/nginx.pid;") {
		t.Errorf("%v:\n%s", err, got)
	}
	if _, err := moved("daemon off;", "127.0.0.1:7", "/tmp/x"); err == nil {
		t.Error("a file without an address is moved")
	}
}

func TestCellsHaveNames(t *testing.T) {
	for _, all := range [][]cell{cells(), peerCells()} {
		seen := make(map[string]bool)
		for _, c := range all {
			if seen[c.name] || c.rounds == 0 || c.duration == 0 {
				t.Errorf("%+v", c)
			}
			seen[c.name] = true
		}
	}
}
