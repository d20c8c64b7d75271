package wsframe_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/wsframe"
)

func BenchmarkFeed(b *testing.B) {
	for _, bench := range []struct{ name, sent string }{
		{"pong", frame(fin|pong, "")},
		{"ping of 125 bytes", frame(fin|ping, repeat(125))},
		{"text of 100 bytes", said(repeat(100))},
		{"text of 64 KiB", said(repeat(1 << 16))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r := wsframe.NewReader(small, false)
			p := make([]byte, len(bench.sent))
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				copy(p, bench.sent)
				if _, f, err := r.Feed(p); f.Op == wsframe.None || err != nil {
					b.Fatal(f, err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	dst := make([]byte, 0, 1<<17)
	for _, size := range []int{100, 1 << 16} {
		payload := []byte(repeat(size))
		b.Run(fmt.Sprintf("text of %d bytes", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				wsframe.AppendText(dst, payload)
			}
		})
		b.Run(fmt.Sprintf("composed text of %d bytes", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				wsframe.End(append(wsframe.Begin(dst), payload...), 0, wsframe.Text)
			}
		})
	}
	b.Run("pong", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			wsframe.AppendPong(dst, []byte("x"))
		}
	})
	b.Run("close", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			wsframe.AppendClose(dst, 4404, "gone")
		}
	})
}

func BenchmarkDeflate(b *testing.B) {
	payload := []byte(strings.Repeat(`{"channel":"room","id":17,"sender":"bob","data":{"text":"hello"}},`, 10))
	dst := make([]byte, 0, 1<<12)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			wsframe.AppendDeflated(dst, wsframe.Text, payload)
		}
	})
	b.Run("inflate", func(b *testing.B) {
		sent := frame(fin|rsv1|text, deflated(string(payload)))
		r := wsframe.NewReader(small, true)
		p := make([]byte, len(sent))
		b.ReportAllocs()
		for b.Loop() {
			copy(p, sent)
			if _, f, err := r.Feed(p); f.Op == wsframe.None || err != nil {
				b.Fatal(f, err)
			}
		}
	})
}
