// Command report measures Shaveet and writes docs/performance.md: make bench.
// With --peers it measures it side by side with other servers and writes
// docs/peers.md: make bench-peers.
//
//	go run ./bench/report --shaveet bin/shaveet
//
// It calls "shaveet bench" for each line of a table of workloads, several
// rounds, and reckons with what that prints. It exits with 1 if anything was
// lost or came twice, or if anything could not be measured; the document says
// so then.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		stop()
		os.Exit(1)
	}
}

// An order is what the program is told.
type order struct {
	runner
	docs  string
	peers bool
	write bool
	only  string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 2 && args[0] == serveTLS { // started by another report
		return beServer(ctx, args[1], stderr)
	}
	o := order{runner: runner{stderr: stderr, runs: make(map[string]*runs)}}
	fs := flag.NewFlagSet("report", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.program, "shaveet", "bin/shaveet", "the program to be measured")
	fs.StringVar(&o.docs, "docs", "docs", "where the document is written")
	fs.BoolVar(&o.peers, "peers", false, "measure it side by side with other servers")
	fs.BoolVar(&o.quick, "quick", false, "a part of it, with few readers and short runs, to see that all works; writes nothing")
	fs.StringVar(&o.only, "only", "", "measure only what has a name like this regular expression, as in \"idle|churn\", \"probes\" being the profiles and system calls; writes nothing")
	fs.IntVar(&o.rounds, "rounds", 0, "so many rounds of everything (default 2 or 3)")
	fs.IntVar(&o.most, "readers", 0, "so many readers at most (default: as each part has it)")
	fs.DurationVar(&o.duration, "duration", 0, "that is measured in each run (default 1s to 2.5s)")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("%q is not understood", fs.Arg(0))
	}
	o.write = !o.quick && o.only == "" && o.most == 0
	if o.quick {
		o.rounds, o.most, o.duration = 1, cmp.Or(o.most, 200), cmp.Or(o.duration, 300*time.Millisecond)
	}
	var err error
	if o.runner.only, err = compiled(o.only); err != nil {
		return err
	}
	if o.program, err = filepath.Abs(o.program); err != nil {
		return err
	}
	if _, err := os.Stat(o.program); err != nil {
		return fmt.Errorf("there is nothing to be measured, make build makes it: %w", err)
	}
	d, err := o.measureAll(ctx)
	if err != nil {
		return err
	}
	return o.finish(d, stdout)
}

func compiled(only string) (*regexp.Regexp, error) {
	if only == "" {
		return nil, nil
	}
	return regexp.Compile(only)
}

// measureAll measures all that was ordered.
func (o *order) measureAll(ctx context.Context) (*document, error) {
	d := &document{machine: thisMachine(), cells: cells(), duration: o.duration}
	if o.peers {
		d.cells = peerCells()
	}
	for i := range d.cells {
		if o.rounds > 0 {
			d.cells[i].rounds = o.rounds
		}
	}
	began := time.Now()
	if err := o.measure(ctx, d.cells); err != nil {
		return nil, err
	}
	if !o.peers && (o.only == "" || o.runner.only.MatchString("probes")) {
		o.probe(ctx, d)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	d.runs, d.skipped, d.faults = o.runs, o.skipped, o.faults
	d.machine.Ended, d.machine.Took = load(), time.Since(began)
	_, err := readJSON(filepath.Join(o.docs, "peers.json"), &d.peers)
	return d, err
}

// probe looks into a server that is loaded.
func (o *order) probe(ctx context.Context, d *document) {
	seconds, counted := 3, time.Second
	if o.quick {
		seconds, counted = 1, 200*time.Millisecond
	}
	for _, w := range windows {
		fmt.Fprintf(o.stderr, "profile, w=%d\n", w)
		d.profiles = append(d.profiles, o.profile(ctx, w, seconds))
	}
	for _, w := range windows[1:] {
		fmt.Fprintf(o.stderr, "system calls, w=%d\n", w)
		d.traces = append(d.traces, o.trace(ctx, w, counted))
	}
}

// finish writes the document, or shows the goals, and says what is wrong.
func (o *order) finish(d *document, stdout io.Writer) error {
	name, text := "performance", performanceText
	if o.peers {
		name, text = "peers", peersText
	}
	page, err := d.render(text)
	if err != nil {
		return err
	}
	switch {
	case o.write:
		if err := o.save(d, name, page, stdout); err != nil {
			return err
		}
	case o.peers:
		fmt.Fprintf(stdout, "%s\n\n%s\n", d.Against("nchan"), d.Against("socketio"))
	default:
		fmt.Fprintf(stdout, "%s\n\nSmall runs show that it works, and not how fast it is.\n", goalTable(d.known()))
	}
	missing := d.Missing()
	if len(d.skipped) > 0 {
		missing = missing[:len(missing)-1]
	}
	for _, line := range missing {
		fmt.Fprintln(stdout, "not measured:", line)
	}
	for _, line := range d.faults {
		fmt.Fprintln(stdout, "not as it should be:", line)
	}
	switch {
	case len(d.faults) > 0:
		return fmt.Errorf("not everything came as it should, in %d runs: %s", len(d.faults), strings.Join(d.faults, "; "))
	case len(missing) > 0:
		return fmt.Errorf("%d parts could not be measured", len(missing))
	}
	return nil
}

// save writes the document and the figures, and says what has changed.
func (o *order) save(d *document, name, page string, stdout io.Writer) error {
	figures := filepath.Join(o.docs, name+".json")
	if o.peers {
		if err := writeJSON(figures, d.comparison()); err != nil {
			return err
		}
	} else {
		var old kept
		there, err := readJSON(figures, &old)
		if err != nil {
			return err
		}
		now := d.kept()
		if there {
			o.tellChanges(old, now, d, stdout)
		}
		if err := writeJSON(figures, now); err != nil {
			return err
		}
	}
	path := filepath.Join(o.docs, name+".md")
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "written: %s, %s\n", path, figures)
	return nil
}

func (o *order) tellChanges(old, now kept, d *document, stdout io.Writer) {
	all := changes(old, now, d.cells)
	if len(all) == 0 {
		fmt.Fprintf(stdout, "nothing differs by more than %s from %s\n", percent(muchChanged), old.Date)
	}
	for _, line := range all {
		fmt.Fprintf(stdout, "changed since %s: %s\n", old.Date, line)
	}
}
