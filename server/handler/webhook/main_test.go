package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/handler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret, otherSecret = "0123456789abcdef", "fedcba9876543210"

const id = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"

func newCaller(t testing.TB, url string, change ...func(*Options)) *Caller {
	t.Helper()
	opts := Options{URL: url, Secrets: []string{secret}}
	for _, f := range change {
		f(&opts)
	}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// serve runs a backend on a port of this machine.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// scripted runs a backend that speaks no HTTP by itself: for every connection
// speak is called.
func scripted(t testing.TB, speak func(c net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			speak(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return "http://" + l.Addr().String()
}

// nobody is the URL of a port where nobody listens: that of a client, so that
// nobody can begin to.
func nobody(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return "http://" + c.LocalAddr().String()
}

func aCall() *handler.Call {
	return &handler.Call{Method: "event", ID: id, Socket: "~s", Params: []byte(`{"serial":1}`)}
}

// call makes one, and returns what came of it in a few words.
func call(c *Caller, timeout time.Duration) string {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	result, err := c.Call(ctx, aCall())
	return outcome(string(result), err)
}

func outcome(result string, err error) string {
	switch {
	case err == nil:
		return "result " + result
	case errors.As(err, new(*handler.NotSent)):
		return "not sent"
	case errors.As(err, new(*handler.Lost)):
		return "lost"
	case errors.As(err, new(*handler.Answered)):
		return err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "late"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "failed"
}

// answer is what a backend says that answers well.
func answer(result string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"result":%s}`, id, result)
}

func write(w http.ResponseWriter, s string) { io.WriteString(w, s) }

// patience is how long a call may take that should not take long.
const patience = 30 * time.Second
