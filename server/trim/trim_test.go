package trim

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is a heap of which it is said, for each second, what is taken.
type stage struct {
	takes time.Duration // to be freed
	keeps uint64        // what is spare and cannot be given back

	mu sync.Mutex // guards all below
	usage
	now   int   // the second
	freed []int // in which seconds
	told  []time.Duration
}

func (s *stage) look() usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usage
}

func (s *stage) take(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now++
	s.taken, s.spare = s.taken+n, s.spare+n
}

func (s *stage) free() {
	time.Sleep(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spare = s.keeps
	s.freed = append(s.freed, s.now)
}

func (s *stage) hear(g Given) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, g.Took)
}

func TestRun(t *testing.T) {
	const mb = 1 << 20
	for name, tt := range map[string]struct {
		used, keeps uint64
		takes       time.Duration
		takenIn     []uint64 // in each second
		want        []int    // when it is given back
	}{
		"nothing happens":                 {used: 50 * mb, takenIn: make([]uint64, 10)},
		"a crowd came":                    {used: 20 * mb, takenIn: []uint64{9 * mb, 9 * mb, 0, 0, 0}, want: []int{3}},
		"it goes on a little":             {used: 20 * mb, takenIn: []uint64{9 * mb, mb / 10, mb / 10, mb / 10}, want: []int{2}},
		"it goes on":                      {used: 20 * mb, takenIn: []uint64{9 * mb, mb, mb, mb, mb, mb, mb, mb, mb, mb, mb}},
		"too little for what is used":     {used: 40 * mb, takenIn: []uint64{9 * mb, 0, 0, 0}},
		"too little altogether":           {takenIn: []uint64{mb / 2, 0, 0, 0}},
		"one crowd after the other":       {used: 8 * mb, takenIn: []uint64{5 * mb, 0, 5 * mb, 0, 0, 0, 0, 0, 0}, want: []int{2, 7}},
		"it took long":                    {takes: 80 * time.Millisecond, takenIn: []uint64{5 * mb, 0, 5 * mb, 0, 0, 0, 0, 0, 0, 0, 0, 0}, want: []int{2, 11}},
		"what cannot be given back stays": {keeps: 9 * mb, takenIn: []uint64{10 * mb, 0, 0, 0, 0, 0, 0, 0, 0}, want: []int{2, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stage{usage: usage{used: tt.used}, takes: tt.takes, keeps: tt.keeps}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go run(ctx, s, s.hear)
				time.Sleep(tick / 2)
				for _, n := range tt.takenIn {
					s.take(n)
					time.Sleep(tick)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				if told := slices.Repeat([]time.Duration{tt.takes}, len(tt.want)); !slices.Equal(s.freed, tt.want) || !slices.Equal(s.told, told) {
					t.Errorf("given back in the seconds %v, which took %v; want %v, %v", s.freed, s.told, tt.want, told)
				}
			})
		})
	}
}

// What the runtime says of itself is understood: a heap of which most is garbage
// has much to spare, and next to nothing when it has been given back.
func TestRuntime(t *testing.T) {
	r := newRuntime()
	r.free()
	before := r.look()
	const n = 64 << 20
	garbage := make([]byte, n)
	for i := range garbage {
		garbage[i] = 1
	}
	full := r.look()
	if full.taken-before.taken < n || full.spare+full.used < n {
		t.Errorf("%d bytes were taken: %+v, before %+v", n, full, before)
	}
	runtime.KeepAlive(garbage)
	r.free()
	if after := r.look(); after.spare > n/4 || after.used > n/4 {
		t.Errorf("after all has been given back: %+v", after)
	}
}

// It ends with its context, whoever is told.
func TestEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	Run(ctx, nil)
}
