package bench

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

func TestNotes(t *testing.T) {
	for _, n := range []note{{}, {1, 2, 3, 4}, {maxChannels - 1, math.MaxUint32, math.MaxUint32, math.MaxInt64}} {
		for _, size := range []int{minSize, 128, 5000} {
			text := appendNote([]byte("before "), n, size)
			if len(text) != size+7 {
				t.Errorf("a note of %d bytes has %d", size, len(text)-7)
			}
			got, whole, rest, found := nextNote(append(text, "behind"...), size)
			if got != n || !whole || !found || string(rest) != "behind" {
				t.Errorf("%+v is read as %+v, whole: %v, with %q behind it", n, got, whole, rest)
			}
		}
	}
}

// What is damaged is seen, and does not hide what follows.
func TestDamagedNotes(t *testing.T) {
	const size = 60
	good := string(appendNote(nil, note{1, 2, 3, 4}, size))
	for name, text := range map[string]string{
		"a letter":      good[:5] + "g" + good[6:],
		"a capital":     good[:5] + "A" + good[6:],
		"cut short":     good[:50],
		"its end":       good[:size-1] + "x",
		"a byte lacks":  good[:20] + good[21:],
		"the time":      good[:30] + "-" + good[31:],
		"a byte more":   good[:45] + "x" + good[45:],
		"a second head": good[:10] + good,
	} {
		t.Run(name, func(t *testing.T) {
			var damaged, whole int
			for rest := []byte(text + `","x@y@"` + good); ; {
				_, ok, more, found := nextNote(rest, size)
				if !found {
					break
				}
				if rest = more; ok {
					whole++
				} else {
					damaged++
				}
			}
			if damaged == 0 || whole == 0 {
				t.Errorf("%d damaged and %d whole notes, want both", damaged, whole)
			}
		})
	}
}

func FuzzNotes(f *testing.F) {
	f.Add(appendNote(nil, note{1, 2, 3, time.Second}, 64), 64)
	f.Add([]byte("@!@!@"), minSize)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		if size < minSize || size > 1000 {
			return
		}
		for rest := text; ; {
			n, whole, more, found := nextNote(rest, size)
			if !found {
				return
			}
			if whole && !bytes.Contains(rest, appendNote(nil, n, minSize)[:noteLength]) {
				t.Fatalf("%+v is not in %q", n, rest)
			}
			if len(more) >= len(rest) {
				t.Fatal("it does not go on")
			}
			rest = more
		}
	})
}

// Every reader hears so many channels, and knows which.
func TestSpread(t *testing.T) {
	for _, s := range []spread{{1000, 1, 1}, {10, 10, 1}, {10, 5, 2}, {7, 3, 3}, {3, 100, 7}, {100, 8, 3}} {
		sum, least, most := 0, math.MaxInt, 0
		for _, n := range s.members() {
			sum, least, most = sum+n, min(least, n), max(most, n)
		}
		if sum != s.readers*s.each || most-least > 1 {
			t.Errorf("%+v: %d subscriptions, from %d to %d in a channel", s, sum, least, most)
		}
		for r := range s.readers {
			hears := make(map[int]bool)
			for j := range s.each {
				c := s.channel(r, j)
				hears[c] = true
				if got, ok := s.index(r, c); got != j || !ok {
					t.Fatalf("%+v: channel %d is the %dth of reader %d, not the %dth", s, c, got, r, j)
				}
			}
			for c := -1; c <= s.channels; c++ {
				if _, ok := s.index(r, c); ok != hears[c] {
					t.Fatalf("%+v: reader %d hears %d: %v", s, r, c, ok)
				}
			}
		}
	}
}

func TestHex(t *testing.T) {
	for _, text := range []string{"", "0", "00ff", "deadbeef01234567"} {
		v, ok := parseHex([]byte(text))
		if got := string(appendHex(nil, v, len(text))); !ok || got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	for _, text := range []string{" ", "G", strings.Repeat("0", 5) + "A"} {
		if _, ok := parseHex([]byte(text)); ok {
			t.Errorf("%q is taken", text)
		}
	}
}
