package wsframe_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/wsframe"
)

// random returns bytes that cannot be compressed.
func random(n int) string {
	b := make([]byte, n)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return string(b)
}

// deflated returns s as a client would deflate it.
func deflated(s string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		panic(err)
	}
	w.Write([]byte(s))
	w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// ended returns s deflated as a stream that says where it ends.
func ended(s string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		panic(err)
	}
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

// The examples with a name are those of RFC 7692, 7.2.3.
func TestInflating(t *testing.T) {
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00"
	long := strings.Repeat("shaveet ", 5000)
	for _, c := range []wireCase{
		{"one block", frame(fin|rsv1|text, hello), transcript{"text Hello"}},
		{"one block, fragmented", frame(rsv1|text, hello[:3]) + frame(fin|cont, hello[3:]), transcript{"text Hello"}},
		{"a block without compression", frame(fin|rsv1|text, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), transcript{"text Hello"}},
		{"a block that says it is the last", frame(fin|rsv1|text, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), transcript{"text Hello"}},
		{"two blocks", frame(fin|rsv1|text, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), transcript{"text Hello"}},
		{"a last block and nothing", frame(fin|rsv1|text, ended("Hello")), transcript{"text Hello"}},
		{"a last block and another stream", frame(fin|rsv1|text, ended("Hel")+deflated("lo")), transcript{"text Hello"}},
		{"endless last blocks", frame(fin|rsv1|text, strings.Repeat("\x03\x00", 1000)), transcript{"1007"}},
		{"nothing", frame(fin|rsv1|text, "\x00"), transcript{"text"}},
		{"nothing at all", frame(fin|rsv1|text, ""), transcript{"text"}},
		{"binary", frame(fin|rsv1|binary, deflated("\xff\x00\xff")), transcript{"binary \xff\x00\xff"}},
		{"plain ones too", said("plain") + frame(fin|rsv1|text, hello) + said("plain"), transcript{"text plain", "text Hello", "text plain"}},
		{"nothing is remembered", frame(fin|rsv1|text, hello) + frame(fin|rsv1|text, hello), transcript{"text Hello", "text Hello"}},
		{"the window of the message before", frame(fin|rsv1|text, hello) + frame(fin|rsv1|text, "\xf2\x00\x11\x00\x00"), transcript{"text Hello", "1007"}},
		{"long", frame(fin|rsv1|text, deflated(long)), transcript{fmt.Sprintf("text %d bytes beginning with %.10q", len(long), long)}},
		{"in many frames with a ping", frame(rsv1|text, "") + frame(cont, deflated(long)[:20]) + frame(fin|ping, "p") + frame(fin|cont, deflated(long)[20:]),
			transcript{"ping p", fmt.Sprintf("text %d bytes beginning with %.10q", len(long), long)}},
		{"the largest", frame(fin|rsv1|text, deflated(repeat(1<<16))), transcript{fmt.Sprintf("text 65536 bytes beginning with %q", repeat(10))}},
		{"one byte more", frame(fin|rsv1|text, deflated(repeat(1<<16+1))), transcript{"1009"}},
		{"a bomb", frame(fin|rsv1|text, deflated(strings.Repeat("\x00", 8<<20))), transcript{"1009"}},
		{"garbage", frame(fin|rsv1|text, "\xff\xff\xff\xff"), transcript{"1007"}},
		{"cut off", frame(fin|rsv1|text, deflated(long)[:20]), transcript{"1007"}},
		{"no UTF-8", frame(fin|rsv1|text, deflated("\xff")), transcript{"1007"}},
		{"half a character", frame(fin|rsv1|text, deflated("\xc3")), transcript{"1007"}},
		{"a bit in a continuation", frame(rsv1|text, hello[:3]) + frame(fin|rsv1|cont, hello[3:]), transcript{"1002"}},
		{"a bit in a ping", frame(fin|rsv1|ping, ""), transcript{"1002"}},
		{"a bit in a close", frame(fin|rsv1|closes, ""), transcript{"1002"}},
		{"another bit", frame(fin|rsv1|rsv2|text, hello), transcript{"1002"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := func(pieces ...string) {
				t.Helper()
				if got := read(wsframe.NewReader(small, true), pieces...); !slices.Equal(got, c.want) {
					t.Fatalf("got %.300q, want %.300q", got, c.want)
				}
			}
			check(c.sent)
			check(inBytes(c.sent)...)
			for i := range min(len(c.sent), 100) {
				check(c.sent[:i], c.sent[i:])
			}
		})
	}
}

// A bomb costs no more than the limit, whatever it would become.
func TestBombsAreCheap(t *testing.T) {
	bomb := frame(fin|rsv1|binary, deflated(strings.Repeat("\x00", 8<<20)))
	read(wsframe.NewReader(small, true), bomb) // fills the pools
	if size := allocated(func() { read(wsframe.NewReader(small, true), bomb) }); size > 600<<10 {
		t.Errorf("it costs %d bytes, with messages of %d", size, small.Message)
	}
}

func TestWhatWeDeflateWeInflate(t *testing.T) {
	for _, payload := range []string{strings.Repeat("ab", 500), strings.Repeat("é", 10000), `{"cursor":"1"}`} {
		b := wsframe.AppendDeflated(nil, wsframe.Text, []byte(payload))
		at := 2 + map[byte]int{126: 2}[b[1]]
		r := wsframe.NewReader(small, true)
		_, f, err := r.Feed([]byte(frame(b[0], string(b[at:]))))
		if err != nil || string(f.Data) != payload {
			t.Errorf("%.20q: %.50q, %v", payload, f.Data, err)
		}
	}
}
