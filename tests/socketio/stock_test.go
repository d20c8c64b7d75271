// Package socketio_test sets us beside the stock Socket.IO: our reading and writing
// of packets beside its parsers, our server beside its server, with its clients.
package socketio_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) { live.Main(m) }

// ask has the stock parsers answer questions, in order, by one process.
func ask[Question, Answer any](t *testing.T, questions []Question) []Answer {
	t.Helper()
	live.Track(t, "parsers.mjs", "package-lock.json")
	var in, stderr bytes.Buffer
	enc := json.NewEncoder(&in)
	enc.SetEscapeHTML(false)
	for _, q := range questions {
		if err := enc.Encode(q); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), live.Tool(t, "node"), "parsers.mjs")
	cmd.Stdin, cmd.Stderr = &in, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	answers := make([]Answer, len(questions))
	for i := range answers {
		if err := dec.Decode(&answers[i]); err != nil {
			t.Fatal(err)
		}
	}
	return answers
}

// rounds is how many packets there are of each kind.
func rounds() int {
	if long() {
		return 20_000
	}
	return 4_000
}

// A generator makes what is the same in every run.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 1))} }

func pick[T any](g generator, all ...T) T { return all[g.IntN(len(all))] }

var runes = []rune("abcxyz 019_-,/{}[]:\"\\\n\t\b\f\r\x00\x1e\x1f\x7f<>&é€\u2028\u2029\u00a0\ufeff\ufffd\U0001f600\U0010ffff")

func (g generator) text() string {
	if g.IntN(300) == 0 {
		return strings.Repeat(pick(g, "a", "€", "\U0001f600", `\`, "\x01"), 1+g.IntN(100_000))
	}
	var b strings.Builder
	for range g.IntN(12) {
		b.WriteRune(pick(g, runes...))
	}
	return b.String()
}

func (g generator) bytes() []byte {
	n := g.IntN(40)
	if g.IntN(200) == 0 {
		n = g.IntN(200_000)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// quoted is text as JSON.stringify writes it.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		if i := strings.IndexRune("\"\\\b\f\n\r\t", r); i >= 0 {
			b.WriteString(`\` + `"\bfnrt`[i:i+1])
		} else if r < ' ' {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

// value is JSON as JSON.stringify writes it. left is how many binaries there may
// still be.
func (g generator) value(depth int, left *int) string {
	kind := g.IntN(8)
	if depth == 0 {
		kind = g.IntN(5)
	}
	switch kind {
	case 0:
		return quoted(g.text())
	case 1:
		return pick(g, "0", "1", "-1", "1.5", "1e+21", "9007199254740991", "-0.001", "1e-7")
	case 2:
		return pick(g, "true", "false", "null")
	case 3, 4:
		if *left == 0 {
			return "[]"
		}
		*left--
		return binaryObject(g.bytes())
	case 5:
		var all []string
		for range g.IntN(4) {
			all = append(all, g.value(depth-1, left))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	var all []string
	for _, name := range []string{pick(g, "constructor", "toString"), "k" + g.text(), "$binary", "num", "b\\"} {
		if g.IntN(3) > 0 {
			continue
		}
		all = append(all, quoted(name)+":"+g.value(depth-1, left))
		if name == "$binary" {
			all = append(all, `"z":1`) // it is never alone
		}
	}
	return "{" + strings.Join(all, ",") + "}"
}

func (g generator) namespace() string { return pick(g, "/", "/", "/admin", "/a/b", "/é-1") }

func (g generator) id() string { return pick(g, "", "", "0", "7", "123456", "9007199254740991") }

// mutated changes a few bytes, which stay UTF-8.
func (g generator) mutated(text string, with ...string) string {
	all := []rune(text)
	for range 1 + g.IntN(3) {
		at := 0
		if len(all) > 0 {
			at = g.IntN(min(len(all), pick(g, 6, 1<<20)))
		}
		end := min(len(all), at+g.IntN(3))
		piece := []rune(pick(g, with...))
		all = append(all[:at:at], append(piece, all[end:]...)...)
	}
	return string(all)
}
