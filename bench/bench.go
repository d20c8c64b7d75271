package bench

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are what [Run] is told.
type Options struct {
	Plan   Plan
	Target string // what kind of server it is, see [Targets]

	URL    string // where it is told what to say; empty: a Shaveet of our own is started
	Public string // where readers come; empty: the same
	Token  string // that calls show
	PID    int    // of the server, if it is on this machine; 0: whoever listens there

	Program string   // the file of this program, for servers of our own
	Args    []string // more arguments for them
	Env     []string // their environment

	Yardstick bool // measure what could be, in turn
	Rounds    int

	JSON   bool
	Quiet  bool
	Stdout io.Writer
	Stderr io.Writer
	Live   bool // Stderr is a terminal
}

// ErrFaults is returned by [Run] if messages were lost, came twice, out of
// order, damaged or to the wrong reader, or connections broke.
var ErrFaults = errors.New("not everything came as it should")

// A site is a server that stands for one run.
type site struct {
	target  target
	process process     // 0: it is not on this machine, or nobody knows which it is
	tls     *tls.Config // how readers come; nil: without TLS
	close   func()
}

// A contender is what is measured in turn with others.
type contender struct {
	name string
	open func(ctx context.Context) (*site, error)
}

// Run measures, and prints what it finds.
func Run(ctx context.Context, o Options) error {
	if err := o.Plan.Complete(); err != nil {
		return err
	}
	contenders, err := o.contenders()
	if err != nil {
		return err
	}
	if err := raiseLimit(o.Plan.Readers + o.Plan.Publishers + 200); err != nil {
		return err
	}
	all, failed := o.rounds(ctx, contenders)
	var rows []row
	for _, c := range contenders {
		if len(all[c.name]) > 0 {
			rows = append(rows, summarize(c.name, all[c.name]))
		}
	}
	if err := o.print(rows); err != nil {
		return err
	}
	switch {
	case failed != nil:
		return failed
	case len(rows) == 0:
		return errInterrupted
	case slices.ContainsFunc(rows, func(r row) bool { return r.faults.Any() }):
		return ErrFaults
	}
	return nil
}

// rounds measures the contenders in turn, and returns the runs of each. It ends
// early, without an error, when ctx does.
func (o *Options) rounds(ctx context.Context, contenders []contender) (map[string][]*Result, error) {
	show := &progress{to: o.Stderr, live: o.Live, quiet: o.Quiet}
	all := make(map[string][]*Result)
	for round := 1; round <= max(1, o.Rounds); round++ {
		for _, c := range contenders {
			show.begin(fmt.Sprintf("%s, round %d of %d", c.name, round, max(1, o.Rounds)))
			r, err := o.once(ctx, c, show)
			show.end()
			if r == nil && ctx.Err() != nil {
				return all, nil
			}
			if err != nil {
				return all, fmt.Errorf("%s: %w", c.name, err)
			}
			r.Target, r.Round = c.name, round
			all[c.name] = append(all[c.name], r)
			if o.JSON {
				if err := writeJSON(o.Stdout, r); err != nil {
					return all, err
				}
			}
			if ctx.Err() != nil {
				return all, nil
			}
		}
	}
	return all, nil
}

// once makes one run with a server of its own.
func (o *Options) once(ctx context.Context, c contender, show *progress) (*Result, error) {
	s, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	plan := o.Plan
	return measure(ctx, &plan, s, show.said)
}

// Targets lists the kinds of servers that can be measured.
func Targets() []string { return []string{"shaveet", "nchan", "socketio"} }

// contenders are those that are measured in turn.
func (o *Options) contenders() ([]contender, error) {
	var all []contender
	switch {
	case o.URL != "":
		if !slices.Contains(Targets(), cmp.Or(o.Target, "shaveet")) {
			return nil, fmt.Errorf("target: %q is none of %s", o.Target, strings.Join(Targets(), ", "))
		}
		all = append(all, contender{cmp.Or(o.Target, "shaveet"), o.openURL})
	case cmp.Or(o.Target, "shaveet") != "shaveet":
		return nil, fmt.Errorf("a server of the kind %q has to be started by somebody: its address is missing", o.Target)
	default:
		all = append(all, contender{"shaveet", o.openOwn})
	}
	if o.Yardstick {
		if kind := yardstickFor(&o.Plan); kind != "" {
			all = append(all, contender{"yardstick " + kind, func(ctx context.Context) (*site, error) { return o.openYardstick(ctx, kind) }})
		}
	}
	return all, nil
}

// openURL is a server that is there already.
func (o *Options) openURL(context.Context) (*site, error) {
	public := cmp.Or(o.Public, o.URL)
	u, err := url.Parse(public)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no address for readers: it must begin with http:// or https:// and name a host", public)
	}
	s := &site{process: process(o.PID), close: func() {}}
	if u.Scheme == "https" {
		s.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	if s.process == 0 && isLocal(u.Hostname()) {
		_, digits, _ := net.SplitHostPort(hostPort(u))
		port, _ := strconv.Atoi(digits)
		s.process = owner(port)
	}
	switch o.Target {
	case "nchan":
		s.target = &nchan{publish: o.URL, public: public}
	case "socketio":
		s.target = &stock{publish: o.URL, public: public}
	default:
		s.target = &shaveet{admin: o.URL, public: public, token: o.Token}
	}
	return s, nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// openOwn starts a Shaveet of our own, so that its CPU time and memory are
// those of the server alone.
func (o *Options) openOwn(ctx context.Context) (*site, error) {
	args := []string{"serve", "--listen", "127.0.0.1:0", "--public-listen", "127.0.0.1:0", "--log-level", "info",
		"--drain-delay", "0s", "--idle-time", "1h", "--min-age", "1h"} // nobody is let go while others come
	for flag, least := range map[string][2]int{
		"--clients":                  {o.Plan.Readers, 1_000_000},
		"--channels":                 {o.Plan.Channels, 1_000_000},
		"--subscriptions-per-client": {o.Plan.Each, 128},
		"--socketio-max-connections": {o.Plan.Readers, 100_000},
	} {
		if least[0]+1000 > least[1] {
			args = append(args, flag, strconv.Itoa(least[0]+1000))
		}
	}
	c, err := startChild(o.Program, o.Env, append(args, o.Args...)...)
	if err != nil {
		return nil, err
	}
	doors := make(map[string]string)
	err = c.wait(ctx, func(line string) bool {
		if _, rest, ok := strings.Cut(line, "msg=listening door="); ok {
			door, addr, _ := strings.Cut(rest, " addr=")
			doors[door] = "http://" + strings.Trim(addr, `"`)
		}
		return doors["main"] != "" && doors["public"] != ""
	})
	if err != nil {
		c.stop()
		return nil, err
	}
	target := &shaveet{admin: doors["main"], public: doors["public"]}
	return &site{target: target, process: c.process(), close: c.stop}, nil
}

// openYardstick starts a yardstick.
func (o *Options) openYardstick(ctx context.Context, kind string) (*site, error) {
	c, err := startChild(o.Program, o.Env, "bench", YardstickCommand, kind)
	if err != nil {
		return nil, err
	}
	y := &yardTarget{}
	err = c.wait(ctx, func(line string) bool {
		n, _ := fmt.Sscanf(line, yardstickReady, &y.publish, &y.readers)
		return n == 2
	})
	if err != nil {
		c.stop()
		return nil, err
	}
	return &site{target: y, process: c.process(), close: c.stop}, nil
}

func writeJSON(to io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = to.Write(append(text, '\n'))
	}
	return err
}

// progress tells what goes on.
type progress struct {
	to          io.Writer
	live, quiet bool
	what        string
	last        time.Time
	phase       string
	deliveries  int64
}

func (p *progress) begin(what string) { p.what, p.phase, p.last = what, "", time.Time{} }

// said is called when a phase begins, and each second while it lasts.
func (p *progress) said(phase string, r *run) {
	now := time.Now()
	if p.quiet {
		return
	}
	least := 200 * time.Millisecond
	if !p.live {
		least = 5 * time.Second
	}
	if changed := phase != p.phase; now.Sub(p.last) < least && !(changed && phase == measuring) {
		return
	}
	p.phase = phase
	n := r.deliveries()
	rate := float64(n-p.deliveries) / now.Sub(p.last).Seconds()
	if p.last.IsZero() || n < p.deliveries {
		rate = 0
	}
	p.last, p.deliveries = now, n
	start, end := "", "\n"
	if p.live {
		start, end = "\r\x1b[K", ""
	}
	fmt.Fprintf(p.to, "%s%s: %s, %d of %d readers, %s deliveries/s%s", start, p.what, phase, r.ready(), r.plan.Readers, thousands(rate), end)
}

func (p *progress) end() {
	if p.live && !p.quiet {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
