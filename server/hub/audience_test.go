package hub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// A socketOf is a socket with its session, found by its name.
func socketOf(t *testing.T, h *hub.Hub, name, namespace string, owner hub.Credentials) hub.Credentials {
	t.Helper()
	cr, _, err := h.CreateSocket(t.Context(), hub.NewSocketID(), namespace, owner.ID)
	if err != nil {
		t.Fatal(err)
	}
	creds := []hub.Credentials{cr}
	if owner.ID != "" {
		creds = append(creds, owner)
	}
	s, err := h.Attach(t.Context(), creds, hub.Start{Now: true, Namespace: namespace, Holder: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return cr
}

// Readers finds the sessions that an audience is, each once.
func TestReaders(t *testing.T) {
	h := newHub(t, hub.Limits{RoomsPerEmit: 5})
	alice, nobody := create(t, h, "alice", "lobby", "/chat#club"), hub.Credentials{}
	one := socketOf(t, h, "one", "/chat", nobody)
	socketOf(t, h, "two", "/chat", alice)
	socketOf(t, h, "root", hub.Root, alice)
	plain, err := h.Attach(t.Context(), []hub.Credentials{alice}, hub.Start{}) // it has no holder
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, err := h.Subscribe(t.Context(), []hub.Pair{{Client: one.ID, Channel: "/chat#club"}, {Client: one.ID, Channel: "/chat#x"}}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		audience hub.Audience
		want     string
	}{
		{hub.Audience{}, "root"},
		{hub.Audience{Namespace: "/chat"}, "one two"},
		{hub.Audience{Namespace: "/none"}, ""},
		{hub.Audience{Namespace: "/chat", Rooms: []string{"club"}}, "one two"},
		{hub.Audience{Namespace: "/chat", Rooms: []string{"club", "x", one.ID, "client:alice"}}, "one two"},
		{hub.Audience{Namespace: "/chat", Rooms: []string{"x", "none", "client:none", hub.NewSocketID()}}, "one"},
		{hub.Audience{Namespace: "/chat", Rooms: []string{"client:alice"}}, "two"},
		{hub.Audience{Rooms: []string{"client:alice"}}, "root"},
		{hub.Audience{Rooms: []string{"lobby", "/chat#club"}}, "root"},
		{hub.Audience{Namespace: "/chat", Except: []string{"x"}}, "two"},
		{hub.Audience{Namespace: "/chat", Except: []string{one.ID}}, "two"},
		{hub.Audience{Namespace: "/chat", Except: []string{"client:alice"}}, "one"},
		{hub.Audience{Namespace: "/chat", Except: []string{"club"}}, ""},
	} {
		holders, err := h.Readers(tt.audience)
		var names []string
		for _, one := range holders {
			names = append(names, one.(string))
		}
		slices.Sort(names)
		if err != nil || strings.Join(names, " ") != tt.want {
			t.Errorf("%+v: %q, %v; want %s", tt.audience, names, err, tt.want)
		}
	}
	for _, bad := range []hub.Audience{{Namespace: "chat"}, {Rooms: []string{""}}, {Rooms: make([]string, 6)}} {
		if _, err := h.Readers(bad); err == nil {
			t.Errorf("%+v is fine", bad)
		}
	}
	rooms := h.SocketRooms(one.ID, "/chat")
	slices.Sort(rooms)
	if !slices.Equal(rooms, []string{"club", "x"}) || h.SocketRooms("none", "/chat") != nil {
		t.Errorf("it is in %q", rooms)
	}
	for room, want := range map[string]bool{"club": true, "x": true, "none": false, "": false} {
		if got := h.InRoom(one.ID, "/chat", room); got != want {
			t.Errorf("in %q: %v", room, got)
		}
	}
}

// Data stays with a socket until it is forgotten, and with nobody else.
func TestSocketData(t *testing.T) {
	h := newHub(t, hub.Limits{SocketDataBytes: 10})
	create(t, h, "alice")
	cr, _, err := h.CreateSocket(t.Context(), hub.NewSocketID(), "/chat", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := h.SocketData(cr.ID); got != nil {
		t.Errorf("it has %s", got)
	}
	data := []byte(`{"a":1}`)
	if err := h.SetSocketData(t.Context(), cr.ID, data); err != nil {
		t.Error(err)
	}
	data[0] = 'x' // it is our own
	if got := h.SocketData(cr.ID); string(got) != `{"a":1}` {
		t.Errorf("it has %s", got)
	}
	if err := h.SetSocketData(t.Context(), cr.ID, []byte(`"0123456789"`)); !errors.Is(err, hub.ErrTooLarge) {
		t.Error(err)
	}
	for _, id := range []string{"alice", "none", hub.NewSocketID()} {
		if err := h.SetSocketData(t.Context(), id, []byte("1")); !errors.Is(err, hub.ErrUnknownClient) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := h.ForgetSocket(t.Context(), cr); err != nil || h.SocketData(cr.ID) != nil {
		t.Errorf("it is forgotten, %v, and has %s", err, h.SocketData(cr.ID))
	}
}

// A namespace is found by its name, or by the pattern that says most.
func TestDeclared(t *testing.T) {
	h := newHub(t, hub.Limits{Namespaces: 3, NameBytes: 40})
	declare := func(n hub.Namespace) error { return h.Declare(t.Context(), n) }
	for _, pattern := range []string{"/a*", "/ab*", "/abc"} {
		if err := declare(hub.Namespace{Pattern: pattern}); err != nil {
			t.Fatal(err)
		}
	}
	find := func(name string) string {
		n, ok := h.Declared(name)
		if !ok {
			return ""
		}
		return n.Pattern
	}
	for name, want := range map[string]string{"/a": "/a*", "/ab": "/ab*", "/abc": "/abc", "/abcd": "/ab*", "/b": ""} {
		if got := find(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	at := h.Position()
	if err := declare(hub.Namespace{Pattern: "/x"}); !errors.Is(err, hub.ErrLimitReached) {
		t.Error(err)
	}
	if err := declare(hub.Namespace{Pattern: "/x", Remove: true}); err != nil || h.Position() != at {
		t.Errorf("to remove what is not there changes something: %v", err)
	}
	if err := declare(hub.Namespace{Pattern: "/abc", Open: true}); err != nil {
		t.Error(err)
	}
	if n, _ := h.Declared("/abc"); !n.Open {
		t.Error("it is as it was")
	}
	if err := declare(hub.Namespace{Pattern: "/abc", Remove: true}); err != nil || find("/abc") != "/ab*" {
		t.Errorf("%v: it is there as %s", err, find("/abc"))
	}
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprint("e", i)
	}
	for _, bad := range []hub.Namespace{
		{}, {Pattern: "x"}, {Pattern: "/x,"}, {Pattern: "/" + strings.Repeat("x", 40)}, {Pattern: "/x", Handler: "\x00"},
		{Pattern: "/x", Events: []string{""}}, {Pattern: "/x", Events: []string{"connect"}}, {Pattern: "/x", Events: many},
		{Pattern: "/x", Relay: map[string]string{"disconnect": "y"}}, {Pattern: "/x", Relay: map[string]string{"y": ""}},
		{Pattern: "/x", Relay: map[string]string{"y": "/chat#"}}, {Pattern: "/x", Relay: map[string]string{"": "y"}},
	} {
		if err := declare(bad); err == nil {
			t.Errorf("%+.80v is fine", bad)
		}
	}
}

// Who wants to know what becomes of clients is told, in order; of sockets not.
func TestLives(t *testing.T) {
	var told []string
	kinds := map[hub.LifeKind]string{hub.LetGo: "let go", hub.Killed: "killed", hub.Back: "back"}
	h := hub.New(hub.Config{
		NewKey: func() string { return "key" },
		Lives: func(l hub.Life) {
			slices.Sort(l.Channels)
			told = append(told, fmt.Sprint(l.Client, " ", kinds[l.Kind], " ", l.Channels))
		},
	}, memory.New())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	defer func() { cancel(); <-done }()
	<-h.Ready()
	alice := create(t, h, "alice", "a", "b")
	create(t, h, "bob")
	if _, _, err := h.CreateSocket(ctx, hub.NewSocketID(), "/chat", "alice"); err != nil {
		t.Fatal(err)
	}
	for {
		if _, more, err := h.Expire(ctx, hub.Idle{After: time.Nanosecond, Socket: time.Nanosecond}, 100); err != nil {
			t.Fatal(err)
		} else if !more && len(told) == 2 {
			break
		}
	}
	slices.Sort(told) // of two at once
	s, err := h.Attach(ctx, []hub.Credentials{alice}, hub.Start{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := h.KillClient(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	h.KillClient(ctx, "bob") // who is gone already
	want := []string{"alice let go [a b]", "bob let go []", "alice back [a b]", "alice killed [a b]"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
