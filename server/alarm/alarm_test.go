package alarm_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/alarm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A sleeper notes when it is rung for.
type sleeper struct {
	alarm alarm.Alarm
	then  func() // nil: nothing

	mu    sync.Mutex // guards rung
	rung  []time.Duration
	began time.Time
}

func (s *sleeper) Alarm() *alarm.Alarm { return &s.alarm }

func (s *sleeper) Ring() {
	s.mu.Lock()
	s.rung = append(s.rung, time.Since(s.began))
	s.mu.Unlock()
	if s.then != nil {
		s.then()
	}
}

// was wants s to have been rung for at these times, and at no others.
func (s *sleeper) was(t *testing.T, want ...time.Duration) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.rung, want) {
		t.Errorf("it was rung for at %v, want %v", s.rung, want)
	}
}

func newSleepers(n int) []*sleeper {
	all := make([]*sleeper, n)
	for i := range all {
		all[i] = &sleeper{began: time.Now()}
	}
	return all
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := alarm.New[*sleeper]()
		s := newSleepers(5)
		k.Set(s[0], 3*time.Second)
		k.Set(s[1], time.Second)
		k.Set(s[2], 2*time.Second)
		k.SetAt(s[3], k.Now()+2*time.Second)
		k.Set(s[4], time.Hour)
		k.Set(s[0], time.Second/2) // sooner
		k.Set(s[1], 4*time.Second) // later
		k.Clear(s[2])
		k.Clear(s[2])
		if n := k.Sleepers(); n != 4 {
			t.Errorf("%d sleep", n)
		}
		time.Sleep(10 * time.Second)
		s[0].was(t, time.Second/2)
		s[1].was(t, 4*time.Second)
		s[2].was(t)
		s[3].was(t, 2*time.Second)
		s[4].was(t)
		k.Clear(s[4])
		k.Set(s[2], 0)
		s[2].was(t, 10*time.Second)
		if n := k.Sleepers(); n != 0 {
			t.Errorf("%d sleep at the end", n)
		}
	})
}

// A time that has long been over is one like others, even the clock's first.
func TestTheFirstMoment(t *testing.T) {
	for _, at := range []time.Duration{-time.Second, -1, 0, 1, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			k := alarm.New[*sleeper]()
			s := newSleepers(2)
			time.Sleep(time.Second)
			k.Set(s[0], time.Hour)
			k.Clear(s[0])
			k.SetAt(s[1], at)
			s[1].was(t, time.Second)
			k.SetAt(s[1], at)
			s[1].was(t, time.Second, time.Second)
			s[0].was(t)
		})
	}
}

// A time that was taken back can be asked for again.
func TestSetAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := alarm.New[*sleeper]()
		s := newSleepers(2)
		for _, i := range []int{0, 1, 0} {
			k.SetAt(s[i], time.Hour)
			k.Clear(s[i])
		}
		k.SetAt(s[1], time.Hour)
		time.Sleep(2 * time.Hour)
		s[0].was(t)
		s[1].was(t, time.Hour)
	})
}

// Who is rung for may set alarms, its own and those of others.
func TestSetWhileRinging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := alarm.New[*sleeper]()
		s := newSleepers(3)
		s[0].then = func() {
			if k.Now() < 3*time.Second {
				k.Set(s[0], time.Second)
			}
			k.Clear(s[1])
		}
		k.Set(s[0], time.Second)
		k.Set(s[1], time.Second+1)
		k.Set(s[2], 2*time.Second-1)
		time.Sleep(time.Minute)
		s[0].was(t, time.Second, 2*time.Second, 3*time.Second)
		s[1].was(t)
		s[2].was(t, 2*time.Second-1)
	})
}

// The clock's lock is free while somebody is rung for, even if that waits.
func TestRingsWithoutItsLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := alarm.New[*sleeper]()
		s := newSleepers(2)
		gate := make(chan struct{})
		s[0].then = func() { <-gate }
		k.Set(s[0], time.Second)
		time.Sleep(2 * time.Second)
		k.Set(s[1], time.Second)
		k.Set(s[0], 2*time.Second)
		k.Clear(s[0])
		time.Sleep(2 * time.Second)
		s[1].was(t) // it has to wait for the other
		close(gate)
		s[1].was(t, 4*time.Second)
		s[0].was(t, time.Second)
	})
}

// Many sleepers, each at its time, whatever others do.
func TestManySleepers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := alarm.New[*sleeper]()
		s := newSleepers(1000)
		want := make([]time.Duration, len(s))
		for range 5 {
			for _, i := range rand.Perm(len(s)) {
				want[i] = time.Duration(1 + rand.IntN(10_000))
				k.SetAt(s[i], want[i])
			}
		}
		for i := range s {
			if i%3 == 0 {
				k.Clear(s[i])
			}
		}
		time.Sleep(time.Second)
		for i := range s {
			if i%3 == 0 {
				s[i].was(t)
			} else {
				s[i].was(t, want[i])
			}
		}
	})
}

// Nobody is forgotten when many set and clear alarms at the same time.
func TestConcurrently(t *testing.T) {
	k := alarm.New[*sleeper]()
	var rung atomic.Int64
	var all sync.WaitGroup
	var last sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, s := range newSleepers(50) {
				for range 20 {
					k.Set(s, time.Duration(rand.IntN(100_000)))
					if rand.IntN(2) == 0 {
						k.Clear(s)
					}
				}
				end := &sleeper{then: func() { rung.Add(1); last.Done() }}
				last.Add(1)
				k.Set(end, time.Duration(rand.IntN(1_000_000)))
			}
		})
	}
	all.Wait()
	last.Wait()
	if n := rung.Load(); n != 400 {
		t.Errorf("%d were rung for", n)
	}
}

func BenchmarkSet(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k := alarm.New[*sleeper]()
			s := newSleepers(n)
			for i := range s {
				k.Set(s[i], time.Hour)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k.Set(s[i%n], time.Hour)
			}
			for i := range s {
				k.Clear(s[i])
			}
		})
	}
}

// A time in which the process stood still is nobody's, and when it goes on there
// is some more before anybody is rung for.
func TestStoodStill(t *testing.T) {
	const second = time.Second
	for _, tt := range []struct {
		name  string
		then  func(k *alarm.Clock[*sleeper], others *sleeper) // what is the first to look at the clock
		stood time.Duration
		want  [3]time.Duration // when those are rung for who wait for 10, 11 and 60 seconds
	}{
		{"somebody asks for the time", func(k *alarm.Clock[*sleeper], _ *sleeper) { k.Now() }, 60 * second, [3]time.Duration{6 * second, 7 * second, 56 * second}},
		{"somebody sets an alarm", func(k *alarm.Clock[*sleeper], o *sleeper) { k.SetAt(o, 5*second) }, 60 * second, [3]time.Duration{6 * second, 7 * second, 56 * second}},
		{"the timer goes off", func(*alarm.Clock[*sleeper], *sleeper) {}, 60 * second, [3]time.Duration{11 * second, 12 * second, 61 * second}},
		{"it was only busy", func(*alarm.Clock[*sleeper], *sleeper) {}, second / 5, [3]time.Duration{10 * second, 11*second - second/5, 60*second - second/5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := alarm.New[*sleeper]()
				s := newSleepers(4)
				k.Set(s[0], 10*second)
				k.Set(s[1], 11*second)
				k.Set(s[2], 60*second)
				time.Sleep(5 * second)
				k.Stand(tt.stood)
				tt.then(k, s[3])
				time.Sleep(100 * second)
				for i, at := range tt.want {
					s[i].was(t, at)
				}
			})
		})
	}
}

// A clock that is late all the time moves on nevertheless: it goes back once, and
// for some time no more.
func TestLateAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := alarm.New[*sleeper]()
		s := newSleepers(1)
		k.Set(s[0], time.Second)
		for range 60 {
			time.Sleep(time.Second - time.Millisecond)
			k.Stand(time.Second)
			k.Now()
			time.Sleep(time.Millisecond)
			k.Set(s[0], time.Second)
		}
		// A second and what it was late by, every ten seconds of twice as many.
		if now := k.Now(); now < 90*time.Second || now > 120*time.Second {
			t.Errorf("in two minutes the clock has gone for %v", now)
		}
	})
}

// It goes back when the process stands still another time, too.
func TestStandsStillAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := alarm.New[*sleeper]()
		s := newSleepers(1)
		var last time.Duration
		var want []time.Duration
		for range 3 {
			k.Set(s[0], 5*time.Second)
			before := k.Now()
			k.Stand(time.Minute)
			if now := k.Now(); now != before+4*time.Second {
				t.Errorf("%v before the alarm the clock has gone to %v from it", 5*time.Second, now-before)
			}
			time.Sleep(time.Minute)
			want = append(want, last+time.Second)
			s[0].was(t, want...)
			last += time.Minute
		}
	})
}
