package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const first, second = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"

// sample is a small truth and what a page has rightly noted of it: two lives of
// the server, of which the first has died with numbers that nobody had read.
func sample() (*truth, []entry) {
	tr := newTruth()
	tr.lives = []string{first, second}
	tr.entered = map[string]map[string]position{
		first:  {"a": {first, 1}, "b": {first, 2}},
		second: {"a": {second, 5}, "b": {second, 6}},
	}
	say := func(life int, channel string, seq uint64) *saying {
		s := &saying{channel: channel, n: len(tr.said[channel]) + 1, pad: 3, life: life, id: seq + 100}
		s.pos = position{tr.lives[life], seq}
		tr.said[channel] = append(tr.said[channel], s)
		return s
	}
	hear := func(s *saying) entry {
		return entry{Kind: "message", Channel: s.channel, N: s.n, ID: s.id, Pos: s.pos, Pad: s.pad}
	}
	record := []entry{{Kind: "load"}}
	for seq := uint64(3); seq < 11; seq++ {
		record = append(record, hear(say(0, channelOf(seq), seq)))
	}
	say(0, "a", 11)                              // died with the first life
	unread := say(0, "b", 12)                    // and so did this, and nobody knows
	unread.pos, unread.id = position{}, 0        //
	say(1, "a", 3)                               // before the client was known again
	for _, channel := range []string{"a", "b"} { // both channels have a hole
		record = append(record, entry{Kind: "gap", Channel: channel, From: position{first, 10}, To: position{second, 0}, Text: "reset"})
	}
	for seq := uint64(7); seq < 15; seq++ {
		record = append(record, hear(say(1, channelOf(seq), seq)))
	}
	return tr, record
}

func channelOf(seq uint64) string { return []string{"a", "b"}[seq%2] }

func TestTheOracleIsFair(t *testing.T) {
	tr, record := sample()
	v := judge(tr, record)
	if len(v.findings) > 0 {
		t.Errorf("it finds %q", v.findings)
	}
	got := fmt.Sprint(v.figures)
	if want := "map[holes:2 in holes:2 load:1 received:16 unknown, not heard:1]"; got != want {
		t.Errorf("it counts %s, want %s", got, want)
	}

	// What nobody knows may have come all the same, and holes may be told again.
	unknown := entry{Kind: "message", Channel: "b", N: 5, ID: 112, Pos: position{first, 12}, Pad: 3}
	i := slices.IndexFunc(record, func(e entry) bool { return e.Kind == "gap" })
	again := slices.Clone(record[i : i+2])
	record = slices.Insert(record, i+2, again...)
	tr.said["a"][4].pos.seq = 13 // what is lost stands behind it now
	record = slices.Insert(record, i, unknown)
	for j := range record {
		if record[j].Kind == "gap" {
			record[j].From.seq = 12
		}
	}
	if v := judge(tr, record); len(v.findings) > 0 || v.figures["unknown, heard"] != 1 {
		t.Errorf("it finds %q in %v", v.findings, v.figures)
	}
}

// message is where the page has noted a number.
func message(record []entry, channel string, n int) int {
	return slices.IndexFunc(record, func(e entry) bool { return e.Kind == "message" && e.Channel == channel && e.N == n })
}

func isGap(e entry) bool { return e.Kind == "gap" }

// tampers are all that could go wrong, each made of what is right, and what the
// oracle has to say of it.
var tampers = []struct {
	name   string
	tamper func(*truth, []entry) []entry
	want   string
}{
	{"a lost number", func(_ *truth, r []entry) []entry { i := message(r, "a", 2); return slices.Delete(r, i, i+1) }, "a 2 at aaaa….6 is missing"},
	{"the last number lost", func(_ *truth, r []entry) []entry { return r[:len(r)-1] }, "is missing"},
	{"a duplicate", func(_ *truth, r []entry) []entry { i := message(r, "b", 3); return slices.Insert(r, i, r[i]) }, "told twice"},
	{"a late duplicate", func(_ *truth, r []entry) []entry { return append(r, r[message(r, "b", 3)]) }, "told twice"},
	{"two swapped", func(_ *truth, r []entry) []entry {
		i, j := message(r, "a", 2), message(r, "a", 3)
		r[i], r[j] = r[j], r[i]
		return r
	}, "comes after number 3"},
	{"two of different channels swapped", func(_ *truth, r []entry) []entry {
		i, j := message(r, "a", 2), message(r, "b", 2)
		r[i], r[j] = r[j], r[i]
		return r
	}, "comes after aaaa"},
	{"an invented number", func(_ *truth, r []entry) []entry {
		return append(r, entry{Kind: "message", Channel: "a", N: 99, Pos: position{second, 99}})
	}, "never said"},
	{"an invented channel", func(_ *truth, r []entry) []entry { r[message(r, "a", 2)].Channel = "c"; return r }, "never said"},
	{"an invented life", func(_ *truth, r []entry) []entry { r[message(r, "a", 2)].Pos.epoch = "cccccccccccccccc"; return r }, "never said"},
	{"another place", func(_ *truth, r []entry) []entry { r[message(r, "a", 2)].Pos.seq++; return r }, "not where it was said"},
	{"another id", func(_ *truth, r []entry) []entry { r[message(r, "a", 2)].ID++; return r }, "not where it was said"},
	{"other bytes", func(_ *truth, r []entry) []entry { r[message(r, "a", 2)].Pad++; return r }, "changed"},
	{"a false hole", func(_ *truth, r []entry) []entry {
		i := message(r, "a", 2)
		e := entry{Kind: "gap", Channel: "a", From: position{first, 5}, To: r[i].Pos, Text: "count"}
		return slices.Replace(r, i, i+1, e)
	}, "a false hole"},
	{"a hole of nobody's death", func(_ *truth, r []entry) []entry {
		i := message(r, "a", 2)
		e := entry{Kind: "gap", Channel: "a", From: position{first, 5}, To: r[i].Pos, Text: "reset"}
		return slices.Replace(r, i, i+1, e)
	}, "a false hole"},
	{"a hole that is too large", func(_ *truth, r []entry) []entry { r[slices.IndexFunc(r, isGap)].From.seq = 7; return r }, "was heard already"},
	{"a hole and what is in it", func(_ *truth, r []entry) []entry {
		i := slices.IndexFunc(r, isGap)
		return slices.Insert(r, i+2, entry{Kind: "message", Channel: "a", N: 5, ID: 111, Pos: position{first, 11}, Pad: 3})
	}, "said to be lost"},
	{"a hole that nobody announced", func(_ *truth, r []entry) []entry { return slices.DeleteFunc(r, isGap) }, "missing"},
	{"a hole of one channel that nobody announced", func(_ *truth, r []entry) []entry {
		i := slices.IndexFunc(r, isGap)
		return slices.Delete(r, i, i+1)
	}, "a 5 at aaaa….11 is missing"},
	{"a number that a new life owed", func(tr *truth, r []entry) []entry {
		tr.entered[second]["a"] = position{second, 2}
		return r
	}, "a 6 at bbbb….3 is missing"},
	{"what the backend found", func(tr *truth, r []entry) []entry { tr.faults = []string{"x"}; return r }, "the backend: x"},
}

func TestTheOracleNotices(t *testing.T) {
	for _, tt := range tampers {
		t.Run(tt.name, func(t *testing.T) {
			tr, record := sample()
			v := judge(tr, tt.tamper(tr, record))
			if !slices.ContainsFunc(v.findings, func(f string) bool { return strings.Contains(f, tt.want) }) {
				t.Errorf("it finds %q, want %q", v.findings, tt.want)
			}
		})
	}
}
