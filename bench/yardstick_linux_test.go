package bench

import (
	"context"
	"io"
	"testing"
)

// runYardstick measures a yardstick, which runs as a server of its own.
func runYardstick(t *testing.T, p Plan) *Result {
	t.Helper()
	o := options(io.Discard, p)
	if err := o.Plan.Complete(); err != nil {
		t.Fatal(err)
	}
	kind := yardstickFor(&o.Plan)
	for range 5 {
		if r := runOnce(t, &o, kind); r.PerSecond > 0 {
			return r
		}
		t.Log("on a machine with much to do, nothing may happen in so short a time: once more")
	}
	t.Fatal("nothing happens")
	return nil
}

func runOnce(t *testing.T, o *Options, kind string) *Result {
	t.Helper()
	all, err := o.rounds(t.Context(), []contender{{"it", func(ctx context.Context) (*site, error) { return o.openYardstick(ctx, kind) }}})
	if err != nil {
		t.Fatal(err)
	}
	r := all["it"][0]
	if r.Faults.Any() {
		t.Errorf("%+v (%s)", r.Faults, r.Broke)
	}
	return r
}

func TestYardsticks(t *testing.T) {
	for _, transport := range []string{"websocket", "sse", "stream", "longpoll"} { // the others are two of these
		for name, p := range map[string]Plan{
			"fanout":  {Workload: FanOut, Readers: 50},
			"window":  {Workload: FanOut, Readers: 50, Window: 16},
			"several": {Workload: Many, Readers: 30, Channels: 10, Each: 3, Publishers: 4, Loops: 3},
			"rate":    {Workload: Latency, Readers: 20, Rate: 200},
		} {
			if (name == "window" || name == "rate") && transport != "websocket" && transport != "longpoll" {
				continue
			}
			t.Run(transport+" "+name, func(t *testing.T) {
				t.Parallel()
				p.Transport = transport
				r := runYardstick(t, p)
				if r.Deliveries == 0 || r.Messages == 0 || r.Latency.Count == 0 || r.Latency.Max < r.Latency.P50 || r.Latency.P50 <= 0 {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

func TestOtherWorkloads(t *testing.T) {
	t.Run("publish", func(t *testing.T) {
		t.Parallel()
		if r := runYardstick(t, Plan{Workload: Publish}); r.Messages == 0 || r.Counted != "messages" || r.PerSecond == 0 || r.Latency.Count == 0 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		if r := runYardstick(t, Plan{Workload: Idle, Readers: 100}); r.Counted != "readers" || r.PerSecond == 0 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("churn", func(t *testing.T) {
		t.Parallel()
		if r := runYardstick(t, Plan{Workload: Churn, Readers: 30}); r.Counted != "cycles" || r.Cycles == 0 {
			t.Errorf("%+v", r)
		}
	})
}
