package webhook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// A backend that closes every connection behind its answer without a word: what
// is said to be heard was heard once, what is said not to be was not, and nothing
// was heard twice.
func TestClosedConnections(t *testing.T) {
	var mu sync.Mutex
	heard := make(map[string]int)
	url := scripted(t, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		mu.Lock()
		heard[r.Header.Get(HeaderID)]++
		mu.Unlock()
		io.ReadAll(r.Body)
		body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"result":1}`, r.Header.Get(HeaderID))
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	})
	caller := newCaller(t, url)
	outcomes := make(map[string]int)
	for range 500 {
		one := aCall()
		one.ID = uuid.NewString()
		result, err := caller.Call(context.Background(), one)
		got := outcome(string(result), err)
		outcomes[got]++
		mu.Lock()
		n := heard[one.ID]
		mu.Unlock()
		switch {
		case got == "result 1" && n == 1, got == "not sent" && n == 0, got == "lost" && n <= 1:
		default:
			t.Fatalf("%s, and it was heard %d times", got, n)
		}
	}
	t.Log(outcomes)
	if outcomes["result 1"] == 0 {
		t.Error("none was answered")
	}
}

// A brokenConn takes so many bytes, and no more.
type brokenConn struct {
	net.Conn
	takes int
}

func (c *brokenConn) Write(p []byte) (n int, err error) {
	if len(p) <= c.takes {
		n, err = c.Conn.Write(p)
		c.takes -= n
		return n, err
	}
	n, _ = c.Conn.Write(p[:c.takes])
	c.takes = 0
	return n, errors.New("broken pipe")
}

// What counts is whether a byte of the call was written.
func TestBytesWritten(t *testing.T) {
	url := scripted(t, func(c net.Conn) {
		for in := bufio.NewReader(c); ; {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			io.ReadAll(r.Body)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer("1")), answer("1"))
		}
	})
	whole := requestBytes(t, url)
	for _, tt := range []struct {
		name  string
		takes []int // of the connections, one after the other
		want  []string
	}{
		{"a new one that takes nothing", []int{0}, []string{"not sent"}},
		{"a new one that takes a byte", []int{1}, []string{"lost"}},
		{"a used one that takes nothing", []int{whole, whole}, []string{"result 1", "result 1"}}, // which net/http tries again
		{"two that take nothing", []int{whole, 0}, []string{"result 1", "not sent"}},
		{"a used one that takes a byte", []int{whole + 1, whole}, []string{"result 1", "lost"}},
		{"a used one that takes almost all", []int{2*whole - 1, whole}, []string{"result 1", "lost"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			caller := newCaller(t, url)
			caller.transport.DialContext = breaking(tt.takes)
			for i, want := range tt.want {
				if got := call(caller, patience); got != want {
					t.Errorf("call %d: %s, want %s", i+1, got, want)
				}
			}
		})
	}
}

// breaking dials connections that break when they have taken so much.
func breaking(takes []int) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil || len(takes) == 0 {
			return nil, errors.Join(err, errors.New("there are no more"))
		}
		most := takes[0]
		takes = takes[1:]
		return counted(&brokenConn{c, most}, nil)
	}
}

// requestBytes returns how long aCall is on its way.
func requestBytes(t *testing.T, url string) int {
	t.Helper()
	caller := newCaller(t, url)
	dial := caller.transport.DialContext
	var c *countedConn
	caller.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		c, _ = conn.(*countedConn)
		return conn, err
	}
	if got := call(caller, patience); got != "result 1" {
		t.Fatal(got)
	}
	return int(c.written.Load())
}

// A call whose time is over before it has a connection was not heard; later that
// is not certain.
func TestLateWithoutConnection(t *testing.T) {
	caller := newCaller(t, nobody(t))
	caller.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if got := call(caller, 1); got != "not sent" {
		t.Error(got)
	}
}
