package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A percentile is at most a hundredth above what sorting would tell, and never
// below it.
func TestPercentiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() time.Duration{
		"nanoseconds": func() time.Duration { return time.Duration(random.IntN(300)) },
		"even":        func() time.Duration { return time.Duration(random.IntN(int(time.Second))) },
		"wide":        func() time.Duration { return time.Duration(1) << random.IntN(37) },
		"one":         func() time.Duration { return 12345678 },
	} {
		t.Run(name, func(t *testing.T) {
			var h histogram
			var all []time.Duration
			for range 10_000 {
				d := draw()
				h.add(d)
				all = append(all, d)
			}
			slices.Sort(all)
			for _, p := range []float64{0, 1, 50, 90, 99, 99.9, 100} {
				exact := all[max(0, int(float64(len(all))*p/100+0.5)-1)]
				if got := h.percentile(p); got < exact || float64(got) > float64(exact)*1.01+1 {
					t.Errorf("%v%% of it is %v, want %v", p, got, exact)
				}
			}
			if h.max != all[len(all)-1] || h.n != uint64(len(all)) {
				t.Errorf("the longest of %d is %v, want %v", h.n, h.max, all[len(all)-1])
			}
		})
	}
}

// Every bucket ends where the next one begins.
func TestBuckets(t *testing.T) {
	for i := range buckets - 1 {
		if got := bucketOf(upTo(i)); got != i {
			t.Fatalf("bucket %d ends with %d, which is in %d", i, upTo(i), got)
		}
		if got := bucketOf(upTo(i) + 1); got != i+1 {
			t.Fatalf("bucket %d ends with %d, and the next one is in %d", i, upTo(i), got)
		}
	}
	for d, want := range map[time.Duration]int{-1: 0, maxLatency: buckets - 1, 1 << 62: buckets - 1} {
		if got := bucketOf(d); got != want {
			t.Errorf("%d is in bucket %d, want %d", d, got, want)
		}
	}
}

func TestMerge(t *testing.T) {
	var a, b, both histogram
	for i := range 1000 {
		d := time.Duration(i * i)
		both.add(d)
		if i%2 == 0 {
			a.add(d)
		} else {
			b.add(d)
		}
	}
	a.merge(&b)
	if a != both {
		t.Error("two merged are not the same as one")
	}
	if got := new(histogram).percentile(99); got != 0 {
		t.Errorf("of nothing it is %v", got)
	}
}
