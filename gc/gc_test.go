package gc_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/gc"
	"github.com/shaveet/shaveet/server/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeHub writes down when it was asked for what.
type fakeHub struct {
	begun time.Time

	mu      sync.Mutex // guards all below
	expired []time.Duration
	evicted []time.Duration
	tidied  []time.Duration
	idle    hub.Idle

	expire func() (gone int, more bool, err error) // nil: nobody
	evict  func() (more bool)
	tidy   func() error
}

func (h *fakeHub) note(list *[]time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*list = append(*list, time.Since(h.begun))
}

func (h *fakeHub) Expire(_ context.Context, idle hub.Idle, _ int) (int, bool, error) {
	h.note(&h.expired)
	h.idle = idle
	if h.expire == nil {
		return 0, false, nil
	}
	return h.expire()
}

func (h *fakeHub) EvictAged(int) bool {
	h.note(&h.evicted)
	return h.evict != nil && h.evict()
}

func (h *fakeHub) Tidy(context.Context) error {
	h.note(&h.tidied)
	if h.tidy == nil {
		return nil
	}
	return h.tidy()
}

// A pausableContext can hold up whoever waits for it: asked for its Done, it
// sleeps. To a sweeper between two ticks it is as if its whole process had
// been stopped, and the clock gone on.
type pausableContext struct {
	context.Context
	pause atomic.Int64
}

func (c *pausableContext) Done() <-chan struct{} {
	time.Sleep(time.Duration(c.pause.Swap(0)))
	return c.Context.Done()
}

// start runs a sweeper in the test's bubble until the test ends.
func start(t *testing.T, h gc.Hub, opts gc.Options) *pausableContext {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	pausable := &pausableContext{Context: ctx}
	var running sync.WaitGroup
	running.Go(func() {
		if err := gc.New(h, opts).Run(pausable); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return pausable
}

// seconds is a list of times in whole seconds.
func seconds(list ...int) []time.Duration {
	var all []time.Duration
	for _, s := range list {
		all = append(all, time.Duration(s)*time.Second)
	}
	return all
}

func TestPace(t *testing.T) {
	for _, test := range []struct {
		name string
		opts gc.Options
		want []time.Duration
		idle hub.Idle
	}{
		{"by default", gc.Options{}, seconds(10, 20, 30), hub.Idle{After: 25 * time.Second, MinAge: time.Minute}},
		{"as told", gc.Options{Interval: 7 * time.Second, IdleTime: time.Second, MinAge: time.Hour},
			seconds(7, 14, 21, 28, 35), hub.Idle{After: time.Second, MinAge: time.Hour}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &fakeHub{begun: time.Now()}
				start(t, h, test.opts)
				time.Sleep(35*time.Second + 1)
				synctest.Wait()
				if !slices.Equal(h.expired, test.want) {
					t.Errorf("it looked for idle clients at %v, want %v", h.expired, test.want)
				}
				if h.idle != test.idle {
					t.Errorf("it took for idle %+v, want %+v", h.idle, test.idle)
				}
				if len(h.evicted) != 35 || len(h.tidied) != 35 {
					t.Errorf("messages were aged %d times, channels dropped %d times in 35 s", len(h.evicted), len(h.tidied))
				}
			})
		})
	}
}

// TestSweepsUntilNobodyIsLeft, and tells once how many there were, and of each
// second in which there was nothing to do.
func TestSweepsUntilNobodyIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHub{begun: time.Now()}
		left, aged := 2500, 3
		h.expire = func() (int, bool, error) {
			n := min(left, 1000)
			left -= n
			time.Sleep(time.Millisecond)
			return n, left > 0, nil
		}
		h.evict = func() bool { aged--; return aged > 0 }
		var sweeps []gc.Sweep
		start(t, h, gc.Options{Swept: func(s gc.Sweep) { sweeps = append(sweeps, s) }})
		time.Sleep(25 * time.Second)
		synctest.Wait()
		want := make([]gc.Sweep, 25)
		want[9] = gc.Sweep{LetGo: 2500, Took: 3 * time.Millisecond}
		want[19] = gc.Sweep{Took: time.Millisecond}
		if !slices.Equal(sweeps, want) {
			t.Errorf("told %+v, want %+v", sweeps, want)
		}
		if len(h.evicted) != 27 {
			t.Errorf("messages were aged %d times, want 27: three times in the first second", len(h.evicted))
		}
	})
}

// TestSweepsThatFail are told with what they did and why they ended, and those
// after them know nothing of it.
func TestSweepsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHub{begun: time.Now()}
		h.expire = func() (int, bool, error) {
			time.Sleep(time.Millisecond)
			if len(h.expired) == 1 {
				return 7, true, nil
			}
			return 0, false, hub.ErrUnavailable
		}
		h.tidy = func() error {
			if len(h.tidied) == 3 {
				return hub.ErrUnavailable
			}
			return nil
		}
		var sweeps []gc.Sweep
		start(t, h, gc.Options{Swept: func(s gc.Sweep) { sweeps = append(sweeps, s) }})
		time.Sleep(12*time.Second + 1)
		synctest.Wait()
		want := make([]gc.Sweep, 12)
		want[2] = gc.Sweep{Err: hub.ErrUnavailable}
		want[9] = gc.Sweep{LetGo: 7, Took: 2 * time.Millisecond, Err: hub.ErrUnavailable}
		if !slices.Equal(sweeps, want) {
			t.Errorf("told %+v, want %+v", sweeps, want)
		}
	})
}

// TestSparingIsTold: who watches the sweeper does not take it for stuck while
// it lets everybody come back.
func TestSparingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHub{begun: time.Now()}
		var told []time.Time
		ctx := start(t, h, gc.Options{IdleTime: 10 * time.Minute, Swept: func(s gc.Sweep) {
			if s != (gc.Sweep{}) {
				t.Errorf("told %+v", s)
			}
			told = append(told, time.Now())
		}})
		ctx.pause.Store(int64(time.Minute))
		time.Sleep(time.Minute + 100*time.Second + time.Second/2)
		synctest.Wait()
		if len(told) < 100 || len(h.tidied) > 1 {
			t.Errorf("told of %d sweeps, of which %d tidied", len(told), len(h.tidied))
		}
	})
}

// TestPauseGivesGrace: when the process has stood still, nobody is let go and
// nothing ages before everybody has had the time to come back. What it takes
// itself is no pause.
func TestPauseGivesGrace(t *testing.T) {
	for _, test := range []struct {
		name  string
		pause time.Duration
		spare bool
	}{
		{"a minute", time.Minute, true},
		{"three seconds", 3 * time.Second, true},
		{"a late tick", 1500 * time.Millisecond, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &fakeHub{begun: time.Now()}
				ctx := start(t, h, gc.Options{})
				time.Sleep(4500 * time.Millisecond)
				ctx.pause.Store(int64(test.pause)) // begins after the tick at 5 s
				time.Sleep(2 * time.Minute)
				synctest.Wait()

				woke := 5*time.Second + test.pause
				graceEnds := woke + 25*time.Second
				if test.spare {
					if first := h.expired[0]; first < graceEnds || first > graceEnds+10*time.Second {
						t.Errorf("it looked for idle clients at %v, the grace ended at %v", first, graceEnds)
					}
					if aged := h.evicted[5]; aged < graceEnds || aged > graceEnds+time.Second {
						t.Errorf("messages were aged at %v, the grace ended at %v", aged, graceEnds)
					}
				} else if first := h.expired[0]; first != 10*time.Second {
					t.Errorf("it looked for idle clients first at %v", first)
				}
				// Nobody is forgotten either who could not come back.
				if i := slices.IndexFunc(h.tidied, func(at time.Duration) bool { return at >= woke }); test.spare && h.tidied[i] < graceEnds {
					t.Errorf("it tidied at %v, the grace ended at %v", h.tidied[i], graceEnds)
				}
			})
		})
	}
}

func TestLongSweepIsNoPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHub{begun: time.Now()}
		h.expire = func() (int, bool, error) { time.Sleep(8 * time.Second); return 1, false, nil }
		start(t, h, gc.Options{})
		time.Sleep(45 * time.Second)
		synctest.Wait()
		if want := seconds(10, 20, 30, 40); !slices.Equal(h.expired, want) {
			t.Errorf("it looked for idle clients at %v, want %v", h.expired, want)
		}
	})
}

func TestRunEnds(t *testing.T) {
	broken := errors.New("the log has failed")
	for name, h := range map[string]*fakeHub{
		"when clients cannot be let go":   {expire: func() (int, bool, error) { return 0, true, broken }},
		"when channels cannot be dropped": {tidy: func() error { return broken }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := gc.New(h, gc.Options{}).Run(t.Context()); err != broken {
					t.Errorf("Run: %v", err)
				}
			})
		})
	}
	t.Run("when its context does", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			why := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(5500*time.Millisecond, func() { cancel(why) })
			begun := time.Now()
			if err := gc.New(&fakeHub{begun: begun}, gc.Options{}).Run(ctx); err != why {
				t.Errorf("Run: %v", err)
			}
			if d := time.Since(begun); d != 5500*time.Millisecond {
				t.Errorf("it ended after %v", d)
			}
		})
	})
	t.Run("while messages are ageing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			defer cancel()
			h := &fakeHub{evict: func() bool { time.Sleep(time.Second); return true }} // there is no end to it
			if err := gc.New(h, gc.Options{}).Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Run: %v", err)
			}
		})
	})
}
