package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/broker/memory"
)

// BenchmarkPublishHTTP is one new_message over HTTP, on connections that stay
// open, from as many callers as there are cores. Client and server share the
// machine, so about half of the time is the client's.
func BenchmarkPublishHTTP(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	cfg := server.DefaultConfig()
	cfg.DrainDelay = 0
	srv, err := server.New(cfg, memory.New(), server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- srv.Serve(ctx, server.Doors{Main: l}) }()
	defer func() { cancel(); <-done }()
	<-srv.Hub().Ready()

	url := "http://" + l.Addr().String() + "/"
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprint("batch=", batch), func(b *testing.B) {
			body := call(batch)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					resp, err := client.Post(url, "application/json", bytes.NewReader(body))
					if err != nil {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "publishes/s")
		})
	}
}

// call is one call, or a batch of several.
func call(n int) []byte {
	one := `{"jsonrpc": "2.0", "id": 1, "method": "new_message", "params": ["bench", "hello", "room", false]}`
	if n == 1 {
		return []byte(one)
	}
	all := "[" + one
	for range n - 1 {
		all += "," + one
	}
	return []byte(all + "]")
}
