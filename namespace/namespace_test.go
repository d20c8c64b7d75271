package namespace_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/namespace"
)

// open is a namespace for everybody.
func open(name string) *namespace.Namespace {
	return namespace.New(name, namespace.Options{Open: true, Logger: silent})
}

// fetched keeps the sockets that are let in, in their order.
func fetched(n *namespace.Namespace) <-chan *namespace.Socket {
	all := make(chan *namespace.Socket, 100)
	n.OnConnect(func(_ context.Context, s *namespace.Socket) error {
		all <- s
		return nil
	})
	return all
}

func TestNew(t *testing.T) {
	for name, want := range map[string]string{"chat": `New("chat")`, "": "New", "/a,b": "New", "/a#b": "New"} {
		panics(t, want, func() { namespace.New(name, namespace.Options{}) })
	}
	n := open("/a")
	n.OnConnect(func(context.Context, *namespace.Socket) error { return nil })
	n.OnDisconnect(func(context.Context, *namespace.Socket, string) {})
	n.OnAny(func(context.Context, *namespace.Socket, string, namespace.Args) ([]any, error) { return nil, nil })
	panics(t, "OnConnect is for one function", func() { n.OnConnect(func(context.Context, *namespace.Socket) error { return nil }) })
	panics(t, "OnDisconnect is for one", func() { n.OnDisconnect(func(context.Context, *namespace.Socket, string) {}) })
	panics(t, "OnAny is for one", func() {
		n.OnAny(func(context.Context, *namespace.Socket, string, namespace.Args) ([]any, error) { return nil, nil })
	})
	panics(t, "OnConnect", func() { open("/b").OnConnect(nil) })
	newWorld(t, 0, n)
	panics(t, "/a is part of another server", func() { newWorld(t, 0, n) })
}

// Before it is served there is nobody to speak to, and of a pattern it must be
// said who is meant.
func TestNobodyToSpeakTo(t *testing.T) {
	n := open("/a")
	if err := n.Emit(t.Context(), "e"); !errors.Is(err, namespace.ErrNotServed) {
		t.Errorf("Emit: %v", err)
	}
	if _, err := n.EmitWithAck(t.Context(), "e"); !errors.Is(err, namespace.ErrNotServed) {
		t.Errorf("EmitWithAck: %v", err)
	}
	if _, err := n.All().Sockets(); !errors.Is(err, namespace.ErrNotServed) || len(n.Sockets()) != 0 {
		t.Errorf("Sockets: %v", err)
	}
	many := open("/p-*")
	newWorld(t, 0, n, many)
	if err := many.Emit(t.Context(), "e"); err == nil || !strings.Contains(err.Error(), "say by At") {
		t.Errorf("everybody of a pattern: %v", err)
	}
	if err := many.At("/q").Emit(t.Context(), "e"); err == nil || !strings.Contains(err.Error(), "/q is none of /p-*") {
		t.Errorf("another namespace: %v", err)
	}
	if err := many.At("/p-1").Emit(t.Context(), "e", 1); err != nil {
		t.Errorf("one of them: %v", err)
	}
	for event, args := range map[string][]any{"connect": nil, "": nil, "e": {func() {}}} {
		if err := n.Emit(t.Context(), event, args...); err == nil {
			t.Errorf("the event %q with %v is said", event, args)
		}
	}
}

// A socket is let in, or not, and its page is told why.
func TestConnect(t *testing.T) {
	log := make(lines, 100)
	n := namespace.New("/a", namespace.Options{Open: true, Logger: log.logger()})
	n.OnConnect(func(ctx context.Context, s *namespace.Socket) error {
		var shown struct{ Why string }
		if err := s.Auth(&shown); err != nil {
			return &namespace.Error{Type: "bad_auth", Message: "what is that?"}
		}
		switch shown.Why {
		case "plain":
			return errors.New("the password is 1234")
		case "typed":
			return fmt.Errorf("inside: %w", &namespace.Error{Type: "full", Message: "come later"})
		case "data":
			return &namespace.Error{Message: "no", Data: map[string]int{"seconds": 5}}
		case "bare":
			return &namespace.Error{Message: "no"}
		case "untellable":
			return &namespace.Error{Message: "no", Data: func() {}}
		case "panic":
			panic("on purpose")
		}
		if there, err := n.All().Sockets(); err != nil || len(there)+len(n.Sockets()) != 0 || n.Kept() != 1 {
			t.Errorf("before it is let in, %d are there, %v, and %d are known", len(there), err, n.Kept())
		}
		return errors.Join(s.Join(ctx, "lobby"), s.SetData(ctx, shown), s.Emit(ctx, "welcome", s.Rooms()))
	})
	w := newWorld(t, 0, n)
	for _, tt := range []struct{ auth, want, log string }{
		{`{"why":"typed"}`, `44/a,{"message":"come later","data":{"type":"full"}}`, ""},
		{`{"why":"data"}`, `44/a,{"message":"no","data":{"seconds":5}}`, ""},
		{`{"why":"bare"}`, `44/a,{"message":"no"}`, ""},
		{`{"why":"untellable"}`, `44/a,{"message":"no"}`, "why a socket is refused cannot be told"},
		{`{"why":1}`, `44/a,{"message":"what is that?","data":{"type":"bad_auth"}}`, ""},
		{`{"why":"plain"}`, `closed`, "the password is 1234"},
		{`{"why":"panic"}`, `closed`, ""},
	} {
		p := w.dial("/a")
		p.send("40/a," + tt.auth)
		p.hears(tt.want)
		if tt.log != "" {
			if line := <-log; !strings.Contains(line, tt.log) || !strings.Contains(line, "namespace=/a") {
				t.Errorf("the log has %s", line)
			}
		}
	}
	until(t, "nobody is kept who was not let in", func() bool { return n.Kept() == 0 })
	p := w.open("/a", `{"why":"","key":"k"}`)
	p.hearsEvent(`["welcome",["lobby"]]`)
	if len(log) != 0 {
		t.Errorf("the log has more: %s", <-log)
	}
}

// What there is to know of a socket.
func TestSocket(t *testing.T) {
	n := namespace.New("/a", namespace.Options{Logger: silent})
	sockets := fetched(n)
	left := make(chan string, 1)
	n.OnDisconnect(func(_ context.Context, s *namespace.Socket, why string) { left <- s.ID() + " " + why })
	w := newWorld(t, 0, n)
	key, _, err := w.hub.CreateClient(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	p := w.open("/a", `{"client_id":"ada","key":"`+key+`","age":36}`)
	s := <-sockets
	until(t, "it is connected", func() bool { return slices.Equal(n.Sockets(), []*namespace.Socket{s}) })
	ctx := t.Context()
	var shown map[string]any
	if err := s.Auth(&shown); err != nil || fmt.Sprint(shown) != "map[age:36 client_id:ada]" {
		t.Errorf("it has shown %v, %v", shown, err)
	}
	if s.ID() != p.sid || s.Client() != "ada" || s.Namespace() != "/a" || s.Recovered() || !strings.HasPrefix(s.Address(), "127.0.0.1:") || s.Header().Get("User-Agent") != "a test" {
		t.Errorf("it is %q of %q in %q, %v, at %s with %v", s.ID(), s.Client(), s.Namespace(), s.Recovered(), s.Address(), s.Header())
	}
	kept := point{X: 1}
	if err := s.Data(&kept); err != nil || kept.X != 1 {
		t.Errorf("nothing is kept, and yet %v, %v", kept, err)
	}
	if err := s.SetData(ctx, point{X: 2, Y: 3}); err != nil || s.Data(&kept) != nil || kept.Y != 3 {
		t.Errorf("%v is kept, %v", kept, err)
	}
	if err := s.SetData(ctx, func() {}); err == nil {
		t.Error("a function is kept")
	}
	if err := s.Join(ctx, "one", "two"); err != nil || !slices.Equal(slices.Sorted(slices.Values(s.Rooms())), []string{"one", "two"}) {
		t.Errorf("in %v, %v", s.Rooms(), err)
	}
	if err := s.Leave(ctx, "one"); err != nil || !slices.Equal(s.Rooms(), []string{"two"}) {
		t.Errorf("in %v, %v", s.Rooms(), err)
	}
	if err := s.Emit(ctx, "e", 1, []byte("ab"), "<>"); err != nil {
		t.Error(err)
	}
	p.hears(`451-/a,["e",1,{"_placeholder":true,"num":0},"<>"]`, "binary:ab")
	if err := s.Emit(ctx, "e", func() {}); err == nil {
		t.Error("a function is said")
	}
	s.Disconnect()
	p.hears("41/a,")
	if got := <-left; got != s.ID()+" server namespace disconnect" {
		t.Errorf("left: %q", got)
	}
	until(t, "it is gone", func() bool { return len(n.Sockets()) == 0 })
	if err := s.EmitWithAck(ctx, "e").Scan(); !errors.Is(err, namespace.ErrLeft) {
		t.Errorf("who has left is asked: %v", err)
	}
}

// Events that have no function of their own.
func TestAny(t *testing.T) {
	n := open("/a")
	n.On("mine", func() string { return "mine" })
	p := newWorld(t, 0, n).open("/a", "")
	if got, want := p.ask(`["other",1]`), `[{"error":{"type":"unknown_event","message":"nobody answers this event"}}]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	n.OnAny(func(_ context.Context, s *namespace.Socket, event string, args namespace.Args) ([]any, error) {
		var number int
		return []any{event, len(args), s.ID() == p.sid}, args.Scan(&number)
	})
	for event, want := range map[string]string{
		`["other",1,2]`: `["other",2,true]`, `["mine"]`: `["mine"]`, `["other","a"]`: badArguments("1 cannot be a string"),
	} {
		if got := p.ask(event); got != want {
			t.Errorf("%s: %s, want %s", event, got, want)
		}
	}
	p.send(`42/a,["other"]`, `42/a,["mine"]`, `42/a,["other",1]`) // no answer is wanted
	if got := p.ask(`["mine"]`); got != `["mine"]` {
		t.Errorf("got %s", got)
	}
}

// What pages are not told is in the log, also if nobody wanted an answer; what
// they are told is not.
func TestFailuresAreLogged(t *testing.T) {
	log := make(lines, 100)
	n := namespace.New("/a", namespace.Options{Open: true, Logger: log.logger()})
	n.On("inner", func() error { return errors.New("no such table") })
	n.On("told", func() error { return &namespace.Error{Type: "x"} })
	n.On("odd", math.NaN)
	p := newWorld(t, 0, n).open("/a", "")
	p.send(`42/a,["told"]`, `42/a,["odd"]`, `42/a,["inner"]`)
	p.ask(`["told"]`)
	p.ask(`["odd"]`)
	for _, want := range []string{`event=inner err="no such table"`, `event=odd err="namespace: argument 1: json: unsupported value: NaN"`} {
		if line := <-log; !strings.Contains(line, "level=ERROR") || !strings.Contains(line, want) {
			t.Errorf("the log has %s, want %s", line, want)
		}
	}
	if len(log) > 0 {
		t.Errorf("the log has more: %s", <-log)
	}
}

// A page is asked, by a function of its own too.
func TestEmitWithAck(t *testing.T) {
	n := namespace.New("/a", namespace.Options{Open: true, Logger: silent, AckTimeout: 30 * time.Millisecond})
	sockets := fetched(n)
	n.On("ask me", func(ctx context.Context, s *namespace.Socket) (string, error) {
		var name string
		err := s.EmitWithAck(ctx, "name?", 1).Scan(&name)
		return "you are " + name, err
	})
	p := newWorld(t, 0, n).open("/a", "")
	s := <-sockets
	until(t, "it is connected", func() bool { return len(n.Sockets()) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	type answer struct {
		sum  int
		data []byte
		err  error
	}
	answers := make(chan answer)
	go func() {
		var a answer
		a.err = s.EmitWithAck(ctx, "add", 1, 2).Scan(&a.sum, &a.data)
		answers <- a
	}()
	p.hears(`42/a,0["add",1,2]`)
	p.send(`461-/a,0[3,{"_placeholder":true,"num":0},"more"]`, "binary:ab")
	if a := <-answers; a.err != nil || a.sum != 3 || string(a.data) != "ab" {
		t.Errorf("it has answered %+v", a)
	}
	p.send(`42/a,5["ask me"]`)
	p.hears(`42/a,1["name?",1]`)
	p.send(`43/a,1["ada"]`)
	p.hears(`43/a,5["you are ada"]`)

	p.send(`42/a,6["ask me"]`)
	p.hears(`42/a,2["name?",1]`)
	p.send(`43/a,2[{}]`)
	p.hears(`43/a,6` + failed) // and not that its own arguments are bad

	if a := s.EmitWithAck(t.Context(), "x"); !errors.Is(a.Err, namespace.ErrNoAnswer) || a.Socket != s.ID() || !errors.Is(a.Scan(), namespace.ErrNoAnswer) {
		t.Errorf("without an answer: %+v", a)
	}
	p.hears(`42/a,3["x"]`)
	if a := s.EmitWithAck(t.Context(), "x", func() {}); a.Err == nil {
		t.Error("a function is said")
	}
	go func() { answers <- answer{err: s.EmitWithAck(ctx, "y").Err} }()
	p.hears(`42/a,4["y"]`)
	p.conn.CloseNow()
	if a := <-answers; !errors.Is(a.err, namespace.ErrLeft) {
		t.Errorf("who has left: %v", a.err)
	}
}

// A panic is the end of one connection, and of nothing else.
func TestPanic(t *testing.T) {
	n := open("/a")
	left := make(chan string, 1)
	n.OnDisconnect(func(_ context.Context, s *namespace.Socket, why string) { left <- why })
	n.On("boom", func() { panic("on purpose") })
	n.On("e", func() int { return 1 })
	w := newWorld(t, 0, n)
	p, other := w.open("/a", ""), w.open("/a", "")
	p.send(`42/a,1["boom"]`)
	p.hears("closed")
	if why := <-left; why != "forced server close" {
		t.Errorf("it has left for %q", why)
	}
	if got := other.ask(`["e"]`); got != "[1]" || len(n.Sockets()) != 1 {
		t.Errorf("the other is answered with %s; there are %d", got, len(n.Sockets()))
	}
}

// Who loses the connection is told of, and let in anew when it is back, with all
// that it had.
func TestRecovered(t *testing.T) {
	n := open("/a")
	sockets := fetched(n)
	left := make(chan *namespace.Socket, 2)
	n.OnDisconnect(func(_ context.Context, s *namespace.Socket, why string) {
		if why == "transport close" {
			left <- s
		}
	})
	w := newWorld(t, time.Minute, n)
	p := w.open("/a", "")
	s := <-sockets
	if err := errors.Join(s.Join(t.Context(), "lobby"), s.SetData(t.Context(), 5)); err != nil {
		t.Fatal(err)
	}
	p.conn.CloseNow()
	if gone := <-left; gone != s {
		t.Error("another socket has left")
	}
	if err := n.To("lobby").Emit(t.Context(), "missed", 1); err != nil {
		t.Fatal(err)
	}
	again := w.dial("/a")
	again.connect(`{"pid":"` + p.pid + `"}`)
	back := <-sockets
	var data int
	if err := back.Data(&data); err != nil || data != 5 || back == s || back.ID() != s.ID() || !back.Recovered() || !slices.Equal(back.Rooms(), []string{"lobby"}) {
		t.Errorf("it is back as %s, was %s: %v, %v, %v, %v", back.ID(), s.ID(), back.Recovered(), back.Rooms(), data, err)
	}
	if got := again.read(); !strings.HasPrefix(got, `42/a,["missed",1,"`) {
		t.Errorf("it hears %q", got)
	}
}

// Many come, say something, are spoken to and go, all at once.
func TestConcurrentSockets(t *testing.T) {
	n := open("/a")
	n.OnConnect(func(ctx context.Context, s *namespace.Socket) error {
		return errors.Join(s.Join(ctx, "lobby"), s.SetData(ctx, s.ID()))
	})
	var mu sync.Mutex
	gone := make(map[*namespace.Socket]int)
	n.OnDisconnect(func(_ context.Context, s *namespace.Socket, _ string) {
		mu.Lock()
		defer mu.Unlock()
		gone[s]++
	})
	n.On("say", func(ctx context.Context, s *namespace.Socket, text string) (int, error) {
		all, err := n.To("lobby").Sockets()
		return len(all), errors.Join(err, s.To("lobby").Emit(ctx, "said", text), s.Emit(ctx, "done"))
	})
	w := newWorld(t, 0, n)
	const many = 8
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			n.On(fmt.Sprint("own ", i), func() int { return i })
			p := w.open("/a", "")
			p.send(fmt.Sprintf(`42/a,["say","%d"]`, i), fmt.Sprintf(`42/a,1["own %d"]`, i))
			done, own := false, false
			for !done || !own {
				switch got := p.read(); {
				case got == `42/a,["done"]`:
					done = true
				case got == fmt.Sprintf(`43/a,1[%d]`, i):
					own = true
				case !strings.HasPrefix(got, `42/a,["said",`):
					t.Errorf("got %q", got)
				}
			}
			p.conn.CloseNow()
		})
	}
	all.Wait()
	until(t, "all are gone", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(gone) == many && n.Kept() == 0
	})
	for _, times := range gone {
		if times != 1 {
			t.Errorf("one has left %d times", times)
		}
	}
}
