package handler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/transport/socketio"
)

const (
	unavailableAck = `ack [{"error":{"type":"handler_unavailable","message":"whoever answers this cannot be reached"}}]`
	timeoutAck     = `ack [{"error":{"type":"handler_timeout","message":"whoever answers this has not done so in time"}}]`
	busyAck        = `ack [{"error":{"type":"handler_busy","message":"too much is waiting for whoever answers this"}}]`
)

// What was certainly not heard is said again, as the same call.
func TestNotSentIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		tries := 0
		w.answerBy(func(context.Context, *Call) (string, error) {
			if tries++; tries < 4 {
				return "", notSent()
			}
			return "true", nil
		})
		w.say("~s", "e")
		wantSame(t, "done", w.performed(), "ack [true]")
		if len(w.tries()) != 4 {
			t.Fatalf("%d tries", len(w.tries()))
		}
		for _, c := range w.tries() {
			if c.ID != w.tries()[0].ID || string(c.Params) != string(w.tries()[0].Params) {
				t.Errorf("another call: %+v", c)
			}
		}
		wantSame(t, "observed", w.observed(), "event ok")
		for _, line := range []string{"handler cannot be reached", "handler is reached again"} {
			if n := strings.Count(w.log.String(), line); n != 1 {
				t.Errorf("%d lines %q:\n%s", n, line, w.log)
			}
		}
	})
}

// It is not for ever, and leaves no hole.
func TestNotSentInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		w.answers("", notSent())
		began := time.Now()
		w.say("~s", "e")
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("given up after %v", took)
		}
		wantSame(t, "done", w.performed(), unavailableAck)
		if n := len(w.tries()); n < 8 || n > 20 {
			t.Errorf("%d tries in five seconds", n)
		}
		w.made()
		w.answers("null", nil)
		w.say("~s", "e")
		wantSame(t, "made", w.made(), "1 event ~s e")

		err := error(nil)
		w.answers("", notSent())
		if err = w.connect("~t"); failureOf(err).Kind() != Unavailable {
			t.Errorf("connect: %v", err)
		}
		w.made()
		w.answers("null", nil)
		w.say("~s", "e") // and no disconnect of who has never been told to be there
		wantSame(t, "made", w.made(), "2 event ~s e")
	})
}

// Numbers that nobody has heard are given to the next ones, the smallest first.
func TestSerials(t *testing.T) {
	s := new(serials)
	for want := range uint64(5) {
		if n := s.take(); n != want+1 {
			t.Fatalf("%d, want %d", n, want+1)
		}
	}
	for _, n := range []uint64{4, 2, 5} {
		s.giveBack(n)
	}
	for _, want := range []uint64{2, 4, 5, 6} {
		if n := s.take(); n != want {
			t.Fatalf("%d, want %d", n, want)
		}
	}
}

// A backend that hangs keeps nobody for ever, also not who waits behind others.
func TestHungBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{HandlerMaxCalls: 2, HandlerTimeout: time.Second})
		w.answerBy(hang)
		began := time.Now()
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() { w.say(fmt.Sprint("~", i), "e") })
		}
		synctest.Wait()
		if s := w.h.Stats(); s.UnderWay != 2 || s.Waiting != 3 || s.WaitingBytes < 3*callCost {
			t.Errorf("%+v", s)
		}
		all.Wait()
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
		wantSame(t, "done", w.performed(), timeoutAck, timeoutAck, timeoutAck, timeoutAck, timeoutAck)
		if s := w.h.Stats(); s != (Stats{}) {
			t.Errorf("at the end: %+v", s)
		}
	})
}

// Who waits behind those that cannot be sent is told that, not that it took long.
func TestWaitingForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{HandlerMaxCalls: 1})
		w.answers("", notSent())
		go w.say("~a", "e")
		synctest.Wait()
		w.say("~b", "e")
		synctest.Wait()
		wantSame(t, "done", w.performed(), unavailableAck, unavailableAck)
	})
}

// Calls have their turn in the order in which they came, one of each socket at a
// time, so that one that talks a lot keeps nobody waiting longer.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{HandlerMaxCalls: 1})
		w.answerBy(func(ctx context.Context, c *Call) (string, error) {
			sleep(ctx, 10*time.Millisecond)
			return "null", nil
		})
		var all sync.WaitGroup
		for i, events := range []int{5, 1, 2} {
			all.Go(func() {
				for n := range events {
					w.say(fmt.Sprint("~", i), fmt.Sprint(n))
				}
			})
			synctest.Wait()
		}
		all.Wait()
		wantSame(t, "made", w.made(), "1 event ~0 0", "2 event ~1 0", "3 event ~2 0", "4 event ~0 1", "5 event ~2 1", "6 event ~0 2", "7 event ~0 3", "8 event ~0 4")
	})
}

// Who has its turn at the moment in which its time is over hands it on.
func TestTurnTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			g := new(gate)
			g.configure(1, 0)
			g.enter(t.Context(), 1)
			ctx, cancel := context.WithCancel(t.Context())
			err := make(chan error, 1)
			go func() { err <- g.enter(ctx, 1) }()
			synctest.Wait()
			cancel()
			g.leave()
			if err := <-err; err == nil {
				t.Fatal("it has entered")
			}
			if waiting, bytes, inside := g.stats(); waiting != 0 || bytes != 0 || inside != 0 {
				t.Fatalf("%d wait, with %d bytes, %d are inside", waiting, bytes, inside)
			}
		}
	})
}

// Limits change while calls are under way.
func TestConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{HandlerMaxCalls: 1})
		w.answerBy(hang)
		for i := range 5 {
			go w.say(fmt.Sprint("~", i), "e")
		}
		synctest.Wait()
		for _, calls := range []int{3, 1, 4} {
			w.h.Configure(Limits{HandlerMaxCalls: calls})
			synctest.Wait()
			want := map[int]int{3: 3, 1: 3, 4: 4}[calls]
			if s := w.h.Stats(); s.UnderWay != want || s.Waiting != 5-want {
				t.Errorf("with %d: %+v", calls, s)
			}
		}
		w.h.Configure(Limits{HandlerTimeout: time.Second})
		began := time.Now()
		w.say("~x", "e")
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
		sleep(t.Context(), 5*time.Second)
	})
}

// What waits is bounded in bytes, but for one call that may be larger, and for
// what is no socket's.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{HandlerMaxCalls: 1, HandlerMaxWaitingBytes: 3000})
		w.answerBy(hang)
		large := func(sid string, n int) {
			e := w.event("large")
			e.Args = json.RawMessage(`["` + strings.Repeat("x", n) + `"]`)
			w.h.event(t.Context(), w.socket(sid), e)
		}
		go large("~a", 2400)
		sleep(t.Context(), time.Second)
		go large("~b", 4800)
		synctest.Wait()
		w.say("~c", "e")
		wantSame(t, "done", w.performed(), busyAck)
		if err := w.connect("~d"); failureOf(err).Kind() != Busy {
			t.Errorf("connect: %v", err)
		}
		wantSame(t, "observed", w.observed(), "event busy", "connect busy")
		w.leaves("~e")
		synctest.Wait()
		if s := w.h.Stats(); s.Waiting != 2 || s.Undelivered != 1 || s.GivenUp != 0 {
			t.Errorf("%+v", s)
		}
		w.answers("null", nil)
		sleep(t.Context(), 6*time.Second)
		wantSame(t, "made", w.made(), "1 event ~a large", "3 event ~b large", "2 disconnect ~e")
	})
}

// At the end of the server nobody waits any longer, and when its client has gone
// no socket does.
func TestEndOfContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{HandlerMaxCalls: 1})
		w.answerBy(func(ctx context.Context, c *Call) (string, error) {
			if c.Method == "disconnect" {
				return "null", nil
			}
			return hang(ctx, c)
		})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var err [2]error
		for i := range err {
			all.Go(func() {
				err[i] = w.h.connect(ctx, w.socket(fmt.Sprint("~", i)), &socketio.Handshake{Header: http.Header{}})
			})
			synctest.Wait()
		}
		all.Go(func() { w.h.event(ctx, w.socket("~2"), w.event("e")) })
		synctest.Wait()
		began := time.Now()
		cancel()
		all.Wait()
		synctest.Wait()
		if time.Since(began) != 0 || !errors.Is(err[0], context.Canceled) || !errors.Is(err[1], context.Canceled) {
			t.Errorf("took %v; %v", time.Since(began), err)
		}
		// Who may have been let in is told to have left, and nobody else.
		told := make(map[string]int)
		for _, c := range w.tries() {
			told[c.Method+c.Socket]++
		}
		for _, sid := range []string{"~0", "~1"} {
			if told["connect"+sid] != told["disconnect"+sid] {
				t.Errorf("%s: %v", sid, told)
			}
		}
		if told["disconnect~0"] != 1 {
			t.Errorf("%v", told)
		}
		wantSame(t, "done", w.performed(), unavailableAck)
		if strings.Contains(w.log.String(), "level") {
			t.Errorf("the log: %s", w.log)
		}
	})
}

// The log has one line a second at most, without what was said.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		w.answers(`{"unknown":"private"}`, nil)
		for range 100 {
			w.say("~s", "e")
		}
		got := w.log.String()
		if strings.Count(got, "\n") != 1 || !strings.Contains(got, `unknown member`) || !strings.Contains(got, "handler=chat") || strings.Contains(got, "private") {
			t.Errorf("the log: %s", got)
		}
	})
}

func TestLimits(t *testing.T) {
	if err := DefaultLimits().Validate(); err != nil {
		t.Error(err)
	}
	if err := (Limits{}).withDefaults().Validate(); err != nil {
		t.Error(err)
	}
	bad := Limits{HandlerTimeout: 1, HandlerMaxCalls: -1, HandlerMaxWaitingBytes: -1, HandlerRetryTime: -1, HandlerMaxUndelivered: -1}
	if n := strings.Count(bad.Validate().Error(), "\n"); n != 4 {
		t.Errorf("%v", bad.Validate())
	}
}
