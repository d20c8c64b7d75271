package wsframe_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/wsframe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The first byte of a frame is made of these and an opcode.
const (
	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10
)

const (
	cont   = 0
	text   = 1
	binary = 2
	closes = 8
	ping   = 9
	pong   = 10
)

// mask is what the frames of the tests are masked with.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// frame returns a frame as a client sends it.
func frame(first byte, payload string) string {
	n := len(payload)
	switch {
	case n < 126:
		return head(first, 0x80|byte(n)) + masked(payload)
	case n < 1<<16:
		return head(first, 0x80|126, byte(n>>8), byte(n)) + masked(payload)
	}
	return head(first, 0x80|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)) + masked(payload)
}

// head returns these bytes and the mask.
func head(b ...byte) string { return string(b) + string(mask[:]) }

func masked(payload string) string {
	b := []byte(payload)
	for i := range b {
		b[i] ^= mask[i%4]
	}
	return string(b)
}

// said is a message in one frame.
func said(payload string) string { return frame(fin|text, payload) }

// closing is the payload of a close frame.
func closing(code int, reason string) string {
	return string([]byte{byte(code >> 8), byte(code)}) + reason
}

// small are the limits of most tests.
var small = &wsframe.Limits{Message: 1 << 16, Frame: 1 << 16, Fragments: 100}

// A transcript is what a reader makes of bytes: a line for each frame, and the
// code of the error at the end.
type transcript []string

// read feeds the pieces, one after the other. What is behind a close frame or
// an error is not read.
func read(r wsframe.Reader, pieces ...string) (all transcript) {
	for _, piece := range pieces {
		for p := []byte(piece); len(p) > 0; {
			n, f, err := r.Feed(p)
			if err != nil {
				return append(all, fmt.Sprint(wsframe.CodeOf(err)))
			}
			if p = p[n:]; f.Op == wsframe.None {
				if len(p) > 0 {
					return append(all, "it has stopped")
				}
				continue
			}
			if all = append(all, line(f)); f.Op == wsframe.Close {
				return all
			}
		}
	}
	return all
}

func line(f wsframe.Frame) string {
	what := string(f.Data)
	if len(what) > 200 {
		what = fmt.Sprintf("%d bytes beginning with %.10q", len(what), what)
	}
	if f.Op == wsframe.Close {
		return strings.TrimSpace(fmt.Sprintf("close %d %s", f.Code, what))
	}
	name := map[wsframe.Op]string{wsframe.Text: "text", wsframe.Binary: "binary", wsframe.Ping: "ping", wsframe.Pong: "pong"}[f.Op]
	if what == "" {
		return name
	}
	return name + " " + what
}

// inBytes cuts s into its bytes.
func inBytes(s string) []string {
	pieces := make([]string, len(s))
	for i := range pieces {
		pieces[i] = s[i : i+1]
	}
	return pieces
}

// codeOf is the code of an error, which must be one of ours.
func codeOf(t *testing.T, err error) uint16 {
	t.Helper()
	e, ok := errors.AsType[*wsframe.Error](err)
	if !ok || e.Code != wsframe.CodeOf(err) || e.Error() == "" || len(e.Text) > 123 {
		t.Fatalf("the error is %v", err)
	}
	return e.Code
}
