package wsframe_test

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/wsframe"
)

// parse has another library read what we wrote: one frame, and nothing else.
func parse(t *testing.T, b []byte) ws.Frame {
	t.Helper()
	rest := bytes.NewReader(b)
	h, err := ws.ReadHeader(rest)
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	if err == nil {
		_, err = io.ReadFull(rest, f.Payload)
	}
	if err != nil || rest.Len() > 0 || f.Header.Masked || !f.Header.Fin {
		t.Fatalf("%.50q: %+v, %d left, %v", b, f.Header, rest.Len(), err)
	}
	return f
}

var sizes = []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20}

func TestAppend(t *testing.T) {
	composed := func(op wsframe.Op) func(dst, payload []byte) []byte {
		return func(dst, payload []byte) []byte {
			start := len(dst)
			return wsframe.End(append(wsframe.Begin(dst), payload...), start, op)
		}
	}
	for _, test := range []struct {
		name   string
		append func(dst, payload []byte) []byte
		op     ws.OpCode
		max    int
	}{
		{"text", wsframe.AppendText, ws.OpText, 1 << 20},
		{"binary", wsframe.AppendBinary, ws.OpBinary, 1 << 20},
		{"ping", wsframe.AppendPing, ws.OpPing, 125},
		{"pong", wsframe.AppendPong, ws.OpPong, 125},
		{"composed text", composed(wsframe.Text), ws.OpText, 1 << 20},
		{"composed binary", composed(wsframe.Binary), ws.OpBinary, 1 << 20},
	} {
		for _, size := range sizes {
			payload := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			got := test.append([]byte("before"), []byte(payload))
			after, ok := bytes.CutPrefix(got, []byte("before"))
			f := parse(t, after)
			head := len(after) - len(f.Payload)
			if want := headSize(len(f.Payload)); head != want {
				t.Errorf("%s of %d bytes: a head of %d bytes, want %d", test.name, size, head, want)
			}
			if !ok || f.Header.OpCode != test.op || f.Header.Rsv != 0 || string(f.Payload) != payload[:min(size, test.max)] {
				t.Errorf("%s of %d bytes: %+v %.50q", test.name, size, f.Header, f.Payload)
			}
		}
	}
}

// headSize is how long the head of a payload of n bytes has to be.
func headSize(n int) int {
	switch {
	case n <= 125:
		return 2
	case n <= 65535:
		return 4
	}
	return 10
}

func TestAppendClose(t *testing.T) {
	for _, test := range []struct {
		code   uint16
		reason string
		want   string
	}{
		{1000, "", ""},
		{4409, "a newer one has come", "a newer one has come"},
		{1011, repeat(123), repeat(123)},
		{1011, repeat(200), repeat(123)},
		{1011, repeat(122) + "é", repeat(122)},
		{1011, repeat(121) + "éé", repeat(121) + "é"},
		{1011, strings.Repeat("😀", 40), strings.Repeat("😀", 30)},
	} {
		f := parse(t, wsframe.AppendClose(nil, test.code, test.reason))
		code, reason := ws.ParseCloseFrameData(f.Payload)
		if f.Header.OpCode != ws.OpClose || uint16(code) != test.code || reason != test.want || !utf8.ValidString(reason) {
			t.Errorf("%d %q: got %d %q", test.code, test.reason, code, reason)
		}
	}
	if f := parse(t, wsframe.AppendClose(nil, wsframe.CodeNone, "not said")); f.Header.OpCode != ws.OpClose || len(f.Payload) != 0 {
		t.Errorf("without a code: %+v", f)
	}
}

// A deflated frame is as RFC 7692 has it, or plain where that is shorter.
func TestAppendDeflated(t *testing.T) {
	for _, payload := range []string{
		"", "x", "short", strings.Repeat("a", 1000), strings.Repeat(`{"channel":"room","id":1},`, 10000), random(5000),
	} {
		got := wsframe.AppendDeflated([]byte("before"), wsframe.Text, []byte(payload))
		f := parse(t, got[len("before"):])
		plain := f.Payload
		if f.Header.Rsv1() {
			var err error
			inflater := flate.NewReader(io.MultiReader(bytes.NewReader(f.Payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
			if plain, err = io.ReadAll(inflater); err != nil {
				t.Fatal(err)
			}
		}
		if string(plain) != payload || len(f.Payload) > len(payload) {
			t.Errorf("%.30q… of %d bytes: %d bytes on the wire, read as %.30q…", payload, len(payload), len(f.Payload), plain)
		}
		if len(payload) == 1000 && (!f.Header.Rsv1() || len(f.Payload) > 50) {
			t.Errorf("1000 bytes that are all the same take %d", len(f.Payload))
		}
	}
}

func TestAppendingAllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, 4096)
	payload := []byte(repeat(1000))
	for name, write := range map[string]func(){
		"text": func() { wsframe.AppendText(dst, payload) },
		"ping": func() { wsframe.AppendPing(dst, payload[:10]) },
		"pong": func() { wsframe.AppendPong(dst, payload[:125]) },
		"close": func() {
			wsframe.AppendClose(dst, 1000, "a reason that is longer than the buffers of the compiler would be")
		},
		"composed": func() { wsframe.End(append(wsframe.Begin(dst), payload...), 0, wsframe.Text) },
	} {
		if n := testing.AllocsPerRun(100, write); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
