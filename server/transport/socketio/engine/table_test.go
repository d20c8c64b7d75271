package engine_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
)

// When there is no room, one that has not settled makes some, whatever it is
// doing.
func TestDisplaced(t *testing.T) {
	for _, test := range []struct {
		name  string
		begin func(p *place) (hears func())
	}{
		{"without a poll", func(p *place) func() {
			query := p.begin("")
			return func() { p.is(p.get(query), unknown) }
		}},
		{"with a poll", func(p *place) func() {
			query := p.begin("")
			poll := p.held(query)
			return func() { p.answered(poll, "200 1"); p.is(p.get(query), unknown) }
		}},
		{"a WebSocket", func(p *place) func() {
			c := p.socket("")
			return func() { c.hears("close 1008") }
		}},
		{"going over", func(p *place) func() {
			c := p.probe(p.begin(""))
			return func() { c.hears("close 1008") }
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, engine.Options{MaxSessions: 2})
			p.shape = func(a *app) { a.session.Settled() }
			settled := p.begin("")
			p.shape = nil
			hears := test.begin(p)
			victim := p.last()
			newcomer := p.begin("")
			hears()
			synctest.Wait()
			if got := victim.events[len(victim.events)-1]; got != "closed: displaced" {
				t.Errorf("%s: the app saw %q", test.name, victim.events)
			}
			for _, query := range []string{settled, newcomer} {
				p.post(query, "4still there")
				p.is(p.get(query), "200 4still there")
			}
			if s := p.server.Stats(); s.Polling != 2 || s.WebSocket != 0 || s.Closed(engine.Displaced) != 1 || s.Refused != 0 {
				t.Errorf("%s: the numbers are %+v", test.name, s)
			}
		})
	}
}

// A session can settle at any time, and stays then. When all have, nobody makes
// room.
func TestSettled(t *testing.T) {
	for _, test := range []struct {
		name   string
		settle func(p *place, a *app, query string)
	}{
		{"from elsewhere", func(_ *place, a *app, _ string) { a.session.Settled() }},
		{"twice", func(_ *place, a *app, _ string) { a.session.Settled(); a.session.Settled() }},
		{"in a method of the app", func(p *place, a *app, query string) {
			a.on = func(string) { a.session.Settled() }
			p.post(query, "4x")
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, engine.Options{MaxSessions: 1})
			query := p.begin("")
			test.settle(p, p.last(), query)
			if got := p.get("EIO=4&transport=polling"); got != full {
				t.Errorf("%s: a newcomer is answered %s", test.name, got)
			}
			p.post(query, "4y")
			if got := p.get(query); !strings.HasSuffix(got, "4y") {
				t.Errorf("%s: then got %s", test.name, got)
			}
			p.post(query, "1")
			p.get(query)
			p.last().session.Settled() // too late to take the room of others
			p.begin("")
			p.begin("")
		})
	}
}

// Those that are there only to be told of their end go first, settled or not.
func TestEndedMakeRoom(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(p *place, a *app, query string)
	}{
		{"by the client", func(p *place, _ *app, query string) { p.post(query, "1") }},
		{"by the server", func(_ *place, a *app, _ string) { a.session.Close(engine.Forced) }},
		{"settled", func(_ *place, a *app, _ string) { a.session.Settled(); a.session.Close(engine.Forced) }},
		{"settled too late", func(_ *place, a *app, _ string) { a.session.Close(engine.Forced); a.session.Settled() }},
		{"at once", func(_ *place, a *app, _ string) {}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t, engine.Options{MaxSessions: 2})
			living := p.begin("")
			p.shape = func(a *app) {
				if test.name == "at once" {
					a.session.Fail(engine.Forced)
				}
			}
			dead := p.begin("")
			test.end(p, p.last(), dead)
			p.shape = nil
			newcomer := p.begin("")
			if got := p.get(dead); got != unknown {
				t.Errorf("%s: what has gone is answered %s", test.name, got)
			}
			for _, query := range []string{living, newcomer} {
				p.post(query, "4x")
				p.is(p.get(query), "200 4x")
			}
			if s := p.server.Stats(); s.Polling != 2 || s.Closed(engine.Displaced) != 0 {
				t.Errorf("%s: the numbers are %+v", test.name, s)
			}
		})
	}
}

// Who makes room cannot be told before: neither always the oldest, nor always the
// newest.
func TestAnyMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{MaxSessions: 50})
		var old []string
		for range 50 {
			old = append(old, p.begin(""))
		}
		for range 50 {
			p.begin("")
		}
		left := 0
		for _, query := range old {
			if p.post(query, "3") == "200 ok" {
				left++
			}
		}
		if left < 3 || left > 35 { // a third, mostly
			t.Errorf("of 50, %d are left", left)
		}
	})
}

// An app that panics, when it is told that it makes room or in place of who gets
// it, harms nobody else.
func TestPanicsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{MaxSessions: 1, Logger: slog.New(slog.DiscardHandler)})
		p.shape = func(a *app) {
			a.on = func(event string) {
				if event == "closed: displaced" {
					panic("on purpose")
				}
			}
		}
		p.begin("")
		victim := p.last()
		p.shape = nil
		second := p.begin("")
		victim.saw("closed: displaced")
		p.post(second, "4x")
		p.is(p.get(second), "200 4x")
		victim = p.last()
		victim.saw("received x", "ready", "next", "sent")
		p.shape = func(a *app) { panic("on purpose") }
		p.client.CloseIdleConnections() // by one of which it would be tried again
		p.is(p.get("EIO=4&transport=polling"), "error")
		victim.saw("closed: displaced")
		if s := p.server.Stats(); s.Polling != 0 || s.Closed(engine.Displaced) != 2 || s.Closed(engine.Panicked) != 1 {
			t.Errorf("the numbers are %+v", s)
		}
	})
}

// One that makes room, and takes its time for that, counts no more: there is room
// for as many others as there may be.
func TestSlowToMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{MaxSessions: 2})
		gate := make(chan struct{})
		p.begin("")
		victim := p.last()
		victim.on = func(event string) {
			if event == "due" {
				<-gate
			}
		}
		victim.session.DueIn(time.Second)
		time.Sleep(2 * time.Second)
		opened := make(chan struct{}, 10)
		p.shape = func(a *app) { a.session.Settled(); opened <- struct{}{} }
		second := p.begin("")
		<-opened
		third := make(chan string, 1)
		go func() { third <- p.begin("") }()
		<-opened // it has the room, and waits until the victim has gone
		p.is(p.get("EIO=4&transport=polling"), full)
		p.post(second, "1")
		p.is(p.get(second), "200 6")
		p.begin("")
		p.is(p.get("EIO=4&transport=polling"), full)
		close(gate)
		<-third
		victim.saw("due", "closed: displaced")
	})
}

// However many come at once, there are never more than there may be, nobody is
// refused while one could make room, and those that have settled stay.
func TestDisplacedUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, settled = 40, 20
		p := newPlace(t, engine.Options{MaxSessions: most, MaxHandshakes: 10_000})
		var stay []string
		for range settled {
			stay = append(stay, p.begin(""))
			p.last().session.Settled()
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 100 {
					w := httptest.NewRecorder()
					p.server.ServeHTTP(w, httptest.NewRequest("GET", "/?EIO=4&transport=polling", nil))
					if w.Code != 200 {
						t.Errorf("a newcomer is answered %d %s", w.Code, w.Body)
					}
					p.mu.Lock()
					one := p.opened[settled+rand.IntN(len(p.opened)-settled)]
					p.mu.Unlock()
					if rand.IntN(4) == 0 {
						one.session.Close([]engine.Reason{engine.ClientClosed, engine.Forced, engine.Gone}[rand.IntN(3)])
					}
				}
			})
		}
		all.Wait()
		if s := p.server.Stats(); s.Polling > most || s.Closed(engine.Displaced) == 0 {
			t.Errorf("the numbers are %+v", s)
		}
		for i, query := range stay {
			p.is(p.post(query, fmt.Sprint("4", i)), "200 ok")
		}
		time.Sleep(time.Minute) // for those that would still be told of their end
	})
}
