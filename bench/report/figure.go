package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/shaveet/shaveet/bench"
)

// A figure is the median of several rounds, and the least and the most of them.
type figure struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
	Rounds int     `json:"rounds"` // 0: it is missing
}

func figureOf(all []float64) figure {
	if len(all) == 0 {
		return figure{}
	}
	v := slices.Sorted(slices.Values(all))
	middle := v[len(v)/2]
	if len(v)%2 == 0 {
		middle = (v[len(v)/2-1] + middle) / 2
	}
	return figure{middle, v[0], v[len(v)-1], len(v)}
}

func (f figure) missing() bool { return f.Rounds == 0 }

// over divides figures of different runs. The least and the most are those
// that there can have been.
func (f figure) over(g figure) figure {
	if f.missing() || g.missing() || g.Median == 0 || g.Least == 0 || g.Most == 0 {
		return figure{}
	}
	return figure{f.Median / g.Median, f.Least / g.Most, f.Most / g.Least, min(f.Rounds, g.Rounds)}
}

// short rounds to what means anything, so that a file of figures is small.
func (f figure) short() figure {
	round := func(v float64) float64 {
		short, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
		return short
	}
	return figure{round(f.Median), round(f.Least), round(f.Most), f.Rounds}
}

const notMeasured = "**not measured**"

// text writes the figure, and the least and the most behind it.
func (f figure) text(format func(float64) string) string {
	switch {
	case f.missing():
		return notMeasured
	case f.Rounds == 1 || format(f.Least) == format(f.Most):
		return format(f.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", format(f.Median), format(f.Least), format(f.Most))
}

func (f figure) median(format func(float64) string) string {
	if f.missing() {
		return notMeasured
	}
	return format(f.Median)
}

// whole writes a number without fractions, with commas between thousands.
func whole(v float64) string {
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "−", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

func hundredths(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
func percent(v float64) string    { return strconv.FormatFloat(100*v, 'f', 0, 64) + " %" }

// rough writes a number that was reckoned, with two digits that mean anything.
func rough(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return notMeasured
	}
	short, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 2, 64), 64)
	if math.Abs(short) >= 10 {
		return whole(short)
	}
	return strconv.FormatFloat(short, 'g', -1, 64)
}

// What is looked at in a run.

func perCPU(r *bench.Result) float64    { return r.PerCPU }
func perSecond(r *bench.Result) float64 { return r.PerSecond }
func p50(r *bench.Result) float64       { return r.Latency.P50 }
func p99(r *bench.Result) float64       { return r.Latency.P99 }
func rss(r *bench.Result) float64       { return float64(r.PerReader.RSS) }
func pss(r *bench.Result) float64       { return float64(r.PerReader.PSS) }

// kernel is the half of what both ends take. The machine's kernel may have given
// back more than that meanwhile, of others; then it is not known.
func kernel(r *bench.Result) float64 { return max(0, float64(r.Kernel)/2) }

// both is what the server takes, and the kernel for it.
func both(r *bench.Result) float64 {
	if kernel(r) == 0 {
		return 0
	}
	return rss(r) + kernel(r)
}

// mainValue is what is compared of a workload.
func mainValue(workload string) func(*bench.Result) float64 {
	switch workload {
	case bench.Idle:
		return rss
	case bench.Latency:
		return p50
	}
	return perCPU
}
