package main

import (
	"strings"
	"testing"

	"github.com/shaveet/shaveet/bench"
)

func results(perCPU ...float64) (all []*bench.Result) {
	for _, v := range perCPU {
		all = append(all, &bench.Result{PerCPU: v})
	}
	return all
}

func TestFigures(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want figure
	}{
		{nil, figure{}},
		{[]float64{5}, figure{5, 5, 5, 1}},
		{[]float64{9, 1}, figure{5, 1, 9, 2}},
		{[]float64{9, 1, 2}, figure{2, 1, 9, 3}},
	} {
		if got := figureOf(c.of); got != c.want {
			t.Errorf("of %v it is %+v, want %+v", c.of, got, c.want)
		}
	}
}

// Ratios are those of rounds, and their median is not the ratio of medians.
func TestRatios(t *testing.T) {
	s := &runs{ours: results(100, 200, 900), other: results(100, 400, 300)}
	if got, want := s.ratio(perCPU), (figure{1, 0.5, 3, 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	s = &runs{ours: results(100, 200), other: results(0, 400)} // the first was too short to be told
	if got, want := s.ratio(perCPU), (figure{0.5, 0.5, 0.5, 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	s = &runs{ours: results(0, 200), other: results(300, 400)}
	if got, want := s.ratio(perCPU), (figure{0.5, 0.5, 0.5, 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := (*runs)(nil).ratio(perCPU); !got.missing() {
		t.Errorf("what was not measured has a ratio: %+v", got)
	}
	if got, want := (figure{10, 8, 12, 3}).over(figure{5, 4, 8, 2}), (figure{2, 1, 3, 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := (figure{10, 8, 12, 3}).over(figure{}); !got.missing() {
		t.Errorf("by nothing it is %+v", got)
	}
}

func TestText(t *testing.T) {
	for got, want := range map[string]string{
		figure{}.text(whole):                            notMeasured,
		figure{1234567, 999.6, 2e6, 3}.text(whole):      "1,234,567 (1,000–2,000,000)",
		figure{1.001, 1.002, 1.003, 3}.text(hundredths): "1.00",
		figure{2, 2, 2, 1}.text(hundredths):             "2.00",
		whole(-4321):                                    "−4,321",
		rough(1234):                                     "1,200",
		rough(0.01234):                                  "0.012",
		rough(5.67):                                     "5.7",
		rough(0):                                        notMeasured,
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestChanges(t *testing.T) {
	order := []cell{{name: "a", workload: bench.FanOut}, {name: "b", workload: bench.Publish}, {name: "c", workload: bench.Idle}, {name: "d", workload: bench.Churn}}
	old := kept{Cells: map[string]keptCell{"a": {100, 1}, "b": {100, 0}, "c": {2000, 0}}}
	for _, c := range []struct {
		what string
		now  map[string]keptCell
		want []string // one for each line
	}{
		{"the same", old.Cells, nil},
		{"14 % less and more", map[string]keptCell{"a": {100, 0.86}, "b": {114, 0}, "c": {2280, 0}}, nil},
		{"the machine was slower", map[string]keptCell{"a": {50, 1}, "b": {100, 0}, "c": {2000, 0}}, nil},
		{"a ratio fell", map[string]keptCell{"a": {100, 0.8}, "b": {100, 0}, "c": {2000, 0}}, []string{"a: 0.8 of the yardstick's was 1 (-20 %, worse)"}},
		{"more is published", map[string]keptCell{"a": {100, 1}, "b": {120, 0}, "c": {2000, 0}}, []string{"b: 120 was 100 (+20 %, better)"}},
		{"more memory", map[string]keptCell{"a": {100, 1}, "b": {100, 0}, "c": {3000, 0}}, []string{"c: 3000 was 2000 (+50 %, worse)"}},
		{"one is new, and one gone", map[string]keptCell{"a": {100, 1}, "b": {100, 0}, "d": {1, 0}}, []string{"c: measured before: true, now: false", "d: measured before: false, now: true"}},
	} {
		got := changes(old, kept{Cells: c.now}, order)
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
