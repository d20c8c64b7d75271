package park_test

// The two ways in which connections are held are told apart by nobody: what is
// played here comes out the same, to the byte; with real sockets, and with those of
// package parktest, which is how it is known that those are like real ones.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/park/parktest"
)

// A stand is a server with real sockets, or such as are in memory. What a case
// wants remembered it logs.
type stand struct {
	*testing.T
	lot   *park.Lot
	reach func() (wire, error)
	drain context.CancelFunc
	calls chan *speaker
	log   []string

	regular bool // who comes again in the same way is not shown to the handler
}

// A wire is a peer's connection.
type wire interface {
	net.Conn
	CloseWrite() error
	SetLinger(sec int) error
}

func newStand(t *testing.T, opts park.Options, hold func(*park.Lot, http.ResponseWriter, *http.Request, *speaker)) *stand {
	s := &stand{T: t, calls: make(chan *speaker, 100)}
	opts.Drain, s.drain = context.WithCancel(context.Background())
	s.lot = park.New(opts)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/plain" {
			io.WriteString(w, "plain "+r.RemoteAddr[:10])
			return
		}
		sp := <-s.calls
		if s.regular {
			sp.next = s.next
		}
		hold(s.lot, w, r, sp)
	})}
	l := s.listen(opts.Kernel)
	var served sync.WaitGroup
	served.Go(func() { s.lot.Serve(srv, l) })
	t.Cleanup(func() {
		s.drain()
		srv.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.lot.Wait(ctx); err != nil {
			t.Error(err)
		}
		served.Wait()
	})
	return s
}

// listen listens in a kernel, nil being the machine's.
func (s *stand) listen(k any) net.Listener {
	if k, ok := k.(*parktest.Kernel); ok {
		l := k.Listen()
		s.reach = func() (wire, error) { return l.Dial(s.Context()) }
		return l
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	s.reach = func() (wire, error) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		return c.(*net.TCPConn), nil
	}
	return l
}

func (s *stand) expect() *speaker {
	sp := newSpeaker()
	s.calls <- sp
	return sp
}

// next is the speaker for who comes again in the same way, if there is one.
func (s *stand) next() *speaker {
	select {
	case sp := <-s.calls:
		return sp
	default:
		return nil
	}
}

func (s *stand) note(format string, a ...any) { s.log = append(s.log, fmt.Sprintf(format, a...)) }

// A talk is one connection to a stand.
type talk struct {
	*stand
	conn wire
	r    *bufio.Reader
}

func (s *stand) dial() *talk {
	s.Helper()
	c, err := s.reach()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &talk{s, c, bufio.NewReader(c)}
}

func (k *talk) send(text string) {
	k.Helper()
	if _, err := io.WriteString(k.conn, text); err != nil {
		k.Fatal(err)
	}
}

func (k *talk) ask(path string, lines ...string) {
	k.Helper()
	k.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n")
}

// hear notes what comes up to this text.
func (k *talk) hear(until string) {
	k.Helper()
	var all []byte
	for !bytes.HasSuffix(all, []byte(until)) {
		b, err := k.r.ReadByte()
		if err != nil {
			k.Fatalf("%v behind %q, before %q", err, all, until)
		}
		all = append(all, b)
	}
	k.note("hears %s", all)
}

// end notes what comes to the end, and which it is.
func (k *talk) end() {
	k.Helper()
	all, err := io.ReadAll(k.r)
	k.note("hears at the end %s, %v", all, err == nil)
}

// closed notes why the tenant's connection has ended.
func (s *stand) closed(sp *speaker) {
	s.Helper()
	select {
	case err := <-sp.closed:
		for _, known := range []error{park.ErrGone, park.ErrTooSlow, park.ErrCut} {
			if errors.Is(err, known) {
				err = known
			}
		}
		s.note("closed: %v, it was spoken to: %q", err, sp.heard)
	case <-time.After(10 * time.Second):
		s.Fatal("its tenant has not been told")
	}
}

func (s *stand) until(what string, ok func() bool) {
	s.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.Fatal("not so in time: " + what)
		}
	}
}

// held waits until the tenant of a poll has had nothing to say.
func (s *stand) held(sp *speaker) {
	s.Helper()
	s.until("held", func() bool {
		sp.mu.Lock()
		defer sp.mu.Unlock()
		return sp.asked > 0
	})
}

func (s *speaker) hasHeard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

func polls(lot *park.Lot, w http.ResponseWriter, r *http.Request, sp *speaker) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/x")
	lot.Answer(&sp.Conn, w, r, sp, time.Minute)
}

func pieces(lot *park.Lot, w http.ResponseWriter, r *http.Request, sp *speaker) {
	w.Header().Set("Content-Type", "text/x")
	lot.Stream(&sp.Conn, w, r, sp, 0)
}

func upgrades(lot *park.Lot, w http.ResponseWriter, r *http.Request, sp *speaker) {
	w.Header().Set("Upgrade", "x")
	w.Header().Set("Connection", "Upgrade")
	lot.Upgrade(&sp.Conn, w, r, sp, 0)
}

// slow takes as long for an answer as its poll may wait.
type slow struct{ *speaker }

func (s slow) Next(dst []byte, why park.Event) ([]byte, bool) {
	if why&park.Due != 0 {
		s.DueIn(10 * time.Millisecond) // it is due again while it speaks
		time.Sleep(30 * time.Millisecond)
	}
	return s.speaker.Next(dst, why)
}

type holder = func(*park.Lot, http.ResponseWriter, *http.Request, *speaker)

// plays are what is played in both ways.
var plays = map[string]struct {
	hold  holder
	opts  park.Options
	quick bool // it can be served by the crew, too
	play  func(*stand)
}{
	"a poll is answered, and the connection serves others": {quick: true, hold: polls, play: func(s *stand) {
		k := s.dial()
		for range 3 {
			sp := s.expect()
			k.ask("/")
			s.held(sp)
			sp.say("news")
			k.hear("news")
			s.closed(sp)
			k.ask("/plain")
			k.hear("plain 127.0.0.1:")
		}
	}},
	"a poll has the next request behind it": {quick: true, hold: polls, play: func(s *stand) {
		k := s.dial()
		sp, next := s.expect(), s.expect()
		k.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nGET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
		s.held(sp)
		sp.say("one")
		k.hear("one")
		s.closed(sp)
		s.held(next)
		next.say("two")
		k.hear("two")
		k.hear("plain 127.0.0.1:")
	}},
	"the next request comes while a poll is held, in pieces": {quick: true, hold: polls, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		k.ask("/")
		s.held(sp)
		k.send("\r\nGE")
		sp.say("one")
		k.hear("one")
		k.send("T /plain HTTP/1.1\r\nHo")
		k.send("st: x\r\n\r\n")
		k.hear("plain 127.0.0.1:")
	}},
	"line breaks between requests are passed over": {quick: true, hold: polls, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		k.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab\r\n")
		s.held(sp)
		k.send("\r\n\r\n")
		sp.say("one")
		k.hear("one")
		k.send("\r\n\r\n")
		k.ask("/plain")
		k.hear("plain 127.0.0.1:")
	}},
	"a poll is the last of its connection": {quick: true, hold: polls, play: func(s *stand) {
		for _, request := range []string{"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"} {
			k := s.dial()
			sp := s.expect()
			k.send(request)
			s.held(sp)
			sp.say("one")
			k.end()
			s.closed(sp)
		}
	}},
	"a poll is large": {quick: true, hold: polls, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		k.ask("/")
		s.held(sp)
		sp.say(strings.Repeat("x", 8<<20) + "!")
		k.hear("!")
		s.log[len(s.log)-1] = fmt.Sprint(len(s.log[len(s.log)-1]))
		s.closed(sp)
		k.ask("/plain")
		k.hear("plain 127.0.0.1:")
	}},
	"a poll's peer goes": {quick: true, hold: polls, play: func(s *stand) {
		for _, leave := range []func(*talk){
			func(k *talk) { k.conn.Close() },
			func(k *talk) { k.conn.CloseWrite() },
			func(k *talk) { k.conn.SetLinger(0); k.conn.Close() },
		} {
			k := s.dial()
			sp := s.expect()
			k.ask("/")
			s.held(sp)
			leave(k)
			s.closed(sp)
			s.until("nobody is held", func() bool { return s.lot.Held() == 0 })
		}
	}},
	"a peer goes behind its next poll": {quick: true, hold: polls, play: func(s *stand) {
		k := s.dial()
		sp, next := s.expect(), s.expect()
		k.ask("/")
		s.held(sp)
		k.ask("/")
		k.conn.CloseWrite()
		sp.say("one")
		k.hear("one")
		s.closed(sp)
		k.conn.Close()
		s.closed(next)
		s.until("nobody is held", func() bool { return s.lot.Held() == 0 })
	}},
	"line breaks and a large poll fill what is read at once": {quick: true, hold: polls, play: func(s *stand) {
		k := s.dial()
		sp, next := s.expect(), s.expect()
		k.ask("/")
		s.held(sp)
		sp.say("one")
		k.hear("one")
		s.closed(sp)
		large := "\r\nGET / HTTP/1.1\r\nHost: x\r\nX: "
		k.send(large + strings.Repeat("x", 16<<10-len(large)-4) + "\r\n\r\nGET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
		s.held(next)
		next.say("two")
		k.hear("two")
		k.hear("plain 127.0.0.1:")
	}},
	"a handler panics when its poll is held": {quick: true, hold: func(lot *park.Lot, w http.ResponseWriter, r *http.Request, sp *speaker) {
		polls(lot, w, r, sp)
		panic(http.ErrAbortHandler)
	}, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		k.ask("/")
		s.held(sp)
		sp.say("one")
		k.hear("one")
		s.closed(sp)
		sp = s.expect()
		k.ask("/")
		s.held(sp)
		for range 5 {
			other := s.dial()
			other.ask("/plain")
			other.hear("plain 127.0.0.1:")
		}
		sp.say("two")
		k.hear("two")
	}},
	"a poll is slow to say what it has as its time ends": {quick: true, hold: func(lot *park.Lot, w http.ResponseWriter, r *http.Request, sp *speaker) {
		lot.Answer(&sp.Conn, w, r, slow{sp}, 50*time.Millisecond)
	}, play: func(s *stand) {
		k := s.dial()
		for range 3 {
			sp := s.expect()
			sp.due = "due"
			k.ask("/")
			k.hear("due")
			s.closed(sp)
		}
	}},
	"a poll's peer says too much between requests": {quick: true, hold: polls, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		k.ask("/")
		s.held(sp)
		sp.say("one")
		k.hear("one")
		s.closed(sp)
		for range 100 {
			if _, err := io.WriteString(k.conn, "\r\n"); err != nil {
				break
			}
			time.Sleep(time.Millisecond) // for each to be read by itself
		}
		s.until("nobody is held", func() bool { return s.lot.Held() == 0 })
	}},
	"nothing comes behind a poll": {quick: true, hold: polls, opts: park.Options{IdleTimeout: 50 * time.Millisecond}, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		k.ask("/")
		s.held(sp)
		sp.say("one")
		k.hear("one")
		k.end()
		s.until("nobody is held", func() bool { return s.lot.Held() == 0 })
	}},
	"polls are drained": {quick: true, hold: polls, play: func(s *stand) {
		k, idle := s.dial(), s.dial()
		sp := s.expect()
		idle.ask("/")
		s.held(sp)
		sp.say("one")
		idle.hear("one")
		s.closed(sp)
		sp = s.expect()
		sp.drain = "bye"
		k.ask("/")
		s.held(sp)
		s.drain()
		k.end()
		idle.end()
		s.closed(sp)
	}},
	"a stream has pieces": {hold: pieces, play: func(s *stand) {
		for _, version := range []string{"1.1", "1.0"} {
			k := s.dial()
			sp := s.expect()
			k.send("GET / HTTP/" + version + "\r\nHost: x\r\n\r\n")
			k.hear("\r\n\r\n")
			for i := range 3 {
				sp.say(fmt.Sprintf("piece %d!", i))
				k.hear("!")
			}
			k.send("nobody listens")
			sp.bye()
			k.end()
			s.closed(sp)
		}
	}},
	"a stream ends with a piece": {hold: pieces, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		sp.drain = "bye"
		k.ask("/")
		k.hear("\r\n\r\n")
		s.drain()
		k.end()
		s.closed(sp)
	}},
	"a stream's peer goes": {hold: pieces, play: func(s *stand) {
		for _, leave := range []func(*talk){
			func(k *talk) { k.conn.Close() },
			func(k *talk) { k.conn.CloseWrite() },
			func(k *talk) { io.WriteString(k.conn, strings.Repeat("x", 100<<10)) }, // which may be too late
		} {
			k := s.dial()
			sp := s.expect()
			k.ask("/")
			k.hear("\r\n\r\n")
			leave(k)
			s.closed(sp)
			s.until("nobody is held", func() bool { return s.lot.Held() == 0 })
		}
	}},
	"a stream's peer does not read": {hold: pieces, opts: park.Options{WriteTimeout: 100 * time.Millisecond}, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		k.ask("/")
		k.hear("\r\n\r\n")
		sp.say(strings.Repeat("x", 16<<20))
		s.closed(sp)
		s.until("nobody is held", func() bool { return s.lot.Held() == 0 })
	}},
	"a stream's peer reads slowly": {hold: pieces, opts: park.Options{WriteTimeout: 10 * time.Second}, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		k.ask("/")
		k.hear("\r\n\r\n")
		sp.say(strings.Repeat("x", 16<<20) + "!")
		sp.say("more")
		sp.bye()
		k.end()
		s.log[len(s.log)-1] = fmt.Sprint(strings.Count(s.log[len(s.log)-1], "x"), strings.Contains(s.log[len(s.log)-1], "!"))
		s.closed(sp)
	}},
	"a peer speaks": {hold: upgrades, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		k.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly ")
		k.hear("\r\n\r\n")
		long := strings.Repeat("0123456789abcdef", 10_000)
		k.send(long)
		s.until("all has been heard", func() bool { return len(sp.hasHeard()) == len(long)+6 })
		sp.say("answer")
		k.hear("answer")
		k.send("late")
		k.conn.CloseWrite()
		s.closed(sp)
	}},
	"a peer hears the end": {hold: upgrades, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		k.ask("/", "Connection: Upgrade", "Upgrade: x")
		k.hear("\r\n\r\n")
		sp.say("last")
		sp.bye()
		k.end()
		s.closed(sp)
		k.conn.Close()
		s.until("nobody is held", func() bool { return s.lot.Held() == 0 })
	}},
	"a peer is reset": {hold: upgrades, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		k.ask("/", "Connection: Upgrade", "Upgrade: x")
		k.hear("\r\n\r\n")
		k.conn.SetLinger(0)
		k.conn.Close()
		s.closed(sp)
		s.until("nobody is held", func() bool { return s.lot.Held() == 0 })
	}},
	"who is left is cut off": {hold: upgrades, play: func(s *stand) {
		k := s.dial()
		sp := s.expect()
		k.ask("/", "Connection: Upgrade", "Upgrade: x")
		k.hear("\r\n\r\n")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.lot.Wait(ctx); !errors.Is(err, park.ErrCut) {
			s.Error(err)
		}
		s.closed(sp)
		k.end()
	}},
}

var dates = regexp.MustCompile(`Date: [^\r]*\r`)

func TestWays(t *testing.T) {
	for name, p := range plays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logs []string
			for _, way := range []string{"portable", "parked", "quick", "again",
				"portable in memory", "parked in memory", "quick in memory", "again in memory"} {
				opts := p.opts
				way, memory := strings.CutSuffix(way, " in memory")
				if memory {
					k := parktest.NewKernel(64 << 10)
					opts.Kernel = k
					t.Cleanup(func() { kernelIsWell(t, k) })
				}
				switch {
				case way == "portable":
					opts.Portable = true
				case way == "parked":
				case !p.quick:
					continue
				default:
					opts.Quick = func(string, bool) bool { return true }
				}
				t.Run(way, func(t *testing.T) {
					s := newStand(t, opts, p.hold)
					s.regular = way == "again"
					p.play(s)
					logs = append(logs, dates.ReplaceAllString(strings.Join(s.log, "\n"), "Date: now\r"))
				})
			}
			for _, log := range logs[1:] {
				if log != logs[0] {
					t.Errorf("in the portable way:\n%q\nin another:\n%q", logs[0], log)
				}
			}
		})
	}
}

// kernelIsWell says that all descriptors have been closed, once.
func kernelIsWell(t *testing.T, k *parktest.Kernel) {
	if err := k.Err(); err != nil {
		t.Error(err)
	}
	if n := k.Open(); n != 0 {
		t.Errorf("%d descriptors are still open", n)
	}
}

// A connection that waits has no goroutine where it can be parked.
func TestParkedHasNoGoroutine(t *testing.T) {
	s := newStand(t, park.Options{}, pieces)
	var all []*speaker
	for range 50 {
		k := s.dial()
		all = append(all, s.expect())
		k.ask("/")
		k.hear("\r\n\r\n")
	}
	if got := s.lot.Parked(); runtime.GOOS == "linux" && got != len(all) {
		t.Errorf("%d are parked of %d", got, len(all))
	}
	for _, sp := range all {
		sp.bye()
		s.closed(sp)
	}
}
