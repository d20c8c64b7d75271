package zeromq

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/zmtp"
)

// As many peers as there is room for are served, others are refused at once,
// and who comes when one has gone is served again.
func TestRoomForPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{}, socketOf("pull", func(c *Config) { c.MaxPeers = 2 }))
		said := w.said()
		first, second := w.peer(zmtp.PUSH), w.peer(zmtp.PUSH)
		for range 3 {
			if _, err := zmtp.NewConn(w.dial(), zmtp.Options{Type: zmtp.PUSH}); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
				t.Errorf("a third peer: %v", err)
			}
		}
		synctest.Wait()
		if s := w.stats(); s.Peers != 2 || s.Refused != 3 {
			t.Errorf("%+v", s)
		}
		if !strings.Contains(w.log.String(), "max_peers") {
			t.Errorf("the log does not say why: %s", w.log)
		}
		first.Close()
		synctest.Wait()
		w.peer(zmtp.PUSH).send("1")
		second.send("2")
		synctest.Wait()
		if got := said(); len(got) != 2 {
			t.Errorf("published %q", got)
		}
	})
}

// Those who say nothing, or too little, keep nobody from work, and their place
// only until the handshake should be done.
func TestSilentPeers(t *testing.T) {
	hello := "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x03\x01NULL"
	for name, says := range map[string]string{"nothing": "", "one byte": hello[:1], "half a greeting": hello} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, hub.Limits{}, socketOf("pull", func(c *Config) { c.MaxPeers = 20 }))
				said := w.said()
				began := time.Now()
				var ends []<-chan error
				for range 19 {
					c := w.dial()
					ends = append(ends, discard(c))
					io.WriteString(c, says)
				}
				w.peer(zmtp.PUSH).send("1")
				synctest.Wait()
				if got := said(); len(got) != 1 || time.Since(began) != 0 {
					t.Errorf("published %q after %v", got, time.Since(began))
				}
				for _, end := range ends {
					<-end
				}
				if d := time.Since(began); d > 5*time.Second {
					t.Errorf("they were there for %v", d)
				}
				synctest.Wait()
				if s := w.stats(); s.Refused != 19 || s.Peers != 1 {
					t.Errorf("%+v", s)
				}
				for range 19 {
					w.peer(zmtp.PUSH)
				}
			})
		})
	}
}

// Who does not go together with us is told so, counted, and in the log.
func TestPeersOfOtherTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for ours, theirs := range map[string]string{"pull": "PUB", "sub": "PUSH", "pub": "PULL", "rep": "PUB"} {
			w := newWorld(t, hub.Limits{}, socketOf(ours))
			c := w.dial()
			heard := make(chan string, 1)
			go func() {
				all, _ := io.ReadAll(c)
				heard <- string(all)
			}()
			io.WriteString(c, "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x03\x01NULL"+strings.Repeat("\x00", 48))
			ready := "\x05READY\x0bSocket-Type\x00\x00\x00" + string([]byte{byte(len(theirs))}) + theirs
			io.WriteString(c, "\x04"+string([]byte{byte(len(ready))})+ready)
			if answer := <-heard; !strings.Contains(answer, "\x05ERROR") {
				t.Errorf("%s tells %s %q", ours, theirs, answer)
			}
			synctest.Wait()
			if s := w.stats(); s.Refused != 1 || s.Peers != 0 || !strings.Contains(w.log.String(), "does not go with") {
				t.Errorf("%+v, %s", s, w.log)
			}
			w.stop()
		}
	})
}

// A peer that stalls in the midst of a message is let go; one that has nothing
// to say is not.
func TestStallingPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hub.Limits{}, socketOf("pull"))
		quiet, stalls := w.peer(zmtp.PUSH), w.peer(zmtp.PUSH)
		if err := stalls.Write([]byte("\x00\x05abc")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		stalls.gone()
		if s := w.stats(); s.Peers != 1 || s.Received != 0 {
			t.Errorf("%+v", s)
		}
		quiet.send("1")
		synctest.Wait()
		if s := w.stats(); s.Received != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A connection that cannot be made is tried again: soon at first, then every
// few seconds, and never by all at the same moment.
func TestConnectingBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := socketOf("pull", func(c *Config) { c.Bind, c.Connect = "", []string{"tcp://127.0.0.1:1"} })
		h := newHub(t, hub.Limits{})
		log := new(logBuffer)
		s := New(h, []Config{c, c}, Options{Logger: newLogger(log)})
		var mu sync.Mutex // guards tries
		tries := make([][]time.Time, len(s.all))
		for i, k := range s.all {
			k.dial = func(_ context.Context, network, address string) (net.Conn, error) {
				mu.Lock()
				defer mu.Unlock()
				if network != "tcp" || address != "127.0.0.1:1" {
					t.Errorf("dials %s %s", network, address)
				}
				tries[i] = append(tries[i], time.Now())
				return nil, errors.New("nobody is there")
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		cancel()
		<-ended
		for _, all := range tries {
			var longest time.Duration
			for i := 1; i < len(all); i++ {
				d := all[i].Sub(all[i-1])
				longest = max(longest, d)
				if most := min(firstPause<<min(i-1, 10), longestPause); d < firstPause/2 || d > firstPause/2+most {
					t.Errorf("pause %d is %v", i, d)
				}
			}
			if longest < longestPause*3/4 || len(all) < 150 || len(all) > 600 {
				t.Errorf("%d tries in ten minutes, the longest pause %v", len(all), longest)
			}
		}
		if slices.EqualFunc(tries[0][1:20], tries[1][1:20], time.Time.Equal) {
			t.Error("both try at the same moments")
		}
		if n := strings.Count(log.String(), "nobody is there"); n != 2 {
			t.Errorf("the log tells it %d times: %s", n, log)
		}
	})
}

// Who has met a peer comes back to it soon, however long it took to find it.
func TestConnectingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := socketOf("pull", func(c *Config) { c.Bind, c.Connect = "", []string{"tcp://127.0.0.1:1"} })
		w := &world{t: t, hub: newHub(t, hub.Limits{}), log: new(logBuffer)}
		w.s = New(w.hub, []Config{c}, Options{Logger: newLogger(w.log)})
		up := make(chan bool, 1)
		l := newPipes()
		w.s.all[0].dial = func(context.Context, string, string) (net.Conn, error) {
			select {
			case <-up:
				ours, theirs := net.Pipe()
				l.coming <- theirs
				return ours, nil
			default:
				return nil, errors.New("nobody is there")
			}
		}
		w.run()
		said := w.said()
		time.Sleep(10 * time.Minute)
		for i := range 3 {
			up <- true
			began := time.Now()
			c, _ := l.Accept()
			if d := time.Since(began); i > 0 && d > 150*time.Millisecond {
				t.Errorf("back after %v", d)
			}
			z, err := zmtp.NewConn(newEager(c), zmtp.Options{Type: zmtp.PUSH})
			if err != nil {
				t.Fatal(err)
			}
			(&peer{z, t}).send("1")
			synctest.Wait()
			if s := w.stats(); s.Peers != 1 {
				t.Errorf("%+v", s)
			}
			z.Close()
			synctest.Wait()
		}
		if got := said(); len(got) != 3 {
			t.Errorf("published %q", got)
		}
		time.Sleep(time.Minute)
		if n := strings.Count(w.log.String(), "nobody is there"); n != 2 {
			t.Errorf("the log tells %d times, want once for each time without a peer: %s", n, w.log)
		}
	})
}

// The end comes at once, whatever peers are doing, and leaves nothing running.
func TestTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		configs := []Config{socketOf("pull"), socketOf("sub"), socketOf("pub"), socketOf("rep"),
			socketOf("sub", func(c *Config) { c.Bind, c.Connect = "", []string{"tcp://127.0.0.1:1"} })}
		w := newWorld(t, hub.Limits{}, configs...)
		for i, kind := range []zmtp.SocketType{zmtp.PUSH, zmtp.PUB, zmtp.SUB, zmtp.REQ} {
			l := w.s.all[i].listener.(*pipes)
			silent := l.dial()
			defer silent.Close()
			c, err := zmtp.NewConn(l.dial(), zmtp.Options{Type: kind})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if kind == zmtp.SUB {
				c.Subscribe(nil)
				synctest.Wait()
				w.publish("room", "which is not read")
			}
		}
		synctest.Wait()
		began := time.Now()
		w.stop()
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v", d)
		}
		for _, s := range w.s.Stats() {
			if s.Peers != 0 {
				t.Errorf("%+v", s)
			}
		}
		for _, k := range w.s.all[:4] {
			c := k.listener.(*pipes).dial()
			if _, err := zmtp.NewConn(c, zmtp.Options{Type: zmtp.PUSH}); err == nil {
				t.Error("somebody still listens")
			}
		}
	})
}

// Without sockets there is nothing to do but to wait for the end.
func TestNoSockets(t *testing.T) {
	s := New(newHub(t, hub.Limits{}), nil, Options{})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-ended:
		t.Error("it has ended by itself")
	default:
	}
	cancel()
	if err := <-ended; err != nil || len(s.Stats()) != 0 {
		t.Error(err)
	}
}

// A flaky listener fails now and then.
type flaky struct {
	*pipes
	fails int
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.fails > 0 {
		f.fails--
		return nil, errors.New("no descriptors")
	}
	return f.pipes.Accept()
}

// A machine without descriptors is asked again, not at once, and not for ever.
func TestAcceptingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, hub: newHub(t, hub.Limits{}), log: new(logBuffer)}
		w.s = New(w.hub, []Config{socketOf("pull")}, Options{Logger: newLogger(w.log)})
		l := &flaky{newPipes(), 20}
		w.s.all[0].listener = l
		began := time.Now()
		w.run()
		c, err := zmtp.NewConn(l.dial(), zmtp.Options{Type: zmtp.PUSH})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if d := time.Since(began); d < time.Second || d > 3*time.Second {
			t.Errorf("served after %v", d)
		}
		if n := strings.Count(w.log.String(), "no descriptors"); n == 0 || n > 3 {
			t.Errorf("%d lines", n)
		}
	})
}
