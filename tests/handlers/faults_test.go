package handlers_test

import (
	"slices"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// A fault is what a webhook's backend has for a while.
type fault struct {
	name   string
	begin  func(h *hook) (end func())
	kinds  []string // of errors that pages are told, above all the first
	events int      // that each socket says meanwhile
	timed  bool     // calls end by the time-out
}

func inMood(m mood) func(h *hook) func() {
	return func(h *hook) func() {
		h.ail(m)
		return func() { h.ail(nil) }
	}
}

var faults = []fault{
	{"killed", func(h *hook) func() { h.kill(); return h.open }, []string{unavailable, timeout}, 2, true},
	{"hangs up", inMood(hangsUp(false)), []string{unavailable}, 2, false},
	{"hangs up in the midst of an answer", inMood(hangsUp(true)), []string{unavailable}, 1, false},
	{"hears nothing", (*hook).deaf, []string{timeout}, 1, true},
	{"is silent", inMood(silent), []string{timeout}, 2, true},
	{"takes half a minute", inMood(sleepy), []string{timeout}, 1, true},
	{"drips", inMood(dripping), []string{timeout}, 1, true},
	{"500", inMood(status(500)), []string{failed}, 2, false},
	{"503", inMood(status(503)), []string{unavailable}, 1, false},
	{"redirects", inMood(status(307)), []string{failed}, 1, false},
	{"redirects the old way", inMood(status(302)), []string{failed}, 1, false},
	{"says a hundred megabytes", inMood(huge(false)), []string{failed}, 1, false},
	{"says so", inMood(huge(true)), []string{failed}, 1, false},
	{"answers something else", inMood(says(`{"jsonrpc":"2.0","id":"not %s","result":1}`)), []string{failed}, 1, false},
}

// TestFaults has a thousand sockets speak to a backend that has one fault after
// the other, and is well between them. All is answered, by the backend or by an
// error that says what is wrong; nothing is heard twice; and nobody else notices.
func TestFaults(t *testing.T) {
	t.Parallel()
	ill, well := newHook(t), newHook(t)
	s := start(t, "handler_max_answer_bytes = 20_000\nsocketio_recovery_time = \"0s\"\n"+webhookTable("ill", ill.url())+webhookTable("well", well.url()))
	o := watch(t, s)
	c := gather(t, s, "/ill", many)
	t.Run("none", func(t *testing.T) { inOrder(t, c, ill.ledger, rounds(t, true)) })
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) { f.run(t, s, ill, c, o, i) })
	}
	t.Run("fickle", func(t *testing.T) {
		fickle := fault{"fickle", inMood(ill.fickle()), []string{"", unavailable, timeout, failed}, 2, true}
		fickle.run(t, s, ill, c, o, 0)
	})
	ill.judge(t, c, false)
	t.Run("pages go while it is down", func(t *testing.T) {
		going(t, s, "ill", ill.ledger, c, func(first []*socket) (cut int) { return ill.halfHeard(t, c, first) }, ill.open)
	})
	if n := ill.strayed.Load(); n > 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
	o.judge(t)
}

// inOrder has all say numbers as fast as they are taken, to a backend that is well:
// it hears all of them, those of each socket in order.
func inOrder(t *testing.T, c *crowd, l *ledger, events int) {
	for left := events; left > 0; left -= 20 { // what may wait for a connection is bounded
		c.say(t, min(left, 20), c.sockets)
		c.settle(t)
	}
	l.judge(t, c, true)
	if n := l.heard("event"); n != len(c.sockets)*events {
		t.Errorf("%d of %d events were heard", n, len(c.sockets)*events)
	}
	if holes := l.holes(0); len(holes) > 0 {
		t.Errorf("serials that nobody has heard: %d", holes)
	}
}

// few are the sockets of a crowd that speak when all would take long.
const few = many / 10

func (f *fault) run(t *testing.T, s *server, h *hook, c *crowd, o *others, turn int) {
	some, speaking := c.sockets[turn*few%many:][:few], c.sockets
	if f.timed {
		s.timeout(short)
	} else if !long() {
		speaking = some
	}
	end := f.begin(h)
	o.now(f.name)
	c.say(t, f.events, speaking)
	c.settle(t)
	kinds := kindsOf(f.events, speaking)
	want := 0
	for _, kind := range f.kinds {
		want += kinds[kind]
	}
	if all := f.events * len(speaking); want != all || f.kinds[0] != "" && kinds[f.kinds[0]] < all/4 {
		t.Errorf("pages were told %v, want %q", kinds, f.kinds)
	}
	end()
	if f.timed {
		s.timeout(ample)
	}
	o.now("")
	c.say(t, 1, some)
	c.settle(t)
	if after := kindsOf(1, some); after[""] != few {
		t.Errorf("when it was well again, pages were told %v", after)
	}
}

// leavers is how many sockets go while the backend is down, the early ones before
// all others.
const leavers, early = 300, 5

// going has some of the sockets go while the backend is down, which down and up
// see to; the first go by down. When it is back it hears of each, once, behind
// what that has said; and there are no more than cut serials that it never hears.
func going(t *testing.T, s *server, name string, l *ledger, c *crowd, down func(first []*socket) (cut int), up func()) {
	mark, before := l.last(), l.heard("disconnect")
	s.timeout(short)
	cut := down(c.sockets[:early])
	c.say(t, 1, c.sockets[early:])
	c.depart(t, c.sockets[early:leavers], (*socket).vanish)
	c.settle(t)
	up()
	s.timeout(ample)
	live.Until(t, "it hears of those who have gone", patience, func() bool { return l.heard("disconnect") == before+leavers })
	c.say(t, 1, c.sockets[leavers:]) // takes the serials that are free again
	c.settle(t)
	if undelivered, givenUp := s.ofHandler("undelivered", name), s.ofHandler("given_up_total", name); undelivered+givenUp > 0 {
		t.Errorf("%d notices are undelivered, %d were given up", undelivered, givenUp)
	}
	if holes := l.holes(mark); len(holes) > cut {
		t.Errorf("%d serials were never heard, and no more than %d calls can have been lost: %d", len(holes), cut, holes)
	}
	l.judge(t, c, false)
	for _, one := range c.sockets[:leavers] {
		life := l.life(one.sid)
		if why := life[len(life)-1].Params.Reason; why != "transport close" && why != "transport error" {
			t.Fatalf("the reason is %q", why)
		}
	}
}

// halfHeard has the backend hear that a socket has left, and be killed before it
// answers. It returns how many calls it can have lost.
func (h *hook) halfHeard(t *testing.T, c *crowd, first []*socket) (cut int) {
	h.ail(silent)
	c.depart(t, first, (*socket).vanish)
	live.Until(t, "it hears that one has left", patience, func() bool {
		return slices.ContainsFunc(first, func(s *socket) bool {
			life := h.life(s.sid)
			return life[len(life)-1].Method == "disconnect"
		})
	})
	cut = h.connected() // each may lose a call that has been written
	h.kill()
	h.ail(nil)
	return cut
}
