package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/shaveet/shaveet/bench"
)

// A runner measures cells by calling the program.
type runner struct {
	program  string         // the file of it
	rounds   int            // at most; 0: as many as the cells say
	duration time.Duration  // of each run; 0: as the cells say
	most     int            // readers at most; 0: as the cells say
	only     *regexp.Regexp // names of cells; nil: all
	quick    bool
	stderr   io.Writer

	runs    map[string]*runs
	faults  []string // what was lost, or came twice, and where
	skipped []string // cells that were not asked for
}

// runs are all of a cell, ours and the other's.
type runs struct {
	ours, other []*bench.Result
	err         error // why some are missing
}

// ours are the figures of our runs.
func (s *runs) figure(value func(*bench.Result) float64) figure {
	if s == nil {
		return figure{}
	}
	return figureOf(values(s.ours, value))
}

func (s *runs) others(value func(*bench.Result) float64) figure {
	if s == nil {
		return figure{}
	}
	return figureOf(values(s.other, value))
}

// ratio is of ours to the other's, round by round.
func (s *runs) ratio(value func(*bench.Result) float64) figure {
	if s == nil {
		return figure{}
	}
	return ratios(s.ours, s.other, value)
}

// ratios are of runs of the same rounds.
func ratios(a, b []*bench.Result, value func(*bench.Result) float64) figure {
	var all []float64
	for i := range min(len(a), len(b)) {
		if v, by := value(a[i]), value(b[i]); v > 0 && by > 0 {
			all = append(all, v/by)
		}
	}
	return figureOf(all)
}

// values are those of runs that have one. A median with something that was not
// found out would be none.
func values(all []*bench.Result, value func(*bench.Result) float64) (v []float64) {
	for _, r := range all {
		if one := value(r); one != 0 {
			v = append(v, one)
		}
	}
	return v
}

// measure runs all cells, round by round, so that what the machine does
// meanwhile falls upon all of them.
func (r *runner) measure(ctx context.Context, all []cell) error {
	var wanted []cell
	most, total := 0, 0
	for _, c := range all {
		if r.only != nil && !r.only.MatchString(c.name) || r.quick && !c.quick {
			r.skipped = append(r.skipped, c.name)
			continue
		}
		if r.rounds > 0 {
			c.rounds = r.rounds
		}
		wanted = append(wanted, c)
		most, total = max(most, c.rounds), total+c.rounds
		r.runs[c.name] = &runs{}
	}
	done, began := 0, time.Now()
	for round := 1; round <= most; round++ {
		for _, c := range wanted {
			if round > c.rounds {
				continue
			}
			ours, other, err := r.once(ctx, c)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			done++
			left := time.Since(began) / time.Duration(done) * time.Duration(total-done)
			r.note(c, ours, other, err)
			fmt.Fprintf(r.stderr, "%d of %d, %v left: %s: %s\n", done, total, left.Round(time.Second), c.name, outcome(c, ours, other, err))
		}
	}
	return nil
}

// note keeps what a round of a cell has found. A round in which one of two
// failed counts for neither.
func (r *runner) note(c cell, ours, other *bench.Result, err error) {
	s := r.runs[c.name]
	if err != nil {
		s.err = err
		return
	}
	s.ours = append(s.ours, ours)
	if ours.Faults.Any() {
		r.faults = append(r.faults, fmt.Sprintf("%s: %+v", c.name, ours.Faults))
	}
	if other != nil {
		s.other = append(s.other, other)
	}
}

func outcome(c cell, ours, other *bench.Result, err error) string {
	if err != nil {
		return "failed: " + err.Error()
	}
	value := mainValue(c.workload)
	text := figureOf([]float64{value(ours)}).median(rough)
	if other != nil {
		text += " against " + figureOf([]float64{value(other)}).median(rough)
	}
	return text
}

// once makes one round of a cell. What is lost is no error here.
func (r *runner) once(ctx context.Context, c cell) (ours, other *bench.Result, err error) {
	flags := r.flags(c, c.flags)
	switch {
	case c.tls:
		ours, err = r.overTLS(ctx, flags)
		return ours, nil, err
	case c.peer != "":
		if ours, err = r.one(ctx, nil, append([]string{"--yardstick", "off"}, flags...)); err != nil {
			return nil, nil, err
		}
		if other, err = r.peer(ctx, c.peer, r.flags(c, c.otherwise)); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.peer, err)
		}
		return ours, other, nil
	case !c.yardstick:
		ours, err = r.one(ctx, nil, append([]string{"--yardstick", "off"}, flags...))
		return ours, nil, err
	}
	all, err := r.bench(ctx, nil, append([]string{"--yardstick", "on"}, flags...))
	if err == nil && len(all) != 2 {
		err = fmt.Errorf("%d results, want ours and the yardstick's", len(all))
	}
	if err != nil {
		return nil, nil, err
	}
	return all[0], all[1], nil
}

// warmUp is what passes before anything is measured.
const (
	warmUp     = 500 * time.Millisecond
	peerWarmUp = 1500 * time.Millisecond // Node has to compile what it does often
)

// flags are those for shaveet bench, workload last.
func (r *runner) flags(c cell, more []string) []string {
	duration := c.duration
	first := warmUp
	if c.peer != "" {
		first = peerWarmUp
	}
	if r.duration > 0 {
		duration = r.duration
		first = min(first, duration)
	}
	all := []string{"--warmup", first.String(), "--duration", duration.String()}
	if n := c.readers; n > 0 {
		if r.most > 0 {
			n = min(n, r.most)
		}
		all = append(all, "--readers", number(n))
	}
	// Idle is where it is measured what coming costs, and others may hear their
	// first message late if all come at once.
	if c.workload != bench.Idle && c.peer == "" {
		all = append(all, "--connect-rate", "-1")
	}
	return append(append(all, more...), c.workload)
}

// one is a run with one result.
func (r *runner) one(ctx context.Context, env, args []string) (*bench.Result, error) {
	all, err := r.bench(ctx, env, args)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("%d results, want one", len(all))
	}
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// longest is what a run may take. Some have to give up waiting for what is lost.
const longest = 3 * time.Minute

// bench calls the program.
func (r *runner) bench(ctx context.Context, env, args []string) ([]*bench.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.program, append([]string{"bench", "--json", "--quiet", "--rounds", "1"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends its server
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	all, broken := parse(out)
	switch {
	case broken != nil:
		return nil, broken
	case err != nil && !anyFaults(all):
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return all, nil
}

func anyFaults(all []*bench.Result) bool {
	for _, r := range all {
		if r.Faults.Any() {
			return true
		}
	}
	return false
}

var errInterrupted = errors.New("a run was interrupted")

// parse reads what shaveet bench --json prints.
func parse(out []byte) (all []*bench.Result, err error) {
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var r bench.Result
		if err := dec.Decode(&r); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("what shaveet bench has printed is not understood: %w", err)
		}
		if r.Type != "run" {
			continue
		}
		if r.Interrupted {
			return nil, errInterrupted
		}
		all = append(all, &r)
	}
}
