package faultproxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

// open connects to a server that sends back what it hears, through a proxy.
func open(t *testing.T) (*faultproxy.Proxy, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	p := faultproxy.Start(t, l.Addr().String(), 1, faultproxy.Faults{})
	return p, dial(t, p)
}

func dial(t *testing.T, p *faultproxy.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// back says something and returns what has come back within a time; without an
// error there is as much as was said.
func back(t *testing.T, c net.Conn, say string, within time.Duration) (string, error) {
	t.Helper()
	if _, err := c.Write([]byte(say)); err != nil {
		return "", err
	}
	return hear(c, len(say), within)
}

func hear(c net.Conn, n int, within time.Duration) (string, error) {
	c.SetReadDeadline(time.Now().Add(within))
	got := make([]byte, n)
	n, err := io.ReadFull(c, got)
	return string(got[:n]), err
}

const (
	long  = 10 * time.Second
	short = 50 * time.Millisecond
)

func TestDelay(t *testing.T) {
	p, c := open(t)
	for _, s := range []faultproxy.Side{faultproxy.Requests, faultproxy.Answers} {
		p.Delay(s, short)
		began := time.Now()
		if got, err := back(t, c, "late", long); got != "late" || time.Since(began) < short {
			t.Errorf("%q after %v: %v", got, time.Since(began), err)
		}
		p.Delay(s, 0)
	}
}

func TestHold(t *testing.T) {
	p, c := open(t)
	for _, s := range []faultproxy.Side{faultproxy.Requests, faultproxy.Answers} {
		p.Hold(s)
		if got, err := back(t, c, "held", short); got != "" || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: %v", got, err)
		}
		p.Release(s)
		if got, err := hear(c, 4, long); got != "held" {
			t.Errorf("%q: %v", got, err)
		}
	}
}

func TestDrop(t *testing.T) {
	p, c := open(t)
	p.Drop(faultproxy.Answers, true)
	if got, err := back(t, c, "lost", short); got != "" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%q: %v", got, err)
	}
	p.Drop(faultproxy.Answers, false)
	if got, err := hear(c, 4, long); got != "" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%q: %v", got, err)
	}
	if got, err := back(t, dial(t, p), "new", long); got != "new" {
		t.Errorf("%q: %v", got, err)
	}
}

func TestCutAfter(t *testing.T) {
	p, c := open(t)
	p.CutAfter(faultproxy.Requests, 3)
	if got, err := back(t, c, "12", long); got != "12" {
		t.Errorf("%q: %v", got, err)
	}
	if got, err := back(t, c, "345", long); len(got) > 1 || err == nil {
		t.Errorf("%q: %v", got, err)
	}
	if p.Ended(faultproxy.EndReset) != 1 {
		t.Error("it is not said that it was cut")
	}
	all := string(bytes.Repeat([]byte("."), 1000))
	if got, err := back(t, dial(t, p), all, long); got != all {
		t.Errorf("%q: %v", got, err)
	}
}

func TestRefuse(t *testing.T) {
	p, c := open(t)
	if got, err := back(t, c, "here", long); got != "here" {
		t.Fatalf("%q: %v", got, err)
	}
	p.Refuse()
	if got, err := back(t, c, "gone", long); err == nil {
		t.Errorf("%q", got)
	}
	if refused, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v: %v", refused, err)
	}
	if err := p.Accept(); err != nil {
		t.Fatal(err)
	}
	if got, err := back(t, dial(t, p), "here again", long); got != "here again" {
		t.Errorf("%q: %v", got, err)
	}
}
