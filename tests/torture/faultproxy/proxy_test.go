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

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// speech is what the server of these tests says to everybody.
var speech = bytes.Repeat([]byte("0123456789abcdef"), 4096)

// echo is a server that says its speech to everybody, and then what it has
// heard. heard has what each connection has sent, when it is over.
func echo(t *testing.T) (addr string, heard chan []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard = make(chan []byte, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write(speech)
			all, _ := io.ReadAll(c)
			c.Write(all)
			c.Close()
			heard <- all
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), heard
}

// talk says something through the proxy and returns what comes back.
func talk(t *testing.T, p *faultproxy.Proxy, say string) (got []byte, err error) {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return nil, err // the end has come before the beginning was noticed
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	c.Write([]byte(say))
	c.(*net.TCPConn).CloseWrite()
	return io.ReadAll(c)
}

func TestWithoutFaultsNothingChanges(t *testing.T) {
	addr, heard := echo(t)
	p := faultproxy.Start(t, addr, 1, faultproxy.Faults{})
	for range 10 {
		got, err := talk(t, p, "hello")
		if want := append(bytes.Clone(speech), "hello"...); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes (%v), want %d", len(got), err, len(want))
		}
		if said := <-heard; string(said) != "hello" {
			t.Errorf("the server heard %q", said)
		}
	}
	if p.Connections() != 10 {
		t.Errorf("%d connections", p.Connections())
	}
}

// Pieces and pauses change when bytes come, not which.
func TestPiecesAndPauses(t *testing.T) {
	addr, _ := echo(t)
	p := faultproxy.Start(t, addr, 1, faultproxy.Faults{Pieces: 1000, Pauses: 1000, Pause: time.Microsecond})
	for range 3 {
		got, err := talk(t, p, "hello")
		if want := append(bytes.Clone(speech), "hello"...); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes (%v), want %d", len(got), err, len(want))
		}
	}
}

// TestEnds: each end gives as many bytes as planned, and is what its name says.
func TestEnds(t *testing.T) {
	addr, _ := echo(t)
	for _, tt := range []struct {
		end    faultproxy.End
		faults faultproxy.Faults
		reset  bool
	}{
		{faultproxy.EndCut, faultproxy.Faults{Cut: 1000}, false},
		{faultproxy.EndHalf, faultproxy.Faults{Half: 1000}, false},
		{faultproxy.EndReset, faultproxy.Faults{Reset: 1000}, true},
		{faultproxy.EndStall, faultproxy.Faults{Stall: 1000, StallTime: time.Millisecond}, true},
	} {
		t.Run(tt.end.String(), func(t *testing.T) {
			tt.faults.Reach = 5000
			p := faultproxy.Start(t, addr, 7, tt.faults)
			for n := range uint64(10) {
				plan := faultproxy.PlanFor(7, n, tt.faults).Answer
				got, err := talk(t, p, "")
				switch {
				case plan.End != tt.end:
					t.Fatalf("planned is %v", plan)
				case !bytes.HasPrefix(speech, got):
					t.Errorf("other bytes than were sent")
				case tt.reset && !errors.Is(err, syscall.ECONNRESET):
					t.Errorf("%v, want a reset", err)
				case tt.end == faultproxy.EndHalf && (err != nil || int64(len(got)) != plan.After):
					t.Errorf("%d bytes and %v, want %d and the end", len(got), err, plan.After)
				// A close with unread bytes on the other side may become a
				// reset, which throws away what is under way.
				case int64(len(got)) > plan.After:
					t.Errorf("%d bytes, want at most %d", len(got), plan.After)
				}
			}
			if n := p.Ended(tt.end); n != 10 {
				t.Errorf("%d ends are counted", n)
			}
		})
	}
}

// TestRequestsAreCutToo: the server hears what was planned and no more.
func TestRequestsAreCutToo(t *testing.T) {
	addr, heard := echo(t)
	f := faultproxy.Faults{Half: 1000, Requests: 1000}
	p := faultproxy.Start(t, addr, 3, f)
	long := string(speech[:2000])
	for n := range uint64(10) {
		plan := faultproxy.PlanFor(3, n, f).Request
		got, err := talk(t, p, long)
		if err != nil || len(got) != len(speech)+int(plan.After) {
			t.Errorf("%d bytes of answer (%v), want %d", len(got), err, len(speech)+int(plan.After))
		}
		if said := <-heard; string(said) != long[:plan.After] {
			t.Errorf("the server heard %d bytes, want %d", len(said), plan.After)
		}
	}
}

func TestSeverAndRetarget(t *testing.T) {
	addr, _ := echo(t)
	p := faultproxy.Start(t, "", 1, faultproxy.Faults{})
	if got, _ := talk(t, p, ""); len(got) != 0 {
		t.Errorf("%d bytes from nowhere", len(got))
	}
	p.Retarget(addr)
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, len(speech))); err != nil {
		t.Fatal(err)
	}
	p.Sever()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after Sever: %v", err)
	}
	if got, err := talk(t, p, ""); err != nil || !bytes.Equal(got, speech) {
		t.Errorf("a new connection: %d bytes, %v", len(got), err)
	}
}

// TestCloseEndsWhatHangs: nobody waits for a stall or a silent peer.
func TestCloseEndsWhatHangs(t *testing.T) {
	addr, _ := echo(t)
	p, err := faultproxy.New(addr, 1, faultproxy.Faults{Stall: 1000, StallTime: time.Hour, Reach: 1})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// TestPlansFollowFromTheSeed, and are as varied and as likely as was asked.
func TestPlansFollowFromTheSeed(t *testing.T) {
	f := faultproxy.Faults{Cut: 250, Reset: 250, Half: 100, Stall: 100, Requests: 500, Pieces: 500, Pauses: 500, Reach: 1 << 16}
	const many = 10_000
	ends := make(map[faultproxy.End]int)
	requests, near, same := 0, 0, 0
	for n := range uint64(many) {
		p := faultproxy.PlanFor(1, n, f)
		if again := faultproxy.PlanFor(1, n, f); p != again {
			t.Fatalf("%v, and then %v", p, again)
		}
		if p == faultproxy.PlanFor(2, n, f) {
			same++
		}
		if p.Request.End != faultproxy.EndNone && p.Answer.End != faultproxy.EndNone {
			t.Errorf("two ends: %v", p)
		}
		if p.Request.End != faultproxy.EndNone {
			requests++
		}
		ends[max(p.Request.End, p.Answer.End)]++
		if p.Answer.After > f.Reach {
			t.Errorf("%v reaches too far", p)
		}
		if p.Answer.End != faultproxy.EndNone && p.Answer.After <= 1<<8 {
			near++
		}
	}
	about := func(what string, got, want int) {
		t.Helper()
		if got < want*9/10 || got > want*11/10 {
			t.Errorf("%s: %d of %d, want about %d", what, got, many, want)
		}
	}
	about("cut", ends[faultproxy.EndCut], many/4)
	about("reset", ends[faultproxy.EndReset], many/4)
	about("half", ends[faultproxy.EndHalf], many/10)
	about("stall", ends[faultproxy.EndStall], many/10)
	about("none", ends[faultproxy.EndNone], many*3/10)
	about("in requests", requests, many*7/20)
	if near < requests/3 {
		t.Errorf("only %d ends are near the beginning", near)
	}
	if same > many/4 { // those that have no fault
		t.Errorf("%d plans are the same under another seed", same)
	}
}
