package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
)

// wellFormed fails the test if it is no XML, and returns how many of each element
// there are.
func wellFormed(t *testing.T, svg []byte) map[string]int {
	t.Helper()
	count := map[string]int{}
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok {
			count[e.Name.Local]++
		}
	}
}

func TestChartsAreWellFormed(t *testing.T) {
	lines := []Line{
		{Name: `<&"> & more`, Points: []Point{{0, 1}, {10, 100}, {20, 1e9}}},
		{Name: "dashed", Dashed: true, Colour: 100, Points: []Point{{5, 0}, {7, math.Inf(1)}}},
		{Name: "nothing"},
	}
	for name, c := range map[string]Chart{
		"linear": {Title: "a < b & c", X: Axis{Label: "s"}, Y: Axis{Label: "n > 1", Max: 200}, Lines: lines},
		"log":    {X: Axis{Min: 1, Max: 1000, Log: true}, Y: Axis{Min: 0.1, Max: 1e6, Log: true}, Lines: lines},
		"empty":  {},
	} {
		t.Run(name, func(t *testing.T) {
			svg := c.SVG()
			count := wellFormed(t, svg)
			want := 0
			for _, l := range c.Lines {
				if len(l.Points) > 0 {
					want++
				}
			}
			if count["svg"] != 1 || count["polyline"] != want {
				t.Errorf("it has %d lines, want %d", count["polyline"], want)
			}
			if strings.Contains(string(svg), "NaN") || strings.Contains(string(svg), "Inf") {
				t.Errorf("it has points that are nowhere:\n%s", svg)
			}
		})
	}
}

func TestTicksAreRound(t *testing.T) {
	for _, tt := range []struct {
		axis Axis
		want []float64
	}{
		{Axis{Max: 120}, []float64{0, 20, 40, 60, 80, 100, 120}},
		{Axis{Max: 7.7}, []float64{0, 2, 4, 6}},
		{Axis{Max: 250_000}, []float64{0, 50_000, 100_000, 150_000, 200_000, 250_000}},
		{Axis{Min: 1, Max: 1000, Log: true}, []float64{1, 10, 100, 1000}},
		{Axis{Min: 0.5, Max: 50, Log: true}, []float64{1, 10}},
	} {
		s := scale{Axis: tt.axis}
		if got := s.ticks(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v has %v, want %v", tt.axis, got, tt.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.5: "0.5", 999: "999", 1000: "1,000", 1_234_567: "1,234,567"} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}
