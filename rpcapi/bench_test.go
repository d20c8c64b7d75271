package rpcapi

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
)

func BenchmarkCall(b *testing.B) {
	a := New(newHub(b, hub.Limits{}), Options{})
	handle(a, `{"method":"create_client","params":["bob"]}`)
	message := `{"jsonrpc":"2.0","method":"new_message","params":{"client_id":"bob","message":{"text":"` +
		strings.Repeat("x", 128) + `"},"channel_name":"room","system":false},"id":1}`
	batch := "[" + strings.TrimSuffix(strings.Repeat(message+",", 100), ",") + "]"
	for _, bb := range []struct{ name, body string }{
		{"old", `{"method":"create_client","params":["bob"],"id":1}`},
		{"positional", `{"jsonrpc":"2.0","method":"create_client","params":["bob"],"id":1}`},
		{"named", `{"jsonrpc":"2.0","method":"create_client","params":{"client_id":"bob"},"id":1}`},
		{"message", message},
		{"batch100", batch},
	} {
		b.Run(bb.name, func(b *testing.B) {
			body := []byte(bb.body)
			ctx := context.Background()
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if a.Handle(ctx, body) == nil {
					b.Fatal("no answer")
				}
			}
		})
	}
}

// BenchmarkParse is the strict pass alone.
func BenchmarkParse(b *testing.B) {
	for _, size := range []int{100, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			body := []byte(`{"method":"new_message","params":["bob",["` +
				strings.TrimSuffix(strings.Repeat(`some text","`, size/12+1), `,"`) + `],"room",false],"id":1}`)
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				p := parser{scanner: scanner{text: body, maxDepth: 64}, maxBatch: 10}
				if _, _, err := p.parse(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPublish says the same thing by each of the bulk paths: a batch of
// calls, and publish_many. ns/msg is what one message costs; allocs/msg counts
// what the log keeps of it too.
func BenchmarkPublish(b *testing.B) {
	const message = `{"channel":"room","data":{"text":"` + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" + `"},"sender":"bob"}`
	for _, bb := range []struct {
		name string
		n    int
		body string
	}{
		{"batch", 1, bodyOf(1, `{"jsonrpc":"2.0","method":"publish","params":`+message+`,"id":1}`)},
		{"batch", 16, bodyOf(16, `{"jsonrpc":"2.0","method":"publish","params":`+message+`,"id":1}`)},
		{"batch", 256, bodyOf(256, `{"jsonrpc":"2.0","method":"publish","params":`+message+`,"id":1}`)},
		{"many", 16, `{"jsonrpc":"2.0","method":"publish_many","params":{"messages":` + bodyOf(16, message) + `},"id":1}`},
		{"many", 256, `{"jsonrpc":"2.0","method":"publish_many","params":{"messages":` + bodyOf(256, message) + `},"id":1}`},
	} {
		b.Run(fmt.Sprintf("%s/%d", bb.name, bb.n), func(b *testing.B) {
			a := New(newHub(b, hub.Limits{}), Options{})
			body := []byte(bb.body)
			ctx := context.Background()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				if a.Handle(ctx, body) == nil {
					b.Fatal("no answer")
				}
			}
			runtime.ReadMemStats(&after)
			messages := float64(b.N * bb.n)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/messages, "ns/msg")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/messages, "allocs/msg")
		})
	}
}

// bodyOf is a list of n times the same.
func bodyOf(n int, text string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(text+",", n), ",") + "]"
}
