package bench

import "time"

// A Result is what one run has found.
type Result struct {
	Type       string  `json:"type"` // "run"
	Target     string  `json:"target"`
	Round      int     `json:"round"`
	Workload   string  `json:"workload"`
	Transport  string  `json:"transport"`
	Publish    string  `json:"publish,omitempty"`
	Readers    int     `json:"readers"`
	Channels   int     `json:"channels"`
	Each       int     `json:"each"`
	Publishers int     `json:"publishers"`
	Size       int     `json:"size"`
	Window     int     `json:"window,omitempty"`
	Rate       float64 `json:"rate,omitempty"`

	Seconds    float64 `json:"seconds"`               // that were measured
	Messages   int64   `json:"messages"`              // said and answered meanwhile
	Deliveries int64   `json:"deliveries"`            // of messages to readers
	Cycles     int64   `json:"cycles,omitempty"`      // of readers that came and went
	Counted    string  `json:"counted"`               // what per_second counts: deliveries, messages, cycles or readers
	PerSecond  float64 `json:"per_second"`            // of the clock
	PerCPU     float64 `json:"per_cpu_second"`        // of the server's CPU time; 0: not known
	ServerCPU  float64 `json:"server_cpu_seconds"`    // user and system, of all its processes
	OwnCPU     float64 `json:"generator_cpu_seconds"` // of the load generator, for comparison
	Latency    Times   `json:"latency_ms"`

	Before    Memory `json:"memory_before"`   // the server's, at first
	Made      Memory `json:"memory_prepared"` // when clients and subscriptions were made
	After     Memory `json:"memory_after"`    // at the end, all readers there
	PerReader Memory `json:"memory_per_reader"`
	Kernel    int64  `json:"kernel_per_reader,omitempty"` // bytes that the kernel has taken for a reader's connection, both ends of it
	Faults    Faults `json:"faults"`
	Broke     string `json:"broke,omitempty"` // why the first connection broke off

	Interrupted bool `json:"interrupted,omitempty"`
}

// A Memory is what a process and its children hold.
type Memory struct {
	RSS int64 `json:"rss"` // bytes that are in use
	PSS int64 `json:"pss"` // the same, with what is shared divided among those who share it
}

// Times are percentiles in milliseconds.
type Times struct {
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
	Count uint64  `json:"count"`
}

func (r *run) result(first, last sample) *Result {
	p := r.plan
	res := &Result{
		Type: "run", Workload: p.Workload, Transport: p.Transport, Readers: p.Readers, Channels: p.Channels, Each: p.Each,
		Publishers: p.Publishers, Size: p.Size, Window: p.Window, Rate: p.Rate,
		Seconds:  last.at.Sub(first.at).Seconds(),
		Messages: last.answered - first.answered, Deliveries: last.deliveries - first.deliveries, Cycles: last.cycles - first.cycles,
		ServerCPU: (last.cpu - first.cpu).Seconds(), OwnCPU: (last.own - first.own).Seconds(),
		Before: r.before, Made: r.made, After: r.after,
	}
	if p.says() {
		res.Publish = p.Publish
	}
	count := float64(res.Deliveries)
	switch res.Counted = "deliveries"; p.Workload {
	case Publish:
		res.Counted, count = "messages", float64(res.Messages)
	case Churn:
		res.Counted, count = "cycles", float64(res.Cycles)
	case Idle:
		res.Counted, count = "readers", float64(p.Readers)
	}
	if res.Seconds > 0 {
		res.PerSecond = count / res.Seconds
	}
	if res.ServerCPU > 0 {
		res.PerCPU = count / res.ServerCPU
	}
	if n := int64(p.Readers); p.Workload == Idle && r.process != 0 {
		res.PerReader = Memory{(r.after.RSS - r.made.RSS) / n, (r.after.PSS - r.made.PSS) / n}
		res.Kernel = (r.kernelAfter - r.kernelMade) / n
	}
	r.check(res)
	return res
}

// check adds up what the readers have seen, and what they have not. The loops
// have ended.
func (r *run) check(res *Result) {
	var all histogram
	for i := range r.speech.latency {
		all.merge(&r.speech.latency[i])
	}
	for i, t := range r.tallies {
		if r.plan.says() {
			t.end(r.crowds[i].readers, r.speech.said)
		}
		all.merge(&t.latency)
		res.Faults.add(t.faults)
		res.Faults.Broken += r.crowds[i].broken.Load()
	}
	if err := r.firstError(); err != nil {
		res.Broke = err.Error()
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	if all.n > 0 {
		res.Latency = Times{ms(all.percentile(50)), ms(all.percentile(90)), ms(all.percentile(99)), ms(all.max), all.n}
	}
}
