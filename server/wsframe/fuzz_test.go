package wsframe_test

import (
	"bytes"
	big "encoding/binary"
	"fmt"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/wsframe"
)

// FuzzReader feeds bytes whole and in pieces, and wants the same of both, and
// of plain bytes the same as by another library's reading.
func FuzzReader(f *testing.F) {
	for i, c := range wireCases() {
		if len(c.sent) < 300 {
			f.Add([]byte(c.sent), []byte{byte(i), 3, 1}, i%2 == 0)
		}
	}
	f.Add([]byte(frame(fin|rsv1|text, deflated("Hello"))+said("x")), []byte{5}, true)
	f.Fuzz(func(t *testing.T, sent, cuts []byte, inflate bool) {
		limits := &wsframe.Limits{Message: 1000, Frame: 900, Fragments: 9}
		whole := read(wsframe.NewReader(limits, inflate), string(sent))
		parts := read(wsframe.NewReader(limits, inflate), cut(sent, cuts)...)
		if !slices.Equal(whole, parts) {
			t.Fatalf("whole it is %.300q, in pieces %.300q", whole, parts)
		}
		if singles := read(wsframe.NewReader(limits, inflate), inBytes(string(sent))...); !slices.Equal(whole, singles) {
			t.Fatalf("whole it is %.300q, in bytes %.300q", whole, singles)
		}
		if !inflate {
			compare(t, whole, readByOther(sent, limits))
		}
	})
}

// cut cuts p into pieces of these lengths, over and over.
func cut(p, lengths []byte) (pieces []string) {
	for i := 0; len(p) > 0; i++ {
		n := len(p)
		if len(lengths) > 0 {
			n = min(n, int(lengths[i%len(lengths)])+1)
		}
		pieces = append(pieces, string(p[:n]))
		p = p[n:]
	}
	return pieces
}

// compare wants ours to be as the other's. Ours may know of an error in a frame
// that has not come whole, of which the other knows nothing.
func compare(t *testing.T, ours, others transcript) {
	if len(ours) == len(others)+1 && slices.Equal(ours[:len(others)], others) {
		switch ours[len(others)] {
		case "1002", "1007", "1008", "1009":
			return
		}
	}
	if !slices.Equal(ours, others) {
		t.Fatalf("we read %.300q, others %.300q", ours, others)
	}
}

// readByOther reads frames by another library, and makes messages of them in
// the plainest way.
func readByOther(sent []byte, limits *wsframe.Limits) (all transcript) {
	in := bytes.NewReader(sent)
	var op ws.OpCode
	var message []byte
	fragments := 0
	for {
		at := len(sent) - in.Len()
		h, err := ws.ReadHeader(in)
		if err != nil || !h.OpCode.IsControl() && h.Length > int64(in.Len()) && h.Length <= int64(limits.Frame) {
			if err == ws.ErrHeaderLengthMSB || err == ws.ErrHeaderLengthUnexpected {
				return append(all, "1002")
			}
			return all
		}
		state := ws.StateServerSide
		if op != 0 {
			state = state.Set(ws.StateFragmented)
		}
		if ws.CheckHeader(h, state) != nil {
			return append(all, "1002")
		}
		if h.OpCode.IsControl() && sent[at+1]&0x7f >= 126 {
			return append(all, "1002") // the length of a control frame fits into its second byte
		}
		if h.OpCode.IsData() {
			if fragments++; fragments > limits.Fragments {
				return append(all, "1008")
			}
			if h.Length > int64(limits.Frame) || h.Length+int64(len(message)) > int64(limits.Message) {
				return append(all, "1009")
			}
		}
		if h.Length > int64(in.Len()) {
			return all
		}
		payload := make([]byte, h.Length)
		in.Read(payload)
		ws.Cipher(payload, h.Mask, 0)
		if h.OpCode.IsControl() {
			line, end := controlByOther(h.OpCode, payload)
			if all = append(all, line); end {
				return all
			}
			continue
		}
		if h.OpCode != ws.OpContinuation {
			op = h.OpCode
		}
		message = append(message, payload...)
		if op == ws.OpText && !couldBeText(message) {
			return append(all, "1007")
		}
		if !h.Fin {
			continue
		}
		if op == ws.OpText && !utf8.Valid(message) {
			return append(all, "1007")
		}
		all = append(all, line(wsframe.Frame{Op: wsframe.Op(op), Data: message}))
		op, message, fragments = 0, nil, 0
	}
}

func controlByOther(op ws.OpCode, payload []byte) (said string, end bool) {
	if op != ws.OpClose {
		return line(wsframe.Frame{Op: wsframe.Op(op), Data: payload}), false
	}
	if len(payload) == 0 {
		return "close 1005", true
	}
	if len(payload) == 1 {
		return "1002", true
	}
	code := big.BigEndian.Uint16(payload)
	switch {
	case code < 1000, 1004 <= code && code <= 1006, 1015 <= code && code <= 2999, code >= 5000:
		return "1002", true
	case !utf8.Valid(payload[2:]):
		return "1007", true
	}
	if len(payload) == 2 {
		return fmt.Sprint("close ", code), true
	}
	return line(wsframe.Frame{Op: wsframe.Close, Code: code, Data: payload[2:]}), true
}

// couldBeText reports whether something behind p can make it valid.
func couldBeText(p []byte) bool {
	for len(p) > 0 {
		r, size := utf8.DecodeRune(p)
		if r == utf8.RuneError && size == 1 {
			return !utf8.FullRune(p)
		}
		p = p[size:]
	}
	return true
}
