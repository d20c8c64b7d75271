// Package chart draws line charts as SVG. They have no ground of their own, and
// colours that are read on white as well as on black.
package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Chart is lines in one pair of axes.
type Chart struct {
	Title string
	X, Y  Axis
	Lines []Line
}

// An Axis says what is measured along it, with its unit.
type Axis struct {
	Label string
	Log   bool    // in powers of ten; then Min must be more than 0
	Min   float64 // where it begins
	Max   float64 // where it ends; 0: where the last point is
}

// A Line is one row of the legend.
type Line struct {
	Name   string
	Dashed bool
	Colour int // one of them all, by number
	Points []Point
}

// A Point is a value of each axis.
type Point struct{ X, Y float64 }

// What there is in pixels.
const (
	width     = 760
	top       = 40
	bottom    = 360
	left      = 80
	right     = 740
	legend    = 425 // where its first row is
	row       = 20
	columns   = 2
	dashes    = "7 4"
	ink       = "#777"
	faint     = "#8884"
	tickCount = 6
)

// Both grounds are about as far from each of these.
var colours = [...]string{"#3a86e0", "#d9700c", "#2a9d55", "#a45fd6", "#dc4550", "#1797a6", "#a8801a"}

// SVG draws it.
func (c *Chart) SVG() []byte {
	var b bytes.Buffer
	x, y := c.scales()
	height := legend + (len(c.Lines)+columns-1)/columns*row
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="sans-serif" font-size="13" fill="%s">`+"\n", width, height, width, height, ink)
	fmt.Fprintf(&b, "<title>%s</title>\n", escaped(c.Title))
	fmt.Fprintf(&b, `<clipPath id="in"><rect x="%d" y="%d" width="%d" height="%d"/></clipPath>`+"\n", left, top-2, right-left, bottom-top+4)
	text(&b, left, 22, "start", 15, c.Title)
	x.draw(&b, false)
	y.draw(&b, true)
	for i := range c.Lines {
		c.Lines[i].draw(&b, x, y)
		c.Lines[i].name(&b, i)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// scales fits the axes to the points, where they do not say themselves.
func (c *Chart) scales() (x, y scale) {
	x, y = scale{c.X, left, right}, scale{c.Y, bottom, top}
	fitX, fitY := x.Max == 0, y.Max == 0
	for _, l := range c.Lines {
		for _, p := range l.Points {
			if fitX {
				x.Max = max(x.Max, p.X)
			}
			if fitY {
				y.Max = max(y.Max, p.Y)
			}
		}
	}
	x.Max, y.Max = above(x.Max, x.Min), above(y.Max, y.Min)
	return x, y
}

func above(most, least float64) float64 {
	if most > least {
		return most
	}
	return least + 1
}

// A scale is an axis on paper.
type scale struct {
	Axis
	from, to float64
}

// at is where a value is drawn. What is off the axis ends at its edge, a bit beyond.
func (s *scale) at(v float64) float64 {
	part := (v - s.Min) / (s.Max - s.Min)
	if s.Log {
		part = math.Log(max(v, s.Min/2)/s.Min) / math.Log(s.Max/s.Min)
	}
	return s.from + min(max(part, -0.05), 1.05)*(s.to-s.from)
}

// ticks are the values that are written at the axis.
func (s *scale) ticks() (at []float64) {
	if s.Log {
		for v := math.Pow(10, math.Ceil(math.Log10(s.Min)-1e-9)); v <= s.Max*1.0001; v *= 10 {
			at = append(at, v)
		}
		return at
	}
	step := niceStep((s.Max - s.Min) / tickCount)
	for i := math.Ceil(s.Min/step - 1e-9); i*step <= s.Max*1.0001; i++ {
		at = append(at, i*step+0) // never -0
	}
	return at
}

// niceStep is the first of 1, 2, 5, 10 … that is no less.
func niceStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, n := range []float64{1, 2, 5} {
		if n*power >= least*0.9999 {
			return n * power
		}
	}
	return 10 * power
}

func (s *scale) draw(b *bytes.Buffer, upright bool) {
	for _, v := range s.ticks() {
		at := s.at(v)
		if upright {
			fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="%s"/>`+"\n", left, at, right, faint)
			text(b, left-8, at+4, "end", 12, number(v))
		} else {
			fmt.Fprintf(b, `<path d="M%.1f %dV%d" stroke="%s"/>`+"\n", at, top, bottom, faint)
			text(b, at, bottom+18, "middle", 12, number(v))
		}
	}
	if upright {
		fmt.Fprintf(b, `<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (top+bottom)/2, escaped(s.Label))
		return
	}
	text(b, (left+right)/2, bottom+40, "middle", 13, s.Label)
}

func (l *Line) draw(b *bytes.Buffer, x, y scale) {
	if len(l.Points) == 0 {
		return
	}
	fmt.Fprintf(b, `<polyline clip-path="url(#in)" %s points="`, l.stroke())
	for i, p := range l.Points {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(short(x.at(p.X)) + "," + short(y.at(p.Y)))
	}
	b.WriteString("\"/>\n")
}

// name puts the line into the legend.
func (l *Line) name(b *bytes.Buffer, i int) {
	x := left + i%columns*(right-left)/columns
	y := legend + i/columns*row
	fmt.Fprintf(b, `<path %s d="M%d %dh28"/>`+"\n", l.stroke(), x, y-4)
	text(b, float64(x+36), float64(y), "start", 13, l.Name)
}

func (l *Line) stroke() string {
	dash := ""
	if l.Dashed {
		dash = ` stroke-dasharray="` + dashes + `"`
	}
	return fmt.Sprintf(`fill="none" stroke-width="2.2" stroke-linejoin="round" stroke="%s"%s`, colours[l.Colour%len(colours)], dash)
}

func text(b *bytes.Buffer, x, y float64, anchor string, size int, s string) {
	fmt.Fprintf(b, `<text x="%s" y="%s" text-anchor="%s" font-size="%d">%s</text>`+"\n", short(x), short(y), anchor, size, escaped(s))
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

func short(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// number is a value as people write it: 25,000 or 0.5.
func number(v float64) string {
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if math.Abs(v) < 1000 {
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
