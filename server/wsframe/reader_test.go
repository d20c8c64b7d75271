package wsframe_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/shaveet/shaveet/server/wsframe"
)

// What a reader makes of bytes does not depend on how they are cut.
func TestFrames(t *testing.T) {
	for _, c := range wireCases() {
		t.Run(c.name, func(t *testing.T) {
			check := func(cut string, pieces ...string) {
				if got := read(wsframe.NewReader(small, false), pieces...); !slices.Equal(got, c.want) {
					t.Fatalf("%s: got %.300q, want %.300q", cut, got, c.want)
				}
			}
			check("whole", c.sent)
			if len(c.sent) < 10000 {
				check("in bytes", inBytes(c.sent)...)
			}
			check("in odd pieces", cut([]byte(c.sent), []byte{0, 6, 250, 1})...)
			for i := range len(c.sent) {
				if i > 40 && i < len(c.sent)-40 && len(c.sent) > 2000 && i%4099 != 0 {
					continue // inside a long payload one place is like another
				}
				check("in two", c.sent[:i], c.sent[i:])
			}
		})
	}
}

// What breaks a rule is noticed with the first byte that does.
func TestErrorsComeEarly(t *testing.T) {
	for _, test := range []struct {
		name string
		sent string
		at   int // bytes that have to come
		code uint16
	}{
		{"a reserved opcode", frame(fin|3, "abc"), 1, 1002},
		{"a reserved bit", frame(fin|rsv3|text, "abc"), 1, 1002},
		{"a fragmented ping", frame(ping, "abc"), 1, 1002},
		{"a continuation of nothing", frame(cont, "abc"), 1, 1002},
		{"a text inside a text", frame(text, "abc") + said("def"), 10, 1002},
		{"no mask", "\x81\x05hello", 2, 1002},
		{"a long ping", frame(fin|ping, repeat(126)), 2, 1002},
		{"a long frame", said(repeat(65537)), 10, 1009},
		{"a long message", frame(text, repeat(10)) + frame(fin|cont, repeat(65530)), 16 + 4, 1009},
		{"a bad byte", said("abc\xffdef"), 6 + 4, 1007},
		{"a bad continuation", said("ab\xf4\x90\x80\x80"), 6 + 4, 1007},
		{"a surrogate", said("ab\xed\xa0\x80"), 6 + 4, 1007},
		{"a bad byte in the second frame", frame(text, "\xe2\x82") + frame(fin|cont, "\xac\xac"), 8 + 6 + 2, 1007},
		{"half a character at the end", frame(text, "\xe2\x82") + frame(fin|cont, ""), 8 + 6, 1007},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := wsframe.NewReader(small, false)
			for i := range len(test.sent) {
				_, _, err := r.Feed([]byte(test.sent[i : i+1]))
				if err == nil {
					continue
				}
				if code := codeOf(t, err); i+1 != test.at || code != test.code {
					t.Fatalf("%v, %d, with byte %d; want %d with byte %d", err, code, i+1, test.code, test.at)
				}
				return
			}
			t.Fatal("there is no error")
		})
	}
}

// A reader costs what has come, and nothing when nothing is half read.
func TestMemoryFollowsWhatHasCome(t *testing.T) {
	if size := unsafe.Sizeof(wsframe.Reader{}); size > 72 {
		t.Errorf("a reader has %d bytes", size)
	}
	limits := &wsframe.Limits{Message: 1 << 40, Frame: 1 << 40, Fragments: 100}
	sent := []byte(head(fin|binary, 0x80|127, 0, 0, 0, 0xff, 0, 0, 0, 0) + repeat(1000))
	size := allocated(func() {
		r := wsframe.NewReader(limits, false)
		if _, f, err := r.Feed(slices.Clone(sent)); f.Op != wsframe.None || err != nil {
			t.Fatal(f, err)
		}
	})
	if size > 8000 {
		t.Errorf("1000 bytes of a frame of 1 TiB cost %d", size)
	}
	r := wsframe.NewReader(small, false)
	for _, sent := range []string{said("hello"), frame(fin|ping, "hello")} {
		p := []byte(sent)
		if n := testing.AllocsPerRun(100, func() { copy(p, sent); r.Feed(p) }); n != 0 {
			t.Errorf("%d bytes that come whole: %v allocations", len(sent), n)
		}
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The zero limits are those that are documented.
func TestDefaultLimits(t *testing.T) {
	limits := wsframe.Limits{}.WithDefaults()
	for sent, want := range map[string]string{
		said(repeat(1 << 16)):   "text",
		said(repeat(1<<16 + 1)): "1009",
		frame(text, "") + strings.Repeat(frame(cont, ""), 1022) + frame(fin|cont, ""): "text",
		frame(text, "") + strings.Repeat(frame(cont, ""), 1023) + frame(fin|cont, ""): "1008",
	} {
		if got := read(wsframe.NewReader(&limits, false), sent); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%d bytes: got %.100q, want %s", len(sent), got, want)
		}
	}
}

// Feed takes no byte behind what it returns: another protocol may begin there.
func TestFeedTakesNoMore(t *testing.T) {
	r := wsframe.NewReader(small, false)
	p := []byte(said("a") + "\x00\xff")
	n, f, err := r.Feed(p)
	if n != len(said("a")) || f.Op != wsframe.Text || err != nil || string(p[n:]) != "\x00\xff" {
		t.Errorf("took %d: %+v, %v", n, f, err)
	}
}
