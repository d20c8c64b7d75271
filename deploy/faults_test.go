package deploy

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// TestReload has a proxy read its file again while messages are published, which
// lets go of everybody who reads with the old one. They come again with their
// cursors, and have all messages in order and each once.
func TestReload(t *testing.T) {
	t.Parallel()
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0")
		s := p.start(t, to(srv))
		var readers []*reader
		for _, w := range ways {
			r := newReader(t, srv, s.base, w, "news").read(t)
			r.next(t, atOnce)
			readers = append(readers, r)
		}
		reloaded := make(chan struct{})
		var reloading sync.WaitGroup
		said := 0
		reloading.Go(func() {
			defer close(reloaded)
			s.reload()
		})
		for done := false; !done; {
			select {
			case <-reloaded:
				done = true
			case <-time.After(5 * time.Millisecond): // messages that come one by one
			}
			said++
			say(t, srv, "news", said, said, "")
		}
		reloading.Wait()
		say(t, srv, "news", said+1, said+50, "")
		for _, r := range readers {
			r.expect(t, 1, said+50, true)
			if r.net.dials.Load() < 2 {
				t.Errorf("%s: still has its first connection", r.way.name)
			}
		}
		t.Logf("%d messages", said+50)
	})
}

// TestRestart takes the server away from behind the proxy and brings it back
// without its memory. Readers are told by a status that it is away, then that
// their client is gone, and with new keys they read on.
func TestRestart(t *testing.T) {
	t.Parallel()
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0")
		s := p.start(t, to(srv))
		var readers []*reader
		for _, w := range ways {
			r := newReader(t, srv, s.base, w, "news").read(t)
			r.next(t, atOnce)
			readers = append(readers, r)
		}
		srv.Kill()
		for _, r := range readers {
			r.until(t, "that nobody is there", 3*atOnce, func(b *told) bool { return b.status == p.down })
		}
		srv.Restart()
		for _, r := range readers {
			r.until(t, "that the client is gone", 3*atOnce, func(b *told) bool { return b.status == http.StatusNotFound })
		}
		for _, r := range readers {
			r.join(t, srv, "news")
		}
		say(t, srv, "news", 1, 1, "")
		for _, r := range readers {
			reset := r.way.name == original.name // which has no cursor, and no word for it
			b := r.until(t, "a message", atOnce, func(b *told) bool {
				reset = reset || b.has("reset")
				return len(b.Messages) > 0
			})
			if !reset || b.Messages[0].Data != "message 1." {
				t.Errorf("%s: a reset: %v, then %+v", r.way.name, reset, b)
			}
		}
	})
}

// TestStop stops the server in good order. Who reads is told to come again, and
// HAProxy has noticed before the doors were shut.
func TestStop(t *testing.T) {
	t.Parallel()
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0")
		s := p.start(t, to(srv))
		var readers []*reader
		for _, w := range ways {
			if w.name != original.name { // which has no word for it
				r := newReader(t, srv, s.base, w, "news").read(t)
				r.next(t, atOnce)
				readers = append(readers, r)
			}
		}
		srv.Stop()
		for _, r := range readers {
			r.until(t, "a drain", 2*atOnce, func(b *told) bool { return b.has("drain") })
		}
		if p.name == "haproxy" && !strings.Contains(s.output(), "is DOWN, reason: Layer7 wrong status, code: 503") {
			t.Error("HAProxy has not heard that the server was not ready")
		}
	})
}

// TestSlowReader has readers that take nothing in any more, behind proxies that
// hold some of it for them. Others do not wait for them; the server lets them go
// when its patience is over; and when they look again, they go on where they
// were.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const patience = time.Second
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--write-timeout", patience.String(), "--channel-bytes", "30000000")
		there := to(srv)
		there.change = shallow
		s := p.start(t, there)
		var slow []*reader
		for _, w := range []way{longpollPOST, sse, stream, webSocket} {
			r := newReader(t, srv, s.base, w, "news")
			r.net.window = 128 << 10
			r.read(t).next(t, atOnce)
			r.net.stall()
			slow = append(slow, r)
		}
		quick := newReader(t, srv, s.base, stream, "news")
		quick.id = "quick"
		quick.join(t, srv, "news")
		quick.read(t)
		said := 0
		letGo := func() bool { return metric(t, srv, "shaveet_readers_too_slow_total") >= 3 } // of the poll's it may have had all
		for ; !letGo() && said < 200; said += 20 {
			say(t, srv, "news", said+1, said+20, strings.Repeat(".", 100_000))
			quick.expect(t, said+1, said+20, false)
			within(2*patience, letGo)
		}
		if !letGo() {
			t.Error("the server has endless patience")
		}
		for _, r := range slow {
			r.net.resume()
		}
		for _, r := range slow {
			r.expect(t, 1, said, true)
		}
		t.Logf("%d messages", said)
	})
}

// within waits until ok, but no longer than limit.
func within(limit time.Duration, ok func() bool) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !ok() && time.Now().Before(end); {
		<-tick.C
	}
}

// shallow changes a proxy's file so that the kernel holds little for it, whatever
// it is set to. Megabytes are usual.
func shallow(conf string) string {
	conf = regexp.MustCompile(`(listen 127\.0\.0\.1:\d+)`).ReplaceAllString(conf, "$1 sndbuf=128k")
	return strings.Replace(conf, "\nglobal\n", "\nglobal\n    tune.sndbuf.client 131072\n    tune.rcvbuf.server 131072\n", 1)
}
