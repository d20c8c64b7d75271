package namespace_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/namespace"
)

// Three are in rooms: a in one, b in one and two, c in two.
func TestAudience(t *testing.T) {
	n := open("/a")
	n.OnConnect(func(ctx context.Context, s *namespace.Socket) error {
		var shown struct{ Rooms []string }
		return errors.Join(s.Auth(&shown), s.Join(ctx, shown.Rooms...))
	})
	w := newWorld(t, 0, n)
	pages := map[string]*page{
		"a": w.open("/a", `{"rooms":["one"]}`), "b": w.open("/a", `{"rooms":["one","two"]}`), "c": w.open("/a", `{"rooms":["two"]}`),
	}
	until(t, "all are there", func() bool { return len(n.Sockets()) == 3 })
	sockets := make(map[string]*namespace.Socket)
	all := n.Sockets()
	for name, p := range pages {
		sockets[name] = all[slices.IndexFunc(all, func(s *namespace.Socket) bool { return s.ID() == p.sid })]
	}
	a := sockets["a"]
	kept := n.To("one")
	_ = kept.To("two").Except("three") // is another one
	for i, tt := range []struct {
		whom namespace.Audience
		want string
	}{
		{n.All(), "abc"},
		{n.At("/a"), "abc"},
		{n.Except("one"), "c"},
		{kept, "ab"},
		{n.To("one", "two"), "abc"},
		{n.To("one").To("two"), "abc"},
		{n.To("two").Except("one"), "c"},
		{n.To("two").Except(pages["c"].sid), "b"},
		{n.To(pages["c"].sid), "c"},
		{n.To("nobody"), ""},
		{n.To(), ""},
		{n.To([]string{}...).Except("one"), ""},
		{a.Broadcast(), "bc"},
		{a.To("one"), "b"},
		{a.To("one", "two"), "bc"},
		{a.Except("two"), ""},
		{a.To(), ""},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			all, err := tt.whom.Sockets()
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, name := range []string{"a", "b", "c"} {
				if slices.Contains(all, sockets[name]) {
					got += name
				}
			}
			if got != tt.want || len(all) != len(got) {
				t.Errorf("the sockets are %q of %d, want %q", got, len(all), tt.want)
			}
			if err := tt.whom.Emit(t.Context(), "e", i); err != nil {
				t.Fatal(err)
			}
			for _, name := range got {
				pages[string(name)].hearsEvent(fmt.Sprintf(`["e",%d]`, i)) // the others hear the next one first
			}
		})
	}
	if err := n.Emit(t.Context(), "last"); err != nil {
		t.Error(err)
	}
	for _, p := range pages {
		p.hearsEvent(`["last"]`)
	}
	each(t, n, pages)
}

// each is about what can be done with all of an audience.
func each(t *testing.T, n *namespace.Namespace, pages map[string]*page) {
	ctx := t.Context()
	for i, tt := range []struct {
		do   func() (int, error)
		want int
	}{
		{func() (int, error) { return n.To("one").Join(ctx, "three") }, 2},
		{func() (int, error) { return n.To("three").Leave(ctx, "one") }, 2},
		{func() (int, error) { return n.To("one").Leave(ctx, "one") }, 0},
		{func() (int, error) { return n.To().Disconnect(ctx) }, 0},
		{func() (int, error) { return n.To("three").Disconnect(ctx) }, 2},
		{func() (int, error) { return n.Disconnect(ctx) }, 1},
	} {
		if got, err := tt.do(); err != nil || got != tt.want {
			t.Errorf("%d: they were %d, %v", i, got, err)
		}
		if i == 4 {
			pages["a"].hears("41/a,")
			pages["b"].hears("41/a,")
			until(t, "two are gone", func() bool { return len(n.Sockets()) == 1 })
		}
	}
	pages["c"].hears("41/a,")
}

// Many are asked: each has an answer.
func TestAnswersOfMany(t *testing.T) {
	n := open("/a")
	w := newWorld(t, 0, n)
	knows, fails, silent := w.open("/a", ""), w.open("/a", ""), w.open("/a", "")
	until(t, "all are there", func() bool { return len(n.Sockets()) == 3 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type result struct {
		all []namespace.Answer
		err error
	}
	done := make(chan result)
	go func() {
		all, err := n.EmitWithAck(ctx, "how many?", "days")
		done <- result{all, err}
	}()
	for _, p := range []*page{knows, fails, silent} {
		p.hears(`42/a,0["how many?","days"]`)
	}
	knows.send(`43/a,0[7]`)
	fails.conn.CloseNow()
	until(t, "one has gone", func() bool { return len(n.Sockets()) == 2 })
	knows.send(`42/a,9["x"]`) // its answer has arrived when this one is answered
	knows.read()
	cancel()
	r := <-done
	if r.err != nil || len(r.all) != 3 {
		t.Fatalf("%+v", r)
	}
	for _, a := range r.all {
		var days int
		err := a.Scan(&days)
		switch a.Socket {
		case knows.sid:
			if err != nil || days != 7 {
				t.Errorf("who knows: %d, %v", days, err)
			}
		case fails.sid:
			if !errors.Is(err, namespace.ErrLeft) {
				t.Errorf("who has gone: %v", err)
			}
		case silent.sid:
			if !errors.Is(err, namespace.ErrNoAnswer) {
				t.Errorf("who is silent: %v", err)
			}
		}
	}
	if all, err := n.To().EmitWithAck(t.Context(), "x"); err != nil || len(all) != 0 {
		t.Errorf("nobody: %v, %v", all, err)
	}
	if _, err := n.EmitWithAck(t.Context(), "x", func() {}); err == nil {
		t.Error("a function is said")
	}
}

// Of a pattern each namespace is one of its own.
func TestPattern(t *testing.T) {
	n := open("/room-*")
	n.On("where", func(ctx context.Context, s *namespace.Socket) (string, error) {
		return s.Namespace(), s.Broadcast().Emit(ctx, "asked")
	})
	w := newWorld(t, 0, n)
	one, also, two := w.open("/room-1", ""), w.open("/room-1", ""), w.open("/room-2", "")
	until(t, "all are there", func() bool { return len(n.Sockets()) == 3 })
	if got := one.ask(`["where"]`); got != `["/room-1"]` {
		t.Errorf("it is in %s", got)
	}
	also.hearsEvent(`["asked"]`)
	if err := n.At("/room-2").Emit(t.Context(), "e"); err != nil {
		t.Fatal(err)
	}
	two.hearsEvent(`["e"]`)
	if all, err := n.At("/room-1").Sockets(); err != nil || len(all) != 2 {
		t.Errorf("%d are in one of them, %v", len(all), err)
	}
}

// What is volatile is heard by who can take it, and kept for nobody.
func TestVolatile(t *testing.T) {
	n := open("/a")
	w := newWorld(t, time.Minute, n)
	here, gone := w.open("/a", ""), w.open("/a", "")
	until(t, "both are there", func() bool { return len(n.Sockets()) == 2 })
	gone.conn.CloseNow()
	until(t, "one has gone", func() bool { return len(n.Sockets()) == 1 })
	heard := make(chan string)
	go func() { heard <- here.read() }()
	for said := false; !said; { // it may be busy yet
		if err := n.All().Volatile().Emit(t.Context(), "now"); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-heard:
			if said = true; !strings.HasPrefix(got, `42/a,["now",`) {
				t.Errorf("got %q", got)
			}
		case <-time.After(time.Millisecond):
		}
	}
	if err := n.Emit(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	back := w.dial("/a")
	back.connect(`{"pid":"` + gone.pid + `"}`)
	if got := back.read(); !strings.HasPrefix(got, `42/a,["kept",`) {
		t.Errorf("who comes back hears %q first", got)
	}
}

// Who has not answered in time is waited for no longer.
func TestAckTimeout(t *testing.T) {
	n := namespace.New("/a", namespace.Options{Open: true, AckTimeout: 20 * time.Millisecond})
	p := newWorld(t, 0, n).open("/a", "")
	until(t, "it is there", func() bool { return len(n.Sockets()) == 1 })
	all, err := n.EmitWithAck(t.Context(), "x")
	if err != nil || len(all) != 1 || all[0].Socket != p.sid || !errors.Is(all[0].Err, namespace.ErrNoAnswer) {
		t.Errorf("%+v, %v", all, err)
	}
}
