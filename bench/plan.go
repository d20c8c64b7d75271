package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Plan is what one run does. Zero fields that have a default of the workload
// get it by [Plan.Complete].
type Plan struct {
	Workload   string
	Transport  string
	Publish    string        // how messages are said
	Readers    int           // how many there are
	Channels   int           // over which they are spread evenly
	Each       int           // channels that one reader hears
	Publishers int           // connections that say messages
	Batch      int           // messages said in one call at most, by "many" and "batch"
	Size       int           // bytes of a message
	Window     int           // messages under way at once; or
	Rate       float64       // messages a second
	WarmUp     time.Duration // before it is measured
	Duration   time.Duration // that is measured
	AtOnce     int           // connections that begin at the same time
	Connects   float64       // connections begun in a second
	Loops      int           // that readers are divided among
	Patience   time.Duration // how long is waited for what should come at once

	settle time.Duration // between the last reader and the first message
}

// The workloads.
const (
	FanOut  = "fanout"
	Many    = "many"
	Latency = "latency"
	Idle    = "idle"
	Publish = "publish"
	Churn   = "churn"
)

// Workloads lists the names of all.
func Workloads() []string { return []string{FanOut, Many, Latency, Idle, Publish, Churn} }

// Transports lists the ways of readers.
func Transports() []string {
	return []string{"websocket", "sse", "stream", "longpoll", "socketio", "socketio-polling"}
}

// The ways of publishing.
const (
	ByCall   = "call"   // a call of its own for each message, over HTTP
	ByMany   = "many"   // publish_many, of all that waits
	ByBatch  = "batch"  // a batch of calls, of all that waits
	BySocket = "socket" // calls on the backend's WebSocket, answers not waited for
)

// Publishing lists the ways of publishing.
func Publishing() []string { return []string{ByCall, ByMany, ByBatch, BySocket} }

// workloads are what is left open.
var workloads = map[string]Plan{
	FanOut:  {Readers: 1000, Channels: 1, Publishers: 1, Window: 1},
	Many:    {Readers: 5000, Channels: 5000, Publishers: 8, Window: 64},
	Latency: {Readers: 1000, Channels: 1, Publishers: 1, Rate: 50},
	Idle:    {Readers: 5000, Channels: 1, Publishers: 1, Duration: 3 * time.Second},
	Publish: {Channels: 8, Publishers: 8, Window: 8},
	Churn:   {Readers: 1000, Channels: 1, Publishers: 1, AtOnce: 16, Connects: -1},
}

var common = Plan{
	Transport: "websocket", Publish: ByCall, Each: 1, Batch: 100, Size: 128, WarmUp: time.Second, Duration: 5 * time.Second,
	AtOnce: 64, Connects: 2000, Loops: 1, Patience: 10 * time.Second,
	settle: 300 * time.Millisecond,
}

const maxWindow = 100_000

// Complete fills in what is left open, and checks the whole.
func (p *Plan) Complete() error {
	d, ok := workloads[p.Workload]
	if !ok {
		return fmt.Errorf("%q is no workload: there are %s", p.Workload, strings.Join(Workloads(), ", "))
	}
	if p.Window > 0 && p.Rate > 0 {
		return errors.New("either a window or a rate: messages go when others have arrived, or when it is time")
	}
	if p.Window > 0 || p.Rate > 0 {
		d.Window, d.Rate = 0, 0
	}
	if p.Workload == Publish && d.Window > 0 && or(p.Publish, common.Publish) != ByCall {
		// A whole batch for each, or what is meant to be one is a message at a time.
		d.Window = min(or(p.Publishers, d.Publishers)*or(p.Batch, common.Batch), maxWindow)
	}
	for _, from := range []Plan{d, common} {
		p.Transport, p.Publish = or(p.Transport, from.Transport), or(p.Publish, from.Publish)
		p.Readers, p.Channels, p.Each = or(p.Readers, from.Readers), or(p.Channels, from.Channels), or(p.Each, from.Each)
		p.Publishers, p.Batch, p.Size = or(p.Publishers, from.Publishers), or(p.Batch, from.Batch), or(p.Size, from.Size)
		p.Window, p.Rate, p.Loops = or(p.Window, from.Window), or(p.Rate, from.Rate), or(p.Loops, from.Loops)
		p.WarmUp, p.Duration, p.Patience = or(p.WarmUp, from.WarmUp), or(p.Duration, from.Duration), or(p.Patience, from.Patience)
		p.settle = or(p.settle, from.settle)
		p.AtOnce, p.Connects = or(p.AtOnce, from.AtOnce), or(p.Connects, from.Connects)
	}
	if p.Workload == Publish {
		p.Readers = 0
	}
	return p.check()
}

func or[T comparable](a, b T) T {
	var zero T
	if a == zero {
		return b
	}
	return a
}

// check says what makes no sense. Everything has a bound, if a wide one.
func (p *Plan) check() error {
	in := func(name string, v, low, high int) error {
		if v < low || v > high {
			return fmt.Errorf("%s: %d is not from %d to %d", name, v, low, high)
		}
		return nil
	}
	span := func(name string, v, low, high time.Duration) error {
		if v < low || v > high {
			return fmt.Errorf("%s: %v is not from %v to %v", name, v, low, high)
		}
		return nil
	}
	one := func(name, v string, all []string) error {
		if !slices.Contains(all, v) {
			return fmt.Errorf("%s: %q is none of %s", name, v, strings.Join(all, ", "))
		}
		return nil
	}
	fewest := 1
	if p.Workload == Publish {
		fewest = 0
	}
	err := errors.Join(
		one("transport", p.Transport, Transports()), one("publish", p.Publish, Publishing()),
		in("readers", p.Readers, fewest, 1_000_000), in("channels", p.Channels, 1, 1_000_000), in("each", p.Each, 1, 1000),
		in("publishers", p.Publishers, 1, 1000), in("batch", p.Batch, 1, 1000), in("size", p.Size, minSize, maxSize),
		in("window", p.Window, 0, maxWindow), in("at-once", p.AtOnce, 1, 10_000), in("loops", p.Loops, 1, 64),
		span("warmup", p.WarmUp, 0, time.Hour), span("duration", p.Duration, 10*time.Millisecond, time.Hour),
		span("patience", p.Patience, 100*time.Millisecond, time.Hour),
	)
	if err == nil && (p.Rate < 0 || p.Rate > 10_000_000) {
		err = fmt.Errorf("rate: %v is not from 0 to 10000000", p.Rate)
	}
	if err == nil && p.Each > p.Channels {
		err = fmt.Errorf("each: a reader cannot hear %d of %d channels", p.Each, p.Channels)
	}
	if err == nil && p.Readers*p.Each > 10_000_000 {
		err = errors.New("readers and each: more than 10 million subscriptions")
	}
	// One connection says all of a channel, or its order would be lost.
	p.Publishers = min(p.Publishers, p.Channels)
	return err
}

func (p *Plan) spread() spread { return spread{p.Readers, p.Channels, p.Each} }

// says reports whether messages are said at all.
func (p *Plan) says() bool { return p.Workload != Idle && p.Workload != Churn }
