package engineio_test

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
)

// failed is what ends the lines of bytes that are no payload, whyever.
const failed = "failed"

// lines is read without regard to what was wrong.
func lines(p engineio.Payload) []string {
	all := read(p)
	if n := len(all); n > 0 && strings.HasPrefix(all[n-1], "engineio: ") {
		all[n-1] = failed
	}
	return all
}

// packetByOther is the line of a text packet. Of protocol 3 there is a type in
// front of base64.
func packetByOther(text string, typed bool) string {
	head := "b"
	if typed {
		head = "b4"
	}
	if encoded, ok := strings.CutPrefix(text, head); ok {
		data, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || base64.StdEncoding.EncodeToString(data) != encoded {
			return failed
		}
		return line(engineio.Packet{Type: engineio.Message, Binary: true, Data: data})
	}
	if !utf8.ValidString(text) || text == "" || !strings.Contains("0123456", text[:1]) {
		return failed
	}
	return text
}

func FuzzPayload(f *testing.F) {
	for _, s := range []string{"4hello\x1e2\x1ebAQIDBA==\x1e6", "", "\x1e", "4€\U0001f600", "4\xff", "b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want []string
		for text := range strings.SplitSeq(string(body), "\x1e") {
			want = append(want, packetByOther(text, false))
			if want[len(want)-1] == failed {
				break
			}
		}
		if got := lines(engineio.NewPayload(bytes.Clone(body), none)); !slices.Equal(got, want) {
			t.Fatalf("%q is %q, want %q", body, got, want)
		}
		again(t, body, func(b []byte) engineio.Payload { return engineio.NewPayload(b, none) }, engineio.AppendPayload)
	})
}

// again encodes what was decoded, which must be the same again.
func again(t *testing.T, body []byte, decode func([]byte) engineio.Payload, encode func([]byte, engineio.Packet) []byte) {
	payload := decode(bytes.Clone(body))
	var b []byte
	for {
		p, err := payload.Next()
		if err != nil {
			break
		}
		b = encode(b, p)
	}
	if len(b) == 0 {
		return
	}
	want := lines(decode(bytes.Clone(body)))
	if want[len(want)-1] == failed {
		want = want[:len(want)-1]
	}
	if got := lines(decode(bytes.Clone(b))); !slices.Equal(got, want) {
		t.Fatalf("%q is encoded as %q, which is %q", body, b, got)
	}
}

var head3 = regexp.MustCompile(`^(\d+):`)

func FuzzText3(f *testing.F) {
	for _, s := range []string{"6:4hello1:2", "3:4\U0001f600", "10:b4AQIDBA==", "0:", "2:4\U0001f600", "99999999999999999999:4", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := lines(engineio.NewPayload3(bytes.Clone(body), false, none))
		if !utf8.Valid(body) {
			if utf8.ValidString(strings.Join(got, "")) && !slices.Contains(got, failed) {
				t.Fatalf("%q is %q", body, got)
			}
			return
		}
		if want := text3ByOther(string(body)); !slices.Equal(got, want) {
			t.Fatalf("%q is %q, want %q", body, got, want)
		}
		again(t, body, func(b []byte) engineio.Payload { return engineio.NewPayload3(b, false, none) }, engineio.AppendPayload3)
	})
}

// text3ByOther takes packets from code units, as JavaScript does.
func text3ByOther(body string) (all []string) {
	if body == "" {
		return []string{failed}
	}
	for body != "" {
		m := head3.FindStringSubmatch(body)
		if m == nil {
			return append(all, failed)
		}
		n, err := strconv.Atoi(m[1])
		units := utf16.Encode([]rune(body[len(m[0]):]))
		if err != nil || n > len(units) || n > 0 && n < len(units) && utf16.DecodeRune(rune(units[n-1]), rune(units[n])) != utf8.RuneError {
			return append(all, failed)
		}
		body = string(utf16.Decode(units[n:]))
		if n == 0 {
			continue
		}
		if all = append(all, packetByOther(string(utf16.Decode(units[:n])), true)); all[len(all)-1] == failed {
			return all
		}
	}
	return all
}

func FuzzBinary3(f *testing.F) {
	for _, s := range []string{"\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04", "\x00\x01\x00\xff4123456789", "\x00\x00\xff", "\x01\xff", "\x00\x06\xffb4AQID"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if got, want := lines(engineio.NewPayload3(bytes.Clone(body), true, none)), binary3ByOther(string(body)); !slices.Equal(got, want) {
			t.Fatalf("%q is %q, want %q", body, got, want)
		}
		again(t, body, func(b []byte) engineio.Payload { return engineio.NewPayload3(b, true, none) }, engineio.AppendBinaryPayload3)
	})
}

// binary3ByOther reads the digits as text.
func binary3ByOther(body string) (all []string) {
	for body != "" {
		head, rest, ok := strings.Cut(body, "\xff")
		digits := ""
		for _, c := range []byte(head[1*min(1, len(head)):]) {
			if c > 9 {
				ok = false
			}
			digits += string('0' + rune(c%10))
		}
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || n > len(rest) || head[0] > 1 {
			return append(all, failed)
		}
		packet := rest[:n]
		body = rest[n:]
		one := failed
		if head[0] == 0 {
			one = packetByOther(packet, true)
		} else if data, ok := strings.CutPrefix(packet, "\x04"); ok {
			one = line(engineio.Packet{Type: engineio.Message, Binary: true, Data: []byte(data)})
		}
		if all = append(all, one); one == failed {
			return all
		}
	}
	return all
}

var newlines = regexp.MustCompile(`\\+n`)

func FuzzDecodeForm(f *testing.F) {
	for _, s := range []string{"d=4hello", "x=1&d=4%5Cn%5C%5Cn+", "d=%", "d=1&d=2", `d=\\\n`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, form []byte) {
		got, err := engineio.DecodeForm(bytes.Clone(form))
		var found []string
		for pair := range strings.SplitSeq(string(form), "&") {
			if value, ok := strings.CutPrefix(pair, "d="); ok {
				found = append(found, value)
			}
		}
		if len(found) != 1 {
			if err == nil {
				t.Fatalf("%q is %q", form, got)
			}
			return
		}
		want, wantErr := url.QueryUnescape(found[0])
		want = newlines.ReplaceAllStringFunc(want, func(s string) string {
			if s == `\n` {
				return "\n"
			}
			return s[1:]
		})
		if (err == nil) != (wantErr == nil) || err == nil && string(got) != want {
			t.Fatalf("%q is %q, %v, want %q, %v", form, got, err, want, wantErr)
		}
	})
}

// FuzzMessages wants of each WebSocket message that it is the same again.
// Messages of text are UTF-8 before they come here.
func FuzzMessages(f *testing.F) {
	for _, s := range []string{"4hello", "bAQID", "b4AQID", "2probe", "", "\x04a", "7"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		if utf8.Valid(sent) {
			for _, typed := range []bool{false, true} {
				decode, encode := engineio.DecodeText, engineio.AppendPacket
				if typed {
					decode, encode = engineio.DecodeText3, engineio.AppendText3
				}
				if p, err := decode(bytes.Clone(sent)); (err == nil) == (packetByOther(string(sent), typed) == failed) {
					t.Fatalf("%q is %s, %v", sent, line(p), err)
				} else if err == nil && string(encode(nil, p)) != string(sent) {
					t.Fatalf("%q is %s", sent, line(p))
				}
			}
		}
		if p, err := engineio.DecodeBinary3(sent); (err == nil) != bytes.HasPrefix(sent, []byte{4}) {
			t.Fatalf("3: %q is %s, %v", sent, line(p), err)
		} else if err == nil && string(engineio.AppendBinary3(nil, p.Data)) != string(sent) {
			t.Fatalf("3: %q is %s", sent, line(p))
		}
	})
}
