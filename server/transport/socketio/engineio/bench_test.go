package engineio_test

import (
	"io"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
)

// BenchmarkPayload reads bodies of a hundred packets.
func BenchmarkPayload(b *testing.B) {
	text := engineio.Packet{Type: engineio.Message, Data: []byte(`2["message",{"channel":"room","text":"` + strings.Repeat("x", 60) + `"}]`)}
	other := engineio.Packet{Type: engineio.Message, Data: []byte(strings.Repeat("€", 30))}
	binary := engineio.Packet{Type: engineio.Message, Binary: true, Data: make([]byte, 100)}
	for _, bench := range []struct {
		name   string
		packet engineio.Packet
		append func([]byte, engineio.Packet) []byte
		read   func([]byte) engineio.Payload
	}{
		{"text", text, engineio.AppendPayload, func(p []byte) engineio.Payload { return engineio.NewPayload(p, none) }},
		{"binary", binary, engineio.AppendPayload, func(p []byte) engineio.Payload { return engineio.NewPayload(p, none) }},
		{"3 text", text, engineio.AppendPayload3, func(p []byte) engineio.Payload { return engineio.NewPayload3(p, false, none) }},
		{"3 text beyond ASCII", other, engineio.AppendPayload3, func(p []byte) engineio.Payload { return engineio.NewPayload3(p, false, none) }},
		{"3 binary", binary, engineio.AppendBinaryPayload3, func(p []byte) engineio.Payload { return engineio.NewPayload3(p, true, none) }},
	} {
		var body []byte
		for range 100 {
			body = bench.append(body, bench.packet)
		}
		b.Run("read "+bench.name, func(b *testing.B) {
			p := make([]byte, len(body))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				copy(p, body)
				payload := bench.read(p)
				n := 0
				for {
					if _, err := payload.Next(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != 100 {
					b.Fatal(n)
				}
			}
		})
		b.Run("append "+bench.name, func(b *testing.B) {
			dst := make([]byte, 0, len(body))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				dst = dst[:0]
				for range 100 {
					dst = bench.append(dst, bench.packet)
				}
			}
		})
	}
}

func BenchmarkMessage(b *testing.B) {
	text := []byte(`42["message",{"channel":"room"}]`)
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := engineio.DecodeText(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append JSONP", func(b *testing.B) {
		body := []byte(strings.Repeat(`42["message",{"channel":"room"}]`, 100))
		dst := make([]byte, 0, 2*len(body))
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			engineio.AppendJSONP(dst, 3, body)
		}
	})
	b.Run("read form", func(b *testing.B) {
		form := []byte("d=" + strings.Repeat(`42%5B%22message%22%5D`, 100))
		p := make([]byte, len(form))
		b.SetBytes(int64(len(form)))
		b.ReportAllocs()
		for b.Loop() {
			copy(p, form)
			if _, err := engineio.DecodeForm(p); err != nil {
				b.Fatal(err)
			}
		}
	})
}
