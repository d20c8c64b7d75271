package packet_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

var benchEvents = []struct{ name, text string }{
	{"small", `2["message","hello"]`},
	{"chat", `2/chat,17["user message",{"room":"lobby","text":"hello there, how are you","at":1763800000000,"tags":["a","b"],"seen":true}]`},
	{"64 KiB of text", `2["message","` + strings.Repeat("x", 1<<16) + `"]`},
	{"64 KiB of objects", `2["message",[` + strings.Repeat(`{"id":12345,"name":"bob","ok":true},`, 1<<16/36) + `null]]`},
}

// BenchmarkText compares with whether it is JSON, by the standard library.
func BenchmarkText(b *testing.B) {
	for _, bench := range benchEvents {
		text := []byte(bench.text)
		b.Run(bench.name, func(b *testing.B) {
			a := packet.NewAssembler(none)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, whole, err := a.Text(text); !whole || err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("only whether JSON "+bench.name, func(b *testing.B) {
			raw := []byte(bench.text[strings.Index(bench.text, "["):])
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if !json.Valid(raw) {
					b.Fatal()
				}
			}
		})
	}
}

// BenchmarkBinary is an event with two attachments of a KiB each, and back.
func BenchmarkBinary(b *testing.B) {
	data := make([]byte, 1<<10)
	text := []byte(`52-["image",{"small":{"_placeholder":true,"num":0},"large":{"_placeholder":true,"num":1}}]`)
	dst := make([]byte, 0, 1<<12)
	b.Run("assemble", func(b *testing.B) {
		a := packet.NewAssembler(none)
		b.ReportAllocs()
		for b.Loop() {
			a.Text(text)
			a.Binary(data)
			if p, whole, err := a.Binary(data); !whole || err != nil {
				b.Fatal(err)
			} else {
				p.AppendArgs(dst)
			}
		}
	})
	b.Run("split", func(b *testing.B) {
		object := `{"$binary":"` + base64.StdEncoding.EncodeToString(data) + `"}`
		raw := []byte(`["image",{"small":` + object + `,"large":` + object + `}]`)
		b.ReportAllocs()
		for b.Loop() {
			if _, attached, err := packet.AppendSplit(dst, raw, none); len(attached) != 2 || err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	array := []byte(`["message",{"channel":"lobby","data":{"text":"hello there"}}]`)
	p := &packet.Packet{Type: packet.Event, Namespace: "/chat", JSON: array}
	dst := make([]byte, 0, 1<<10)
	for _, bench := range []struct {
		name string
		run  func()
	}{
		{"event", func() { packet.Append(dst, p) }},
		{"longer", func() { packet.AppendLonger(dst, array, "0123456789abcdef.1234567") }},
		{"connected", func() { packet.AppendConnected(dst, "/chat", "lv_VI97HAXpY6yYWAAAC", "") }},
		{"refusal", func() { packet.AppendConnectError(dst, "/chat", "Invalid namespace", nil) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bench.run()
			}
		})
	}
}
