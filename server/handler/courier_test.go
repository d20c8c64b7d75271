package handler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

func (w *world) life(client string, kind hub.LifeKind) {
	w.h.Notify(hub.Life{Client: client, Kind: kind, At: w.Position()})
}

// Who has left is told until there is an answer, whatever it is.
func TestNotesAreDelivered(t *testing.T) {
	for _, err := range []error{notSent(), &Lost{errors.New("502")}, context.DeadlineExceeded, errors.New("500")} {
		for _, last := range []error{nil, &Answered{Code: -32601, Message: "no such method"}, &Answered{Code: 5, Message: "no"}} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Limits{})
				w.answers("", err)
				w.leaves("~s")
				sleep(t.Context(), 20*time.Second)
				if n := len(w.made()); n < 7 || n > 14 { // 0.1 0.2 0.4 ... 6.4
					t.Errorf("%v: %d tries in 20 seconds", err, n)
				}
				w.answers("", last)
				sleep(t.Context(), longestNotePause)
				wantSame(t, "made", w.made(), "1 disconnect ~s")
				if s := w.h.Stats(); s != (Stats{}) {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

// What happens to one client comes in order, however often it fails.
func TestOrderOfNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		delivered := make(map[string][]string)
		w.answerBy(func(ctx context.Context, c *Call) (string, error) {
			sleep(ctx, rand.N(20*time.Millisecond))
			if rand.N(3) == 0 {
				return "", errors.New("500")
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			p := paramsOf(t, c)
			delivered[p.Client] = append(delivered[p.Client], fmt.Sprint(c.Method, p.Reason, p.Serial))
			return "null", nil
		})
		want := make(map[string][]string)
		for i := range 300 {
			client := fmt.Sprint("c", i%30)
			kind := []hub.LifeKind{hub.LetGo, hub.Back, hub.Killed}[i/30%3]
			w.life(client, kind)
			want[client] = append(want[client], fmt.Sprint([]string{"client_goneidle", "client_back", "client_gonekilled"}[i/30%3], i+1))
		}
		sleep(t.Context(), time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		for client, list := range want {
			wantSame(t, client, delivered[client], list...)
		}
	})
}

// Many notes do not wait for each other, but leave room for events.
func TestNotesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{HandlerMaxCalls: 10})
		most := 0
		w.answerBy(func(ctx context.Context, c *Call) (string, error) {
			w.mu.Lock()
			most = max(most, w.h.Stats().UnderWay)
			w.mu.Unlock()
			sleep(ctx, 10*time.Millisecond)
			return "null", nil
		})
		for i := range 1000 {
			w.leaves(fmt.Sprint("~", i))
		}
		began := time.Now()
		w.say("~x", "e") // is not behind all of them
		if took := time.Since(began); took > 30*time.Millisecond {
			t.Errorf("an event took %v", took)
		}
		for w.h.Stats().Undelivered > 0 {
			sleep(t.Context(), 10*time.Millisecond)
		}
		if took := time.Since(began); took > 3*time.Second || most < 5 || most > 6 {
			t.Errorf("took %v, %d at once", took, most)
		}
	})
}

// One that nobody wants to hear keeps no others waiting.
func TestPoison(t *testing.T) {
	for name, bad := range map[string]func(context.Context) (string, error){
		"fails": func(context.Context) (string, error) { return "", errors.New("500") },
		"hangs": func(ctx context.Context) (string, error) { return hang(ctx, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Limits{HandlerRetryTime: time.Minute})
				var delivered, refused atomic.Int64
				w.answerBy(func(ctx context.Context, c *Call) (string, error) {
					if paramsOf(t, c).SID == "~bad" {
						refused.Add(1)
						return bad(ctx)
					}
					delivered.Add(1)
					return "null", nil
				})
				w.leaves("~bad")
				for i := range 100 {
					w.leaves(fmt.Sprint("~", i))
					sleep(t.Context(), 100*time.Millisecond)
				}
				if n := delivered.Load(); n < 98 {
					t.Errorf("%d of 100 were delivered", n)
				}
				sleep(t.Context(), time.Minute)
				if n := refused.Load(); n < 5 || n > 20 { // 0.1 0.2 ... 6.4 10 10 ...
					t.Errorf("it was tried %d times", n)
				}
				if s := w.h.Stats(); delivered.Load() != 100 || s != (Stats{GivenUp: 1}) {
					t.Errorf("%d were delivered; %+v", delivered.Load(), s)
				}
			})
		})
	}
}

// A backend that is not there is not asked for every note, and when it is back it
// has them all soon.
func TestNotesWhileNobodyIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		w.answers("", notSent())
		for i := range 1000 {
			w.leaves(fmt.Sprint("~", i))
		}
		sleep(t.Context(), time.Minute)
		if n := len(w.made()); n > 32+20 {
			t.Errorf("%d tries in a minute", n)
		}
		w.answers("null", nil)
		w.say("~x", "e") // which shows that it is there
		sleep(t.Context(), longestNotePause)
		if s := w.h.Stats(); s != (Stats{}) {
			t.Errorf("%+v", s)
		}
		if n := len(w.made()); n != 1001 {
			t.Errorf("%d calls", n)
		}
	})
}

// An event that is answered has the next note be tried at once.
func TestReachedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		w.answers("", notSent())
		for _, sid := range []string{"~a", "~b"} {
			w.leaves(sid)
		}
		sleep(t.Context(), time.Minute)
		w.made()
		w.answers("null", nil)
		w.say("~x", "e")
		w.life("c", hub.LetGo) // its line has not failed
		synctest.Wait()
		if made := w.made(); made[0] != "3 event ~x e" || !slices.Contains(made, "4 client_gone c") {
			t.Errorf("made: %q", made)
		}
	})
}

// It is not tried for ever. The log says so once a minute at most, and the hole in
// the serials for good.
func TestNotesAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{HandlerRetryTime: 20 * time.Second})
		w.answers("", errors.New("500"))
		for i := range 10 {
			w.leaves(fmt.Sprint("~", i))
			sleep(t.Context(), time.Second)
		}
		sleep(t.Context(), 20*time.Second)
		if s := w.h.Stats(); s != (Stats{GivenUp: 10}) {
			t.Errorf("%+v", s)
		}
		if n := strings.Count(w.log.String(), "was not told"); n != 1 {
			t.Errorf("%d lines:\n%s", n, w.log)
		}
		w.made()
		w.answers("null", nil)
		w.say("~s", "e")
		wantSame(t, "made", w.made(), "11 event ~s e")
		sleep(t.Context(), time.Minute)
		w.answers("", errors.New("500"))
		w.leaves("~x")
		sleep(t.Context(), 20*time.Second)
		if !strings.Contains(w.log.String(), "since_start=10") {
			t.Errorf("the log:\n%s", w.log)
		}
	})
}

// When there are too many the oldest is given up, but not one that may just be
// heard.
func TestTooManyNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{HandlerMaxUndelivered: 3, HandlerMaxCalls: 1})
		w.answerBy(hang)
		for i := range 6 {
			w.leaves(fmt.Sprint("~", i))
			synctest.Wait()
		}
		if s := w.h.Stats(); s.Undelivered != 3 || s.GivenUp != 3 {
			t.Errorf("%+v", s)
		}
		w.made()
		w.answers("null", nil)
		sleep(t.Context(), time.Minute)
		got := w.made()
		slices.Sort(got)
		wantSame(t, "made", got, "1 disconnect ~0", "5 disconnect ~4", "6 disconnect ~5")

		large := w.socket("~large")
		large.data = []byte(`"` + strings.Repeat("x", 3*bytesPerNote) + `"`)
		w.answerBy(hang)
		w.h.disconnect(large, "") // alone it may be larger
		synctest.Wait()
		w.leaves("~6")
		if s := w.h.Stats(); s.Undelivered != 1 || s.GivenUp != 4 {
			t.Errorf("%+v", s)
		}
		w.answers("null", nil)
		sleep(t.Context(), time.Minute)
	})
}

// Who comes back is announced when its leaving has been heard of, and not before.
func TestBackAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		if err := w.connect("~s"); err != nil {
			t.Fatal(err)
		}
		w.answers("", notSent())
		for i := range 100 { // it is behind others
			w.leaves(fmt.Sprint("~", i))
		}
		w.leaves("~s")
		sleep(t.Context(), time.Minute)
		w.made()
		time.AfterFunc(4*time.Second, func() {
			tries := 0
			for _, c := range w.tries() {
				if c.Socket == "~s" {
					tries++
				}
			}
			if tries < 6 { // the others wait
				t.Errorf("it was tried %d times in four seconds", tries)
			}
			w.answers("null", nil)
		})
		began := time.Now()
		if err := w.connect("~s"); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		made := w.made()
		if n := slices.Index(made, "103 connect ~s"); n < 1 || slices.Index(made, "102 disconnect ~s") > n || slices.Contains(made[n:], "102 disconnect ~s") {
			t.Errorf("made: %q", made)
		}
	})
}

// If its leaving cannot be told in time, it cannot come back.
func TestNotBackAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{HandlerRetryTime: 30 * time.Second})
		w.answers("", notSent())
		w.leaves("~s")
		began := time.Now()
		if err := w.connect("~s"); failureOf(err).Kind() != Unavailable || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		for _, made := range w.made() {
			if made != "1 disconnect ~s" {
				t.Errorf("made: %s", made)
			}
		}
		w.answerBy(func(_ context.Context, c *Call) (string, error) {
			if c.Method == "connect" {
				return "null", nil
			}
			return "", errors.New("500")
		})
		sleep(t.Context(), 22*time.Second)
		if err := w.connect("~s"); err != nil { // it is given up meanwhile
			t.Error(err)
		}
		if made := w.made(); made[len(made)-1] != "2 connect ~s" {
			t.Errorf("made: %q", made)
		}
	})
}

// A backend that hears that somebody has left, and does not know what to answer,
// shuts nobody out who comes back; but it is told again as long as nobody does.
func TestBackAgainAfterNonsense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		w.answerBy(func(_ context.Context, c *Call) (string, error) {
			if c.Method == "disconnect" {
				return "", errors.New("the answer has the status 500")
			}
			return "null", nil
		})
		w.leaves("~s")
		w.leaves("~other")
		began := time.Now()
		if err := w.connect("~s"); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		tries := make(map[string]int)
		for _, c := range w.tries() {
			tries[c.Method+c.Socket]++
		}
		if n := tries["disconnect~s"]; n != 3 {
			t.Errorf("it was told %d times", n)
		}
		sleep(t.Context(), time.Minute)
		if s := w.h.Stats(); s.Undelivered != 1 || s.GivenUp != 0 {
			t.Errorf("%+v", s)
		}
		w.made()
		if err := w.connect("~other"); err != nil { // that was heard often enough
			t.Error(err)
		}
		if made := w.made(); len(made) != 2 || !strings.HasSuffix(made[1], "connect ~other") {
			t.Errorf("made: %q", made)
		}
	})
}

// The log does not say of a connect that was never made that it had no answer.
func TestLogOfWhoWasNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		w.answerBy(hang)
		w.leaves("~s")
		sleep(t.Context(), 2*time.Second)
		if err := w.connect("~s"); failureOf(err).Kind() != Timeout {
			t.Error(err)
		}
		if log := w.log.String(); !strings.Contains(log, "it was not asked: the disconnect of the same socket") {
			t.Error(log)
		}
		w.answers("null", nil)
		sleep(t.Context(), 10*time.Second)
	})
}

// At the end what waits is delivered.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{})
		w.answers("", notSent())
		for i := range 100 {
			w.leaves(fmt.Sprint("~", i))
		}
		sleep(t.Context(), time.Minute)
		time.AfterFunc(time.Second, func() { w.answers("null", nil) })
		began := time.Now()
		if n := w.h.Close(t.Context()); n != 0 || time.Since(began) > 2*time.Second {
			t.Errorf("%d were given up, after %v", n, time.Since(began))
		}
		w.made()
		w.leaves("~late")
		synctest.Wait()
		wantSame(t, "made", w.made())
		if s := w.h.Stats(); s != (Stats{GivenUp: 1}) {
			t.Errorf("%+v", s)
		}
		if n := w.h.Close(t.Context()); n != 0 {
			t.Errorf("closed once more, %d were given up", n)
		}
	})
}

// If that cannot be, it is said how many were not.
func TestCloseInVain(t *testing.T) {
	for name, answer := range map[string]func(context.Context, *Call) (string, error){
		"nobody is there": func(context.Context, *Call) (string, error) { return "", notSent() },
		"it hangs":        hang,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Limits{})
				w.answerBy(answer)
				for i := range 100 {
					w.leaves(fmt.Sprint("~", i))
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				began := time.Now()
				if n := w.h.Close(ctx); n != 100 || time.Since(began) != 3*time.Second {
					t.Errorf("%d were given up, after %v", n, time.Since(began))
				}
				if s := w.h.Stats(); s != (Stats{GivenUp: 100}) {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// What has become of clients is noted under the log's lock, so it waits for
// nothing.
func TestNotifyWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{HandlerMaxCalls: 1, HandlerMaxUndelivered: 10})
		w.answerBy(hang)
		began := time.Now()
		for i := range 1000 {
			w.life(fmt.Sprint("c", i), hub.LetGo)
		}
		if took := time.Since(began); took != 0 { // in a bubble time passes when somebody waits
			t.Errorf("took %v", took)
		}
	})
}
