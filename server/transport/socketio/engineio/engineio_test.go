package engineio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
)

// none are the default limits.
var none = &engineio.Limits{}

// read returns a line for each packet of a payload, and what ended it.
func read(p engineio.Payload) (all []string) {
	for {
		packet, err := p.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			if _, again := p.Next(); again != err {
				return append(all, fmt.Sprintf("%v, and then %v", err, again))
			}
			return append(all, err.Error())
		}
		all = append(all, line(packet))
	}
}

func line(p engineio.Packet) string {
	if p.Binary {
		return fmt.Sprintf("%d % x", p.Type, p.Data)
	}
	return fmt.Sprintf("%d%s", p.Type, p.Data)
}

func payload4(s string) engineio.Payload { return engineio.NewPayload([]byte(s), none) }
func text3(s string) engineio.Payload    { return engineio.NewPayload3([]byte(s), false, none) }
func binary3(s string) engineio.Payload  { return engineio.NewPayload3([]byte(s), true, none) }

func TestPayloads(t *testing.T) {
	for _, tt := range []struct {
		name string
		as   func(string) engineio.Payload
		body string
		want string // lines
	}{
		{"one", payload4, "4hello", "4hello"},
		{"one that is empty", payload4, "4", "4"},
		{"the example of the protocol", payload4, "4hello\x1e2\x1e4world", "4hello\n2\n4world"},
		{"base64 among text", payload4, "4hello\x1ebAQIDBA==\x1e6", "4hello\n4 01 02 03 04\n6"},
		{"every type", payload4, "0\x1e1\x1e2\x1e3\x1e4\x1e5\x1e6", "0\n1\n2\n3\n4\n5\n6"},
		{"probes", payload4, "2probe\x1e3probe", "2probe\n3probe"},
		{"empty base64", payload4, "b", "4 "},
		{"no body", payload4, "", engineio.ErrEmpty.Error()},
		{"a separator behind the last", payload4, "2\x1e", "2\n" + engineio.ErrEmpty.Error()},
		{"two separators", payload4, "2\x1e\x1e3", "2\n" + engineio.ErrEmpty.Error()},
		{"type 7", payload4, "2\x1e7\x1e3", "2\n" + engineio.ErrType.Error()},
		{"a letter for a type", payload4, "abc", engineio.ErrType.Error()},
		{"base64 without padding", payload4, "bAQIDBA", engineio.ErrBase64.Error()},
		{"base64 of URLs", payload4, "b-_-_", engineio.ErrBase64.Error()},
		{"base64 with a line break", payload4, "bAQID\nBA==", engineio.ErrBase64.Error()},
		{"base64 with bits left over", payload4, "bAQIDBB==", engineio.ErrBase64.Error()},
		{"no UTF-8", payload4, "4\xff", engineio.ErrUTF8.Error()},
		{"bytes beyond ASCII for a type", payload4, "\u0664", engineio.ErrType.Error()},

		{"3: one", text3, "6:4hello", "4hello"},
		{"3: two", text3, "6:4hello1:2", "4hello\n2"},
		{"3: two units", text3, "3:4\U0001f600" + "2:4€", "4\U0001f600\n4€"},
		{"3: seven units before others", text3, "7:4abcdef8:4abcdefg", "4abcdef\n4abcdefg"},
		{"3: base64", text3, "10:b4AQIDBA==2:4a", "4 01 02 03 04\n4a"},
		{"3: the shortest base64", text3, "2:b4", "4 "},
		{"3: none", text3, "0:", ""},
		{"3: none around one", text3, "0:2:4a0:", "4a"},
		{"3: zeros in front", text3, "0002:4a", "4a"},
		{"3: no body", text3, "", engineio.ErrEmpty.Error()},
		{"3: half a pair", text3, "2:4\U0001f600", engineio.ErrLength.Error()},
		{"3: too short", text3, "2:4abc", "4a\n" + engineio.ErrLength.Error()},
		{"3: too long", text3, "9:4abc", engineio.ErrLength.Error()},
		{"3: no length", text3, ":4abc", engineio.ErrLength.Error()},
		{"3: no colon", text3, "4", engineio.ErrLength.Error()},
		{"3: digits behind the last", text3, "1:21", "2\n" + engineio.ErrLength.Error()},
		{"3: less than none", text3, "-1:4", engineio.ErrLength.Error()},
		{"3: a number that is no digits", text3, "1e0:2", engineio.ErrLength.Error()},
		{"3: a length without end", text3, strings.Repeat("9", 400) + ":4", engineio.ErrLength.Error()},
		{"3: type 9", text3, "1:9", engineio.ErrType.Error()},
		{"3: base64 that is no message", text3, "6:b2AQID", engineio.ErrType.Error()},
		{"3: base64 without a type", text3, "1:b", engineio.ErrEmpty.Error()},
		{"3: no base64", text3, "4:b4A!", engineio.ErrBase64.Error()},
		{"3: no UTF-8", text3, "2:4\xff", engineio.ErrUTF8.Error()},

		{"3 binary: text and bytes", binary3, "\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04", "4hello\n4 01 02 03 04"},
		{"3 binary: bytes, not units", binary3, "\x00\x05\xff4\U0001f600\x00\x01\x00\xff4123456789", "4\U0001f600\n4123456789"},
		{"3 binary: an empty message", binary3, "\x01\x01\xff\x04", "4 "},
		{"3 binary: base64", binary3, "\x00\x06\xffb4AQID", "4 01 02 03"},
		{"3 binary: none", binary3, "", ""},
		{"3 binary: nothing in it", binary3, "\x00\x00\xff", engineio.ErrEmpty.Error()},
		{"3 binary: no bytes in it", binary3, "\x01\x00\xff", engineio.ErrEmpty.Error()},
		{"3 binary: no length", binary3, "\x00\xff4", engineio.ErrLength.Error()},
		{"3 binary: no end of the length", binary3, "\x00\x01", engineio.ErrLength.Error()},
		{"3 binary: too long", binary3, "\x00\x03\xff4a", engineio.ErrLength.Error()},
		{"3 binary: digits of ASCII", binary3, "\x002\xff4a", engineio.ErrLength.Error()},
		{"3 binary: neither text nor bytes", binary3, "\x02\x02\xff4a", engineio.ErrType.Error()},
		{"3 binary: binary that is no message", binary3, "\x01\x02\xff\x02a", engineio.ErrType.Error()},
		{"3 binary: no UTF-8", binary3, "\x00\x02\xff4\xff", engineio.ErrUTF8.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(read(tt.as(tt.body)), "\n"); got != tt.want {
				t.Errorf("it is\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestPayloadLimits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		body   string
		as3    bool
		limits engineio.Limits
		want   string
	}{
		{"as many bytes", "4abc", false, engineio.Limits{Bytes: 4}, "4abc"},
		{"a byte more", "4abcd", false, engineio.Limits{Bytes: 4}, engineio.ErrTooLarge.Error()},
		{"as many packets", "2\x1e2", false, engineio.Limits{Packets: 2}, "2\n2"},
		{"a packet more", "2\x1e2\x1e2", false, engineio.Limits{Packets: 2}, "2\n2\n" + engineio.ErrTooMany.Error()},
		{"packets of nothing", "0:0:0:", true, engineio.Limits{Packets: 2}, engineio.ErrTooMany.Error()},
		{"the default", "4" + strings.Repeat("a", engineio.DefaultBytes), false, engineio.Limits{}, engineio.ErrTooLarge.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			payload := engineio.NewPayload([]byte(tt.body), &tt.limits)
			if tt.as3 {
				payload = engineio.NewPayload3([]byte(tt.body), false, &tt.limits)
			}
			if got := strings.Join(read(payload), "\n"); got != tt.want {
				t.Errorf("it is %q, want %q", got, tt.want)
			}
		})
	}
	many := engineio.NewPayload([]byte(strings.Repeat("2\x1e", engineio.DefaultPackets)+"2"), none)
	if got := read(many); len(got) != engineio.DefaultPackets+1 || got[len(got)-1] != engineio.ErrTooMany.Error() {
		t.Errorf("of too many there are %d, and %s", len(got), got[len(got)-1])
	}
}

func TestMessages(t *testing.T) {
	decode3 := func(p []byte) (engineio.Packet, error) { return engineio.DecodeBinary3(p) }
	decode := func(p []byte) (engineio.Packet, error) { return engineio.DecodeBinary(p), nil }
	for _, tt := range []struct {
		name   string
		decode func([]byte) (engineio.Packet, error)
		sent   string
		want   string
		err    error
	}{
		{"text", engineio.DecodeText, "4hello", "4hello", nil},
		{"probe", engineio.DecodeText, "2probe", "2probe", nil},
		{"base64", engineio.DecodeText, "bAQIDBA==", "4 01 02 03 04", nil},
		{"binary", decode, "\x01\x02", "4 01 02", nil},
		{"empty binary", decode, "", "4 ", nil},
		{"empty text", engineio.DecodeText, "", "", engineio.ErrEmpty},
		{"unknown", engineio.DecodeText, "7", "", engineio.ErrType},
		{"base64 of 3", engineio.DecodeText, "b4AQID", "", engineio.ErrBase64},
		{"3: text", engineio.DecodeText3, "4hello", "4hello", nil},
		{"3: base64", engineio.DecodeText3, "b4AQIDBA==", "4 01 02 03 04", nil},
		{"3: binary", decode3, "\x04\x01\x02", "4 01 02", nil},
		{"3: empty text", engineio.DecodeText3, "", "", engineio.ErrEmpty},
		{"3: empty binary", decode3, "", "", engineio.ErrEmpty},
		{"3: binary that is no message", decode3, "\x02a", "", engineio.ErrType},
		{"3: unknown binary", decode3, "4a", "", engineio.ErrType},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := tt.decode([]byte(tt.sent))
			if err != tt.err || err == nil && line(p) != tt.want {
				t.Errorf("it is %s, %v, want %s, %v", line(p), err, tt.want, tt.err)
			}
		})
	}
}

func TestNoBody(t *testing.T) {
	payload := engineio.NewPayload(nil, none)
	if p, err := payload.Next(); err != engineio.ErrEmpty {
		t.Error("no body is", line(p), err)
	}
}

// TestPacketsDoNotOverlap appends to each packet, which must not change the next.
func TestPacketsDoNotOverlap(t *testing.T) {
	for _, p := range []engineio.Payload{
		payload4("4a\x1ebAQID\x1e4b"), text3("2:4a6:b4AQID2:4b"), binary3("\x00\x02\xff4a\x01\x04\xff\x04\x01\x02\x03\x00\x02\xff4b"),
	} {
		for _, want := range []string{"4a", "4 01 02 03", "4b"} {
			packet, err := p.Next()
			if err != nil || line(packet) != want {
				t.Fatal(line(packet), err)
			}
			_ = append(packet.Data, "xxxxxxxxxxxx"...)
		}
	}
	two := []byte("4a4b")
	if p, err := engineio.DecodeText(two[:2]); err != nil || string(append(p.Data, 'x')) != "ax" || string(two) != "4a4b" {
		t.Errorf("behind a message there is %s, %v", two, err)
	}
}

func TestAppend(t *testing.T) {
	hello := engineio.Packet{Type: engineio.Message, Data: []byte("hello")}
	smile := engineio.Packet{Type: engineio.Message, Data: []byte("€\U0001f600")}
	bytes4 := engineio.Packet{Type: engineio.Message, Binary: true, Data: []byte{1, 2, 3, 4}}
	ping := engineio.Packet{Type: engineio.Ping}
	for _, tt := range []struct {
		name   string
		append func([]byte, engineio.Packet) []byte
		want   string
	}{
		{"payload", engineio.AppendPayload, "4hello\x1e4€\U0001f600\x1ebAQIDBA==\x1e2"},
		{"shared payload", func(b []byte, p engineio.Packet) []byte {
			return engineio.AppendShared(b, engineio.AppendPacket(nil, p))
		}, "4hello\x1e4€\U0001f600\x1ebAQIDBA==\x1e2"},
		{"packet", engineio.AppendPacket, "4hello4€\U0001f600bAQIDBA==2"},
		{"3: packet", engineio.AppendText3, "4hello4€\U0001f600b4AQIDBA==2"},
		{"3: payload", engineio.AppendPayload3, "6:4hello4:4€\U0001f60010:b4AQIDBA==1:2"},
		{"3: binary payload", engineio.AppendBinaryPayload3, "\x00\x06\xff4hello\x00\x08\xff4€\U0001f600\x01\x05\xff\x04\x01\x02\x03\x04\x00\x01\xff2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b []byte
			for _, p := range []engineio.Packet{hello, smile, bytes4, ping} {
				b = tt.append(b, p)
			}
			if string(b) != tt.want {
				t.Errorf("it is %q, want %q", b, tt.want)
			}
		})
	}
	for text, want := range map[string]string{"é12345678": "10:4", "€1234567\U0001f600": "11:4", "12345678é": "10:4", "1234567é": "9:4"} {
		if b := engineio.AppendPayload3(nil, engineio.Packet{Type: engineio.Message, Data: []byte(text)}); string(b) != want+text {
			t.Errorf("of %s a payload of 3 is %q", text, b)
		}
	}
	if b := engineio.AppendBinary3(nil, []byte{1, 2}); string(b) != "\x04\x01\x02" {
		t.Errorf("a binary message of 3 is %q", b)
	}
	if b := engineio.AppendEmpty3(nil); string(b) != "0:" {
		t.Errorf("an empty payload of 3 is %q", b)
	}
}

func TestAppendOpen(t *testing.T) {
	h := &engineio.Handshake{SID: "lv_VI97HAXpY6yYWAAAC", Upgrade: true, PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, MaxPayload: 1_000_000}
	const want = `0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
	if got := engineio.AppendOpen(nil, h); string(got) != want {
		t.Errorf("it is %s", got)
	}
	h.Upgrade = false
	if got := engineio.AppendOpen(nil, h); string(got) != strings.Replace(want, `"websocket"`, "", 1) {
		t.Errorf("without an upgrade it is %s", got)
	}
}

func TestJSONP(t *testing.T) {
	body := []byte("4\"\\/\n\r\t\b\f\x00\x1e\x1f<>&'\u2028\u2029\u2027\u202a€\U0001f600\x7f")
	const want = `___eio[3]("4\"\\/\n\r\t\b\f\u0000\u001e\u001f<>&'\u2028\u2029` + "\u2027\u202a€\U0001f600\x7f" + `");`
	if got := engineio.AppendJSONP(nil, 3, body); string(got) != want {
		t.Errorf("it is %s, want %s", got, want)
	}
}

func TestDecodeForm(t *testing.T) {
	for _, tt := range []struct{ form, want string }{
		{"d=4hello", "4hello"},
		{"d=4+a%2Bb%20c%c3%A9", "4 a+b cé"},
		{"x=1&d=4a&y=2", "4a"},
		{"d=", ""},
		{`d=4a\nb`, "4a\nb"},
		{`d=4a\\nb`, `4a\nb`},
		{`d=4a\\\nb`, `4a\\nb`},
		{`d=4a%5C%5Cn%5cn%5c`, "4a\\n\n\\"},
		{`d=n\n\a\\`, "n\n\\a\\\\"},
		{"d=a=b", "a=b"},
	} {
		if got, err := engineio.DecodeForm([]byte(tt.form)); err != nil || string(got) != tt.want {
			t.Errorf("%s is %q, %v, want %q", tt.form, got, err, tt.want)
		}
	}
	for _, form := range []string{"", "d", "x=1", "d=1&d=2", "d=%", "d=%2", "d=%zz", "%64=1", "dd=1"} {
		if got, err := engineio.DecodeForm([]byte(form)); !errors.Is(err, engineio.ErrForm) {
			t.Errorf("%s is %q, %v", form, got, err)
		}
	}
}

// TestLongBase64 decodes in place what is longer than the decoder takes at once.
func TestLongBase64(t *testing.T) {
	for n := range 300 {
		data := bytes.Repeat([]byte{0xa5, 1, 0xff}, 100)[:n]
		text := engineio.AppendPacket(nil, engineio.Packet{Type: engineio.Message, Binary: true, Data: data})
		if p, err := engineio.DecodeText(text); err != nil || !bytes.Equal(p.Data, data) {
			t.Fatalf("%d bytes are %x, %v", n, p.Data, err)
		}
	}
}
