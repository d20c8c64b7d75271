package bench

import (
	"math/bits"
	"time"
)

// Each power of two is divided into so many buckets, so a value is known to
// within a hundredth of itself. What is longer than maxLatency counts as that.
const (
	subBits    = 7
	subBuckets = 1 << subBits
	maxLatency = time.Duration(1)<<37 - 1 // over two minutes
	buckets    = (37 - subBits + 1) * subBuckets
)

// A histogram counts durations. It has the same size however many there are.
type histogram struct {
	counts [buckets]uint64
	n      uint64
	max    time.Duration
}

func bucketOf(d time.Duration) int {
	v := uint64(min(max(d, 0), maxLatency))
	shift := max(0, bits.Len64(v)-subBits-1)
	return shift*subBuckets + int(v>>shift)
}

// upTo is the longest duration that falls into a bucket.
func upTo(bucket int) time.Duration {
	if bucket < 2*subBuckets {
		return time.Duration(bucket)
	}
	shift := bucket/subBuckets - 1
	return time.Duration(uint64(bucket-shift*subBuckets+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.n++
	h.max = max(h.max, d)
}

func (h *histogram) merge(o *histogram) {
	for i, n := range &o.counts {
		h.counts[i] += n
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}

// percentile is what so many of a hundred do not exceed.
func (h *histogram) percentile(p float64) time.Duration {
	want := max(1, uint64(float64(h.n)*p/100+0.5))
	var seen uint64
	for i, n := range &h.counts {
		if seen += n; seen >= want {
			return min(upTo(i), h.max)
		}
	}
	return h.max
}
