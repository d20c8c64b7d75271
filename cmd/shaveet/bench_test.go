package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/bench"
	"github.com/shaveet/shaveet/tests/live"
)

// soon makes a run as short as it can be and still say something.
var soon = []string{"--readers", "20", "--warmup", "50ms", "--duration", "600ms", "--rounds", "1", "--quiet"}

// benched runs the program's bench to its end. It has to be the real program,
// which starts itself as a server.
func benched(t *testing.T, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, live.Binary(t), slices.Concat([]string{"bench"}, soon, args)...)
	// A server that is to be started must not be given what is meant for another.
	cmd.Env = append(os.Environ(), "SHAVEET_LISTEN=nowhere", "GORACE=atexit_sleep_ms=0")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("shaveet bench %v: %v, %v\n%s", args, err, ctx.Err(), &stderr)
	}
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// results are what --json has printed for each run.
func results(t *testing.T, text string) (all []bench.Result, summary *bench.Summary) {
	t.Helper()
	for line := range strings.Lines(text) {
		var kind struct{ Type string }
		var r bench.Result
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := json.Unmarshal([]byte(line), &kind); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		switch kind.Type {
		case "summary":
			summary = new(bench.Summary)
			if err := d.Decode(summary); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
		case "run":
			if err := d.Decode(&r); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			all = append(all, r)
		default:
			t.Fatalf("a line of the kind %q: %s", kind.Type, line)
		}
	}
	return all, summary
}

// Each transport is measured against a server of the bench's own, and nothing
// is wrong with it.
func TestBenchTransports(t *testing.T) {
	for _, transport := range bench.Transports() {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			got := benched(t, "--json", "--transport", transport, "--yardstick", "off", "--channels", "4", "--each", "2", "--publishers", "2", "--window", "4")
			if got.code != 0 || got.stderr != "" {
				t.Fatalf("%+v", got)
			}
			all, summary := results(t, got.stdout)
			if len(all) != 1 || summary != nil {
				t.Fatalf("%d runs, want one: %s", len(all), got.stdout)
			}
			r := all[0]
			if r.Transport != transport || r.Target != "shaveet" || r.Deliveries == 0 || r.Messages == 0 || r.PerSecond == 0 ||
				r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P99 || r.Faults.Any() {
				t.Errorf("%s", got.stdout)
			}
		})
	}
}

// So is each workload, and each way of publishing.
func TestBenchWorkloads(t *testing.T) {
	for _, tt := range []struct{ args, counted string }{
		{"many --channels 20", "deliveries"},
		{"many --channels 20 --publish many", "deliveries"},
		{"many --channels 20 --publish batch", "deliveries"},
		{"many --channels 20 --publish socket", "deliveries"},
		{"latency --rate 100", "deliveries"},
		{"idle", "readers"},
		{"publish --publish socket", "messages"},
		{"publish --channels 3", "messages"},
		{"churn", "cycles"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			got := benched(t, append(strings.Fields(tt.args), "--json", "--yardstick", "off")...)
			if got.code != 0 {
				t.Fatalf("%+v", got)
			}
			all, _ := results(t, got.stdout)
			if r := all[0]; r.Counted != tt.counted || r.PerSecond <= 0 || r.Faults.Any() {
				t.Errorf("%s", got.stdout)
			}
		})
	}
}

// A server that runs is measured where it is, and left as it was.
func TestBenchURL(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("t", 16)
	srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--admin-token", token)
	args := []string{"--json", "--url", srv.Main + "/", "--public-url", srv.Public, "--pid", strconv.Itoa(srv.Pid())}
	if got := benched(t, args...); got.code != 1 || !strings.Contains(got.stderr, "token") {
		t.Errorf("without the token: %+v", got)
	}
	got := benched(t, append(args, "--admin-token-file", file(t, "token", token))...)
	all, summary := results(t, got.stdout)
	if got.code != 0 || len(all) != 1 || summary != nil || all[0].Deliveries == 0 {
		t.Fatalf("%+v", got)
	}
	result, err := newAdminAPI(srv.Main+"/", token).call(t.Context(), "info", map[string]any{})
	var info struct{ Counts struct{ Clients int } }
	if json.Unmarshal(result, &info) != nil || err != nil || info.Counts.Clients != 0 {
		t.Errorf("clients are left: %s, %v", result, err)
	}
}

func TestBenchMisuse(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"nothing", 1, "no workload"},
		{"many churn", 2, "one workload"},
		{"--transport pigeon", 2, "must be websocket"},
		{"--window 1 --rate 1", 1, "either"},
		{"--readers -1", 1, "readers"},
		{"--url x", 1, "not an address"},
		{"--target nchan", 1, "has to be started"},
		{"serve-yardstick nothing", 1, "no yardstick"},
	} {
		got := run(t, nil, append([]string{"bench"}, strings.Fields(tt.args)...)...)
		if got.code != tt.code || !strings.Contains(got.stderr, tt.want) {
			t.Errorf("bench %s: %+v, want %d and %q", tt.args, got, tt.code, tt.want)
		}
	}
}
