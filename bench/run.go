package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A run is one measurement under way.
type run struct {
	*site
	plan *Plan
	said func(phase string, r *run)

	began    time.Time
	crowds   []*crowd
	tallies  []*tally
	speech   *speech
	from, to atomic.Int64

	cancel context.CancelFunc // ends the readers
	over   sync.WaitGroup
	failed chan error // of readers and publishers

	before, made, after     Memory
	kernelMade, kernelAfter int64
}

// A sample is what counts at one moment.
type sample struct {
	at         time.Time
	cpu, own   time.Duration
	deliveries int64
	answered   int64
	cycles     int64
}

// measure makes a run. After an interruption it returns what has been measured.
func measure(ctx context.Context, p *Plan, s *site, said func(string, *run)) (*Result, error) {
	r := &run{site: s, plan: p, said: said, failed: make(chan error, 1+p.Loops+p.Publishers)}
	r.from.Store(int64(maxLatency) << 20)
	r.to.Store(r.from.Load())
	r.before = r.memory()
	said("preparing", r)
	defer r.tidy()
	defer r.stop()
	if err := s.target.prepare(ctx, p); err != nil {
		return nil, fmt.Errorf("preparing the server: %w", err)
	}
	if p.Workload == Idle { // what was needed for that has been given back then, and is not taken again for readers
		if err := r.pass(ctx, p.Duration, "settling"); err != nil {
			return nil, err
		}
	}
	r.made, r.kernelMade = r.memory(), kernelMemory()
	connecting := r.sample()
	r.connect()
	if err := r.connected(ctx); err != nil {
		return nil, err
	}
	var first, last sample
	var err error
	switch p.Workload {
	case Idle:
		last = r.sample()
		err = r.pass(ctx, p.Duration, "idle")
		first, r.after, r.kernelAfter = connecting, r.memory(), kernelMemory()
	case Churn:
		first, last, err = r.window(ctx)
	default:
		first, last, err = r.publish(ctx)
	}
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	if p.Workload != Idle {
		r.after = r.memory()
	}
	r.stop()
	result := r.result(first, last)
	result.Interrupted = ctx.Err() != nil
	return result, nil
}

// connect lets the readers come.
func (r *run) connect() {
	p := r.plan
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.began = time.Now()
	r.speech = &speech{plan: p, members: p.spread().members(), said: make([]uint32, p.Channels), began: r.began,
		flight: newFlight(p.Window), latency: make([]histogram, p.Publishers), from: &r.from, to: &r.to}
	if p.Readers == 0 {
		return
	}
	held := make([]heldBy, p.Readers*p.Each)
	loops := min(p.Loops, p.Readers)
	for i := range loops {
		t := &tally{spread: p.spread(), size: p.Size, held: held, began: r.began, flight: r.speech.flight, from: &r.from, to: &r.to}
		c := &crowd{dialect: r.target.dialect, address: r.target.readersAt(), tls: r.tls, tally: t, atOnce: max(1, p.AtOnce/loops),
			rate: p.Connects / float64(loops), churn: p.Workload == Churn}
		for reader := i; reader < p.Readers; reader += loops {
			c.readers = append(c.readers, reader)
		}
		r.crowds, r.tallies = append(r.crowds, c), append(r.tallies, t)
		r.over.Go(func() {
			if err := c.run(ctx); err != nil {
				r.failed <- err
			}
		})
	}
}

// connected waits until all readers are there.
func (r *run) connected(ctx context.Context) error {
	if r.plan.Workload == Churn {
		return nil
	}
	last, since := int64(-1), time.Now()
	for {
		n := r.ready()
		if n == int64(r.plan.Readers) {
			return nil
		}
		if n != last {
			last, since = n, time.Now()
		}
		if err := r.firstError(); err != nil {
			return fmt.Errorf("%d of %d readers came, and one broke off: %w", n, r.plan.Readers, err)
		}
		if time.Since(since) > r.plan.Patience {
			return fmt.Errorf("only %d of %d readers have come, and no more come", n, r.plan.Readers)
		}
		if err := r.pass(ctx, 5*time.Millisecond, "connecting"); err != nil {
			return err
		}
	}
}

func (r *run) ready() (n int64) {
	for _, c := range r.crowds {
		n += c.ready.Load()
	}
	return n
}

func (r *run) deliveries() (n int64) {
	for _, t := range r.tallies {
		n += t.deliveries.Load()
	}
	return n
}

func (r *run) firstError() error {
	for _, c := range r.crowds {
		if err := c.firstError(); err != nil {
			return err
		}
	}
	return nil
}

// publish says messages while it is measured, and waits until they have come.
func (r *run) publish(ctx context.Context) (first, last sample, err error) {
	if r.speech.call, err = r.target.says(); err != nil {
		return first, last, err
	}
	// The server may not have done yet with what came with the readers.
	if err := r.pass(ctx, r.plan.settle, "connected"); err != nil {
		return first, last, err
	}
	speaking, hush := context.WithCancel(ctx)
	defer hush()
	var speakers sync.WaitGroup
	r.speech.starts = time.Since(r.began) + 20*time.Millisecond
	for i := range r.plan.Publishers {
		p, err := newPublisher(ctx, r.speech, i)
		if err != nil {
			hush()
			speakers.Wait()
			return first, last, err
		}
		speakers.Go(func() {
			if err := p.run(speaking); err != nil {
				r.failed <- fmt.Errorf("publishing: %w", err)
			}
		})
	}
	first, last, err = r.window(ctx)
	hush()
	speakers.Wait()
	r.land(ctx)
	if err == nil {
		select {
		case err = <-r.failed:
		default:
		}
	}
	return first, last, err
}

// measuring is the phase that counts.
const measuring = "measuring"

// window lets the warm-up pass and takes a sample on each side of what is
// measured.
func (r *run) window(ctx context.Context) (first, last sample, err error) {
	if err = r.pass(ctx, r.plan.WarmUp, "warming up"); err != nil {
		first = r.sample()
		return first, first, err
	}
	first = r.sample()
	r.from.Store(int64(first.at.Sub(r.began)))
	err = r.pass(ctx, r.plan.Duration, measuring)
	last = r.sample()
	r.to.Store(int64(last.at.Sub(r.began)))
	return first, last, err
}

// land waits until all that was said has come, or nothing comes any more.
func (r *run) land(ctx context.Context) {
	patience := r.plan.Patience
	if ctx.Err() != nil {
		patience = min(patience, time.Second) // somebody has said that it is enough
	}
	last, since := int64(-1), time.Now()
	for time.Since(since) < patience {
		n := r.deliveries()
		if n >= r.speech.expected.Load() {
			return
		}
		if n != last {
			last, since = n, time.Now()
		}
		time.Sleep(2 * time.Millisecond)
	}
}

var errInterrupted = errors.New("interrupted")

// pass lets time pass, and tells what goes on. It ends early when ctx does, or
// when something fails.
func (r *run) pass(ctx context.Context, d time.Duration, phase string) error {
	r.said(phase, r)
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return errInterrupted
		case err := <-r.failed:
			return err
		case <-end.C:
			return nil
		case <-tick.C:
			r.said(phase, r)
		}
	}
}

func (r *run) sample() sample {
	s := sample{deliveries: r.deliveries(), own: ownCPU()}
	for _, c := range r.crowds {
		s.cycles += c.cycles.Load()
	}
	if r.speech != nil {
		s.answered = r.speech.answered.Load()
	}
	if r.process != 0 {
		s.cpu, _ = r.process.cpu()
	}
	s.at = time.Now()
	return s
}

func (r *run) memory() (m Memory) {
	if r.process != 0 {
		m, _ = r.process.memory()
	}
	return m
}

// stop ends the readers. It may be called again.
func (r *run) stop() {
	if r.cancel != nil {
		r.cancel()
	}
	r.over.Wait()
}

func (r *run) tidy() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r.target.tidy(ctx)
}
