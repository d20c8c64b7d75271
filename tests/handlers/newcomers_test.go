package handlers_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/shaveet/shaveet/server/handler"
	"github.com/shaveet/shaveet/tests/live"
)

// TestNewcomers has sockets come while the backend is ill. None is let in. The
// backend hears later that those are not there of which it has heard; and who
// comes when it is well is let in.
func TestNewcomers(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	s := start(t, "handler_max_answer_bytes = 20_000\n"+webhookTable("hook", h.url()))
	for _, f := range faults {
		switch f.name {
		case "killed", "is silent", "hangs up", "says a hundred megabytes", "redirects":
			t.Run(f.name, func(t *testing.T) { f.newcomers(t, s, h) })
		}
	}
	c := gather(t, s, "/hook", 20)
	c.say(t, 3, c.sockets)
	c.settle(t)
	h.judge(t, c, true)
}

func (f *fault) newcomers(t *testing.T, s *server, h *hook) {
	s.timeout(short)
	before := h.strangers()
	end := f.begin(h)
	c := &crowd{addr: s.addr, namespace: "/hook"}
	var joining sync.WaitGroup
	for range 20 {
		joining.Go(func() {
			if one, err := c.join(); err == nil {
				one.conn.Close()
				t.Error("it was let in")
			}
		})
	}
	joining.Wait()
	end()
	s.timeout(ample)
	came := slices.DeleteFunc(h.strangers(), func(sid string) bool { return slices.Contains(before, sid) })
	if (len(came) == 0) != (f.name == "killed") {
		t.Errorf("the backend has heard of %d", len(came))
	}
	live.Until(t, "it hears who is not there", patience, func() bool {
		return !slices.ContainsFunc(came, func(sid string) bool {
			return !slices.ContainsFunc(h.life(sid), func(c told) bool { return c.Method == "disconnect" && c.answered })
		})
	})
	for _, sid := range came {
		life := h.life(sid)
		for _, c := range life[1:] {
			if c.Method != "disconnect" || c.Params.Reason != handler.NotConnected || c.Params.Serial != life[1].Params.Serial {
				t.Fatalf("of one that was not let in it hears %v, %q", &c, c.Params.Reason)
			}
		}
	}
}

// strangers are the sockets whose wish to join was heard and not answered.
func (l *ledger) strangers() (sids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for sid, life := range l.lives {
		if life[0].Method == "connect" && !life[0].answered {
			sids = append(sids, sid)
		}
	}
	return sids
}
