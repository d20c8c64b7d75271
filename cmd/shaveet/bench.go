package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/shaveet/shaveet/bench"
)

// bench loads a server, and prints what that costs it.
func (p *program) bench(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == bench.YardstickCommand { // started by another bench
		return bench.ServeYardstick(ctx, args[1], p.stderr)
	}
	o := bench.Options{Stdout: p.stdout, Stderr: p.stderr, Env: ownServerEnv(p.env)}
	fs := p.flagSet("bench")
	benchPlanFlags(fs, &o.Plan)
	yardstick := benchFlags(fs, &o)
	tokenFile := p.tokenFlag(fs)
	rest, err := p.parseMixed(fs, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 1:
		return p.misuse(fs, "one workload at a time")
	case len(rest) == 1:
		o.Plan.Workload = rest[0]
	}
	if o.URL != "" {
		api, err := p.adminAt(o.URL, *tokenFile)
		if err != nil {
			return err
		}
		o.Token = api.token
	}
	o.Yardstick = yardstick.value == "on" || yardstick.value == auto && o.URL == "" && bench.HasYardsticks
	if o.Program, err = os.Executable(); err != nil {
		return fmt.Errorf("finding the program that is to be started: %w", err)
	}
	if e, ok := p.stderr.(escaped); ok && isTerminal(e.to) {
		o.Stderr, o.Live = e.to, true // a line that changes; nothing that a server says is in it
	}
	return bench.Run(ctx, o)
}

// benchPlanFlags declares the flags that describe a workload.
func benchPlanFlags(fs *flag.FlagSet, p *bench.Plan) {
	p.Workload = bench.FanOut
	p.Transport, p.Publish = "websocket", bench.ByCall
	fs.Var(&chosen{&p.Transport, bench.Transports()}, "transport", "how readers read: "+list(bench.Transports())+" (default websocket)")
	fs.Var(&chosen{&p.Publish, bench.Publishing()}, "publish", "how messages are published: a `call` for each, publish_many, batches of calls, or the backend's WebSocket: "+list(bench.Publishing())+" (default call)")
	fs.IntVar(&p.Readers, "readers", 0, "`number` of readers")
	fs.IntVar(&p.Channels, "channels", 0, "`number` of channels; readers are spread over them evenly")
	fs.IntVar(&p.Each, "each", 0, "`number` of channels that one reader hears (default 1)")
	fs.IntVar(&p.Publishers, "publishers", 0, "`number` of connections that publish, each for channels of its own")
	fs.IntVar(&p.Batch, "batch", 0, "`number` of messages published at once at most, by many, batch and socket (default 100)")
	fs.IntVar(&p.Size, "size", 0, "`bytes` of a message (default 128)")
	fs.IntVar(&p.Window, "window", 0, "`number` of messages under way: the next is published when one has reached all its readers")
	fs.Float64Var(&p.Rate, "rate", 0, "`messages` published in a second, whether others have arrived or not; in place of --window")
	fs.DurationVar(&p.WarmUp, "warmup", 0, "`time` before anything is measured (default 1s)")
	fs.DurationVar(&p.Duration, "duration", 0, "`time` that is measured (default 5s)")
	fs.IntVar(&p.AtOnce, "at-once", 0, "`number` of connections that may be under way to being ready (default 64, of churn 16)")
	fs.Float64Var(&p.Connects, "connect-rate", 0, "`connections` begun in a second (default 2000; -1: as many as there can be, as of churn)")
	fs.IntVar(&p.Loops, "loops", 0, "`number` of threads that read (default 1)")
	fs.DurationVar(&p.Patience, "patience", 0, "`time` without anything new after which what is missing is lost (default 10s)")
}

// benchFlags declares the others. What it returns says whether a yardstick is
// wanted.
func benchFlags(fs *flag.FlagSet, o *bench.Options) (yardstick *choice) {
	fs.StringVar(&o.URL, "url", "", "`address` of the admin API of a server that runs; without it one is started, and ended")
	fs.StringVar(&o.Public, "public-url", "", "`address` where readers come, http://HOST:PORT (default that of --url)")
	fs.IntVar(&o.PID, "pid", 0, "`process` of that server, whose CPU time and memory are measured (default who listens at --public-url, if on this machine)")
	fs.Var(&chosen{&o.Target, bench.Targets()}, "target", "what kind of server is at --url: "+list(bench.Targets())+" (default shaveet)")
	fs.Var((*listFlag)(&o.Args), "serve", "`flag` for the server that is started, as in --serve=--poll-timeout=5s; more with commas or by another --serve")
	yardstick = &choice{value: auto, all: []string{auto, "on", "off"}}
	fs.Var(yardstick, "yardstick", "measure in turn a server that does the least there is to do: auto (if the server is started here, on Linux), on or off (default auto)")
	fs.IntVar(&o.Rounds, "rounds", 3, "`number` of runs, each with a new server if it is started here (default 3)")
	fs.BoolVar(&o.JSON, "json", false, "print a JSON object for each run, and one for the comparison")
	fs.BoolVar(&o.Quiet, "quiet", false, "do not tell on standard error what goes on")
	return yardstick
}

// A chosen is a flag that has one of some values, or none.
type chosen struct {
	value *string
	all   []string
}

func (c *chosen) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

func (c *chosen) Set(text string) error {
	one := choice{all: c.all}
	err := one.Set(text)
	*c.value = one.value
	return err
}

func list(all []string) string { return (&choice{all: all}).list() }

// ownServerEnv is what a server that is started here has of our environment:
// settings of another one would be in its way.
func ownServerEnv(env []string) (own []string) {
	for _, line := range env {
		if !strings.HasPrefix(line, "SHAVEET_") {
			own = append(own, line)
		}
	}
	return own
}

// isTerminal reports whether somebody watches what is written there.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
