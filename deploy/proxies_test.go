package deploy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// quick is how long the quickest of a few messages may take. It is less than
// the 200 ms for which a kernel keeps what it was told that more will follow.
const quick = 150 * time.Millisecond

// hearsAtOnce has r read through a proxy that holds nothing back: it is told at
// once that it stands, then of messages while nothing else is said, and then of
// many, in order and each once.
func hearsAtOnce(t *testing.T, srv *live.Server, r *reader, channel string) {
	t.Helper()
	began := time.Now()
	first := r.read(t).next(t, atOnce)
	if first.err != nil {
		t.Fatalf("%s: %v", r.way.name, first.err)
	}
	const few, last = 5, 105
	took := make([]time.Duration, few)
	for i := range took {
		published := time.Now()
		say(t, srv, channel, i+1, i+1, "")
		one := r.until(t, "a message", atOnce, func(b *told) bool { return b.err != nil || len(b.Messages) > 0 })
		if one.err != nil || len(one.Messages) != 1 {
			t.Fatalf("%s: told %+v", r.way.name, one)
		}
		took[i] = one.at.Sub(published)
	}
	t.Logf("%s: first bytes after %v, messages after %v", r.way.name, first.at.Sub(began), took)
	if best := slices.Min(took); best > quick {
		t.Errorf("%s: a message takes %v or more", r.way.name, best)
	}
	say(t, srv, channel, few+1, last, strings.Repeat(".", 500))
	r.expect(t, few+1, last, false)
	wantOneConnection(t, r)
}

// wantOneConnection wants r not to have been cut off, and polls to keep their
// connection; which either side may close now and then, between two of them.
func wantOneConnection(t *testing.T, r *reader) {
	t.Helper()
	limit := int32(1)
	if slices.ContainsFunc(polls, func(w way) bool { return w.name == r.way.name }) {
		limit = 2
	}
	if n := r.net.dials.Load(); n > limit {
		t.Errorf("%s: took %d connections", r.way.name, n)
	}
}

// TestDelivery reads in every way through each proxy, and leaves.
func TestDelivery(t *testing.T) {
	t.Parallel()
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0")
		s := p.start(t, to(srv))
		keepsAlive(t, srv, s)
		for _, w := range ways {
			t.Run(w.name, func(t *testing.T) {
				hearsAtOnce(t, srv, newReader(t, srv, s.base, w, w.name), w.name)
			})
		}
		untilNobodyReads(t, srv)
	})
}

// untilNobodyReads waits until the server knows that all readers have left.
func untilNobodyReads(t *testing.T, srv *live.Server) {
	t.Helper()
	live.Until(t, "the server knows that all have left", 10*time.Second, func() bool {
		return rpc[info](t, srv, "info").Counts.Sessions == 0
	})
}

// TestLeaving has a page of 2010 leave while it polls. What is said then is not
// given to the poll that nobody waits for any more.
func TestLeaving(t *testing.T) {
	t.Parallel()
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0")
		s := p.start(t, to(srv))
		r := newReader(t, srv, s.base, original, "news")
		if err := original.read(t.Context(), r); err != nil { // its own joining
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { left <- original.read(ctx, r) }()
		live.Until(t, "a poll", 10*time.Second, func() bool { return rpc[info](t, srv, "info").Counts.Sessions == 1 })
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		untilNobodyReads(t, srv)
		say(t, srv, "news", 1, 1, "")
		r.read(t).expect(t, 1, 1, false)
	})
}

// keepsAlive polls a few times and sees that the proxy does not come to the
// server by as many connections.
func keepsAlive(t *testing.T, srv *live.Server, s *site) {
	t.Helper()
	const times = 10
	accepted := func() int { return int(metric(t, srv, `shaveet_connections_accepted_total{door="public"}`)) }
	r := newReader(t, srv, s.base, longpollGET, "keep-alive")
	before := accepted()
	for range times {
		resp, err := r.ask(t.Context(), "GET", "/longpoll", map[string][]string{"wait": {"0"}, "cursor": {"now"}}, r.authorization(), nil)
		if err := r.takeAll(resp, err, uncut); err != nil {
			t.Fatal(err)
		}
	}
	// HAProxy also knocks to see whether the server is ready: twice a second.
	if n := accepted() - before; n > times/2 {
		t.Errorf("%d connections for %d polls", n, times)
	}
	wantOneConnection(t, r)
}

// TestSilence has nothing to say for longer than the proxies wait. Readers with
// a heartbeat that is shorter than that notice nothing; others are cut off, and
// so are polls that are held for longer.
func TestSilence(t *testing.T) {
	t.Parallel()
	const heartbeat, patience, silence = time.Second, 4 * time.Second, 5500 * time.Millisecond
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0")
		there := to(srv)
		there.silence = patience
		s := p.start(t, there)
		var reminded, forgotten []*reader
		for _, w := range ways {
			forgotten = append(forgotten, newReader(t, srv, s.base, w, "forgotten").read(t))
			if w.name != original.name { // which cannot ask for less than poll_timeout
				r := newReader(t, srv, s.base, w, "reminded")
				r.wait = heartbeat
				reminded = append(reminded, r.read(t))
			}
		}
		over := time.After(silence)
		for _, r := range forgotten {
			b := r.until(t, "the cut", patience+atOnce, func(b *told) bool { return b.err != nil })
			if b.status != 0 && b.status != http.StatusGatewayTimeout {
				t.Errorf("%s: told %+v", r.way.name, b)
			}
		}
		<-over
		for _, r := range reminded {
			outlasted(t, r)
		}
	})
}

// outlasted wants r to have been told again and again, and nothing to have been
// cut.
func outlasted(t *testing.T, r *reader) {
	t.Helper()
	n := len(r.told)
	for range n {
		if b := <-r.told; b.err != nil {
			t.Errorf("%s: %v", r.way.name, b.err)
		}
	}
	if n < 3 {
		t.Errorf("%s: told %d times", r.way.name, n)
	}
	wantOneConnection(t, r)
}
