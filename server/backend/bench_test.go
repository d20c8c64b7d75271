package backend

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/shaveet/shaveet/rpcapi"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/handler"
	"github.com/shaveet/shaveet/server/hub"
)

// newAPI returns the admin API of a hub that runs, with the channel room.
func newAPI(t testing.TB) *rpcapi.API {
	h := hub.New(hub.Config{NewKey: func() string { return "key" }}, memory.New())
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	<-h.Ready()
	if _, _, err := h.CreateClient(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Subscribe(ctx, []hub.Pair{{Client: "alice", Channel: "room"}}); err != nil { // or nothing is kept
		t.Fatal(err)
	}
	return rpcapi.New(h, rpcapi.Options{})
}

// listen serves the API, by POST and by WebSocket, on a loopback address.
func listen(t testing.TB) (s *Server, addr string) {
	api := newAPI(t)
	s = New(Options{Handle: api.Append, Logger: slog.New(slog.DiscardHandler)})
	srv := httptest.NewServer(s.Or(api))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { s.Close(context.Background()) })
	return s, strings.TrimPrefix(srv.URL, "http://")
}

func newMessage(i int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"new_message","params":{"client_id":"bob","system":false,"channel_name":"room","message":{"text":"hello, world","n":%d}},"id":%d}`, i, i)
}

// connect opens a WebSocket on a real connection.
func connect(t testing.TB, addr string) *rawPeer {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	io.WriteString(conn, handshake)
	c := &rawPeer{t, conn, bufio.NewReaderSize(conn, 64<<10)}
	if answer, err := http.ReadResponse(c.in, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(answer, err)
	}
	return c
}

// frames is what a client sends, cut into writes.
func frames(n int) (writes [][]byte) {
	var b []byte
	for i := range n {
		if b = append(b, text(newMessage(i))...); len(b) > 32<<10 || i == n-1 {
			writes, b = append(writes, b), nil
		}
	}
	return writes
}

// BenchmarkPipelined makes calls without waiting for their answers.
func BenchmarkPipelined(b *testing.B) {
	_, addr := listen(b)
	c := connect(b, addr)
	writes := frames(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for _, w := range writes {
			c.conn.Write(w)
		}
	}()
	c.skip(b.N)
}

// skip reads so many answers that are not long.
func (c *rawPeer) skip(n int) {
	for range n {
		head, _ := c.in.Peek(30)
		if len(head) < 30 || head[0] != 0x81 || !bytes.Contains(head, []byte(`"result":`)) {
			c.t.Fatalf("it says %q", head)
		}
		if _, err := c.in.Discard(2 + int(head[1])); err != nil {
			c.t.Fatal(err)
		}
	}
}

// BenchmarkOneByOne waits for each answer.
func BenchmarkOneByOne(b *testing.B) {
	_, addr := listen(b)
	c := connect(b, addr)
	all := make([][]byte, b.N)
	for i := range all {
		all[i] = []byte(text(newMessage(i)))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		c.conn.Write(all[i])
		c.skip(1)
	}
}

// BenchmarkPOST makes the same calls by HTTP, on one connection that is kept,
// with no more work for the client than has to be.
func BenchmarkPOST(b *testing.B) {
	_, addr := listen(b)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	all := make([][]byte, b.N)
	for i := range all {
		body := newMessage(i)
		all[i] = fmt.Appendf(nil, "POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	in := bufio.NewReader(conn)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		conn.Write(all[i])
		size := 0
		for { // the head
			line, err := in.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 2 {
				break
			}
			if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				fmt.Sscan(string(n), &size)
			}
		}
		in.Discard(size)
	}
}

// BenchmarkHandle is what the calls themselves cost.
func BenchmarkHandle(b *testing.B) {
	api := newAPI(b)
	body := []byte(newMessage(7))
	b.ReportAllocs()
	var answer []byte
	for b.Loop() {
		answer = api.Append(context.Background(), answer[:0], body)
	}
}

// BenchmarkCall makes calls of a backend that replies at once, 64 at a time.
func BenchmarkCall(b *testing.B) {
	s, addr := listen(b)
	c := connect(b, addr)
	io.WriteString(c.conn, text(asks("serve", nil, 0)))
	c.want(served)
	go func() {
		for {
			m := c.next()
			at := strings.LastIndex(m, `"id":`)
			if at < 0 {
				return
			}
			io.WriteString(c.conn, text(`{"jsonrpc":"2.0","result":[1],`+m[at:]))
		}
	}()
	params := []byte(`{"serial":1,"sid":"abcdefghijklmnopqrst","event":"chat","args":["hello"]}`)
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range b.N / 64 {
				if _, err := s.Call(context.Background(), &handler.Call{Method: "event", Socket: "x", Params: params}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkSort(b *testing.B) {
	body := []byte(newMessage(7))
	b.ReportAllocs()
	for b.Loop() {
		sort(body, testWaits)
	}
}
