package hub_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// connect makes a socket in a namespace and a session that reads by it, and by
// the other credentials.
func connect(t testing.TB, h *hub.Hub, id, namespace string, also ...hub.Credentials) *hub.Session {
	t.Helper()
	owner := ""
	if len(also) > 0 {
		owner = also[0].ID
	}
	cr, _, err := h.CreateSocket(t.Context(), id, namespace, owner)
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Attach(t.Context(), append(also, cr), hub.Start{Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Collect()
	s.Commit()
	s.Writable()
	return s
}

func emission(event string, rooms ...string) hub.Emission {
	return hub.Emission{Rooms: rooms, Event: event, Args: json.RawMessage(`[1]`), Sender: json.RawMessage(`null`)}
}

func emit(t testing.TB, h *hub.Hub, e hub.Emission) hub.Published {
	t.Helper()
	p, err := h.Emit(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// heard takes what s has, and returns the names of its events.
func heard(s *hub.Session) string {
	var names []string
	b := s.Collect()
	for _, m := range b.Messages {
		if m.Notice == 0 {
			names = append(names, m.Event)
		}
	}
	s.Commit()
	if !b.More {
		s.Writable()
	}
	return strings.Join(names, " ")
}

func TestRooms(t *testing.T) {
	for _, tt := range []struct{ channel, namespace, room string }{
		{"lobby", "/", "lobby"},
		{"#golang", "/", "#golang"},
		{"a#b", "/", "a#b"},
		{"/", "/", "/"},
		{"/chat", "/", "/chat"},
		{"@", "/", "@"},
		{"@bob", "/", "@bob"},
		{"/chat#lobby", "/chat", "lobby"},
		{"/chat##golang", "/chat", "#golang"},
		{"/chat#", "/chat", ""},
		{"/#", "/", ""},
		{"/#/chat#x", "/", "/chat#x"},
	} {
		if ns, room := hub.SplitRoom(tt.channel); ns != tt.namespace || room != tt.room {
			t.Errorf("%q is %q of %q, want %q of %q", tt.channel, room, ns, tt.room, tt.namespace)
		}
		if got := hub.RoomChannel(tt.namespace, tt.room); got != tt.channel {
			t.Errorf("%q of %q is %q, want %q", tt.room, tt.namespace, got, tt.channel)
		}
	}
}

func TestEmitReachesEachOnce(t *testing.T) {
	for _, tt := range []struct {
		rooms, except []string
		want          string // who hears it
	}{
		{nil, nil, "s1 s2 s3"},
		{[]string{"red"}, nil, "alice s1 s2"},
		{[]string{"blue"}, nil, "alice s1 s2 s3"},
		{[]string{"red", "blue"}, nil, "alice s1 s2 s3"},
		{[]string{"blue", "red", "blue"}, nil, "alice s1 s2 s3"},
		{[]string{"s2"}, nil, "s2"},
		{[]string{"s3", "red", "s2"}, nil, "alice s1 s2 s3"},
		{[]string{"client:alice"}, nil, "alice s1 s2"},
		{[]string{"client:nobody", "nothing"}, nil, ""},
		{nil, []string{"s1"}, "s2 s3"},
		{nil, []string{"red"}, "s3"},
		{[]string{"blue"}, []string{"client:alice"}, "s3"},
		{[]string{"red", "blue"}, []string{"s3", "s1"}, "alice s2"},
		{[]string{"blue"}, []string{"alice"}, "alice s1 s2 s3"}, // a room of that name, not the client
	} {
		t.Run(fmt.Sprint(tt.rooms, "-", tt.except), func(t *testing.T) {
			h := newHub(t, hub.Limits{})
			alice, bob := create(t, h, "alice", "red", "blue"), create(t, h, "bob", "blue")
			sessions := map[string]*hub.Session{
				"s1": connect(t, h, "s1", "/", alice),
				"s2": connect(t, h, "s2", "/", alice),
				"s3": connect(t, h, "s3", "/", bob),
			}
			var err error
			if sessions["alice"], err = h.Attach(t.Context(), []hub.Credentials{alice}, hub.Start{}); err != nil {
				t.Fatal(err)
			}
			defer sessions["alice"].Close()
			sessions["other"] = connect(t, h, "s4", "/other", alice)
			e := emission("e", tt.rooms...)
			e.Except = tt.except
			emit(t, h, e)
			emit(t, h, emission("after", "red", "blue"))
			var who []string
			for name, s := range sessions {
				switch got := heard(s); {
				case got == "e after", got == "e":
					who = append(who, name)
				case name == "other" && got != "", name != "other" && got != "after":
					t.Errorf("%s heard %q", name, got)
				}
			}
			slices.Sort(who)
			if got := strings.Join(who, " "); got != tt.want {
				t.Errorf("it was heard by %q, want %q", got, tt.want)
			}
		})
	}
}

// What counts is where a reader was when the event was said.
func TestUnionIsOfThatMoment(t *testing.T) {
	h := newHub(t, hub.Limits{})
	alice := create(t, h, "alice", "blue")
	s := connect(t, h, "s1", "/", alice)
	emit(t, h, emission("early", "red", "blue"))
	subscribe(t, h, "alice", "red") // too late for the copy of red, which is listed first
	emit(t, h, emission("late", "red", "blue"))
	if got := heard(s); got != "early late" {
		t.Errorf("heard %q", got)
	}
	emit(t, h, emission("left", "red", "blue"))
	if _, err := h.Unsubscribe(t.Context(), []hub.Pair{{Client: "alice", Channel: "red"}}); err != nil {
		t.Fatal(err)
	}
	if got := heard(s); got != "left" { // by blue
		t.Errorf("heard %q", got)
	}
}

// Who has left a room since is still not meant, if that room was not; who has
// come to it since is.
func TestExceptIsOfThatMoment(t *testing.T) {
	h := newHub(t, hub.Limits{})
	alice, bob := create(t, h, "alice", "all", "not"), create(t, h, "bob", "all")
	a, b := connect(t, h, "s1", "/", alice), connect(t, h, "s2", "/", bob)
	e := emission("e", "all")
	e.Except = []string{"not"}
	emit(t, h, e)
	if _, err := h.Unsubscribe(t.Context(), []hub.Pair{{Client: "alice", Channel: "not"}}); err != nil {
		t.Fatal(err)
	}
	subscribe(t, h, "bob", "not")
	if got := heard(a); got != "" {
		t.Errorf("who was in the room hears %q", got)
	}
	if got := heard(b); got != "e" {
		t.Errorf("who was not hears %q", got)
	}
	emit(t, h, e)
	if got := heard(a); got != "e" {
		t.Errorf("who is not any more hears %q", got)
	}
	for i := range 140 { // what is remembered of that has an end
		name := fmt.Sprint("room", i)
		subscribe(t, h, "alice", name)
		if _, err := h.Unsubscribe(t.Context(), []hub.Pair{{Client: "alice", Channel: name}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.Pasts("alice"); n > 16 {
		t.Errorf("%d are remembered", n)
	}
}

// Names of channels that pages may have chosen get nobody into those of sockets.
func TestQuietChannelsAreNobodys(t *testing.T) {
	h := newHub(t, hub.Limits{})
	create(t, h, "alice")
	connect(t, h, "s1", "/")
	ctx := t.Context()
	for _, name := range []string{"/#", "/chat#", "@/#s1", "@/chat#x"} {
		pairs := []hub.Pair{{Client: "alice", Channel: name}}
		for what, err := range map[string]error{
			"subscribe":       func() error { _, err := h.Subscribe(ctx, pairs); return err }(),
			"unsubscribe":     func() error { _, err := h.Unsubscribe(ctx, pairs); return err }(),
			"unsubscribe all": h.UnsubscribeAll(ctx, name, nil),
			"publish":         func() error { _, err := h.Publish(ctx, publication(name, "x")); return err }(),
			"broadcast":       func() error { _, err := h.Broadcast(ctx, []string{"room", name}, publication("", "x")); return err }(),
			"delete":          func() error { _, err := h.DeleteChannel(ctx, name); return err }(),
		} {
			if !errors.Is(err, hub.ErrInvalid) {
				t.Errorf("%s %s: %v", what, name, err)
			}
		}
	}
	if got := h.Members("/#"); !slices.Equal(got, []string{"s1"}) {
		t.Errorf("members %q", got)
	}
}

// The key of a socket is told to nobody but who made it.
func TestSocketKeyIsPrivate(t *testing.T) {
	h := newHub(t, hub.Limits{})
	connect(t, h, "s1", "/")
	if key, _, err := h.CreateClient(t.Context(), "s1"); !errors.Is(err, hub.ErrInvalid) || key != "" {
		t.Errorf("created: %q, %v", key, err)
	}
	if key, _, err := h.RotateKey(t.Context(), "s1"); !errors.Is(err, hub.ErrInvalid) || key != "" {
		t.Errorf("rotated: %q, %v", key, err)
	}
}

func TestSocketBelongsToItsClient(t *testing.T) {
	h := newHub(t, hub.Limits{Clients: 2})
	alice := create(t, h, "alice")
	create(t, h, "bob")
	connect(t, h, "s1", "/", alice)
	connect(t, h, "s2", "/") // although there can be no more clients
	if _, _, err := h.CreateSocket(t.Context(), "s3", "/", ""); !errors.Is(err, hub.ErrLimitReached) {
		t.Errorf("a third socket: %v", err)
	}
	check := func(id, namespace, owner string, want bool) {
		t.Helper()
		if _, ok := h.SocketSince(id, namespace, owner); ok != want {
			t.Errorf("%s in %s of %q: %v", id, namespace, owner, ok)
		}
	}
	check("s1", "/", "alice", true)
	check("s1", "/chat", "alice", false)
	check("s1", "/", "bob", false)
	check("s1", "/", "", false)
	check("s2", "/", "", true)
	check("s2", "/", "alice", false)
	check("alice", "/", "", false)
	if err := h.KillClient(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	create(t, h, "alice")
	check("s1", "/", "alice", false)
	check("s1", "/", "", false)
}

// A copy may come in a later batch than the one that was heard.
func TestUnionAcrossBatches(t *testing.T) {
	h := newHub(t, hub.Limits{BatchMessages: 1})
	s := connect(t, h, "s1", "/", create(t, h, "alice", "a", "b", "c"))
	for i := range 5 {
		emit(t, h, emission(fmt.Sprint(i), "c", "a", "b"))
	}
	var all []string
	for range 40 {
		if one := heard(s); one != "" {
			all = append(all, one)
		}
	}
	if got := strings.Join(all, " "); got != "0 1 2 3 4" {
		t.Errorf("heard %q", got)
	}
}

func TestVolatileIsForTheMoment(t *testing.T) {
	h := newHub(t, hub.Limits{})
	alice := create(t, h, "alice", "room")
	s := connect(t, h, "s1", "/", alice)
	volatile := func(name string) {
		e := emission(name, "room")
		e.Volatile = true
		emit(t, h, e)
	}
	volatile("v1")
	emit(t, h, emission("e1", "room"))
	b := s.Collect()
	if len(b.Messages) != 2 || b.Messages[0].ID != b.Messages[1].ID-1 {
		t.Fatalf("%+v", b.Messages)
	}
	volatile("v2") // while the batch is under way
	emit(t, h, emission("e2", "room"))
	s.Commit()
	s.Writable()
	volatile("v3")
	if got := heard(s); got != "e2 v3" {
		t.Errorf("heard %q", got)
	}
	volatile("v4")
	s.Writable() // it could not take v4
	if got := heard(s); got != "" {
		t.Errorf("heard %q", got)
	}
	later, err := h.Attach(t.Context(), []hub.Credentials{alice}, hub.Start{})
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	b = later.Collect()
	for _, signal := range b.Signals {
		if signal.Type != hub.SignalChannels {
			t.Errorf("told of %+v", signal)
		}
	}
	if got := heard(later); got != "e1 e2" {
		t.Errorf("who comes later heard %q", got)
	}
}

// However many volatile events a channel drops, nobody misses anything, and they
// push nothing else out.
func TestVolatileLeavesNoHole(t *testing.T) {
	h := newHub(t, hub.Limits{ChannelNotices: 5})
	s := connect(t, h, "s1", "/", create(t, h, "alice", "room"))
	emit(t, h, emission("before", "room"))
	create(t, h, "bob", "room")
	for i := range 20 {
		e := emission(fmt.Sprint(i), "room")
		e.Volatile = true
		emit(t, h, e)
	}
	b := s.Collect()
	if len(b.Signals) > 0 || len(b.Messages) != 7 {
		t.Errorf("%d messages, and told of %+v", len(b.Messages), b.Signals)
	}
	if _, err := h.DeleteChannel(t.Context(), "room"); err != nil {
		t.Fatal(err)
	}
	s.Commit()
	for h.Deleted() > 0 {
		if err := h.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.Stats().Messages; n > 2 { // that two channels began
		t.Errorf("%d are kept", n)
	}
}

func TestRefusedEmitChangesNothing(t *testing.T) {
	h := newHub(t, hub.Limits{MessageBytes: 10})
	create(t, h, "alice")
	before := h.Position()
	e := emission("e", "client:alice")
	e.Args = json.RawMessage(`["something long"]`)
	if _, err := h.Emit(t.Context(), e); !errors.Is(err, hub.ErrTooLarge) {
		t.Error(err)
	}
	if at := h.Position(); at != before {
		t.Errorf("the log was at %v and is at %v", before, at)
	}
}

func TestQuietChannelsAreNotListed(t *testing.T) {
	h := newHub(t, hub.Limits{})
	create(t, h, "alice", "room", "/chat#room")
	connect(t, h, "s1", "/chat")
	emit(t, h, emission("e", "client:alice"))
	if names, err := h.ClientChannels("alice"); err != nil || !slices.Equal(names, []string{"room", "/chat#room"}) {
		t.Errorf("%q, %v", names, err)
	}
	for pattern, want := range map[string]string{"": "/chat#room admin room", "*": "/chat#room admin room", "/*": "/chat# /chat#room", "@*": "@/#alice"} {
		all, _ := h.ListChannels(hub.Listing{Pattern: pattern, Limit: 10})
		var names []string
		for _, ch := range all {
			names = append(names, ch.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q lists %s, want %s", pattern, got, want)
		}
	}
}

func TestQuietChannels(t *testing.T) {
	h := newHub(t, hub.Limits{})
	watcher, err := h.Attach(t.Context(), []hub.Credentials{create(t, h, "watcher", "admin")}, hub.Start{})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	watcher.Collect()
	watcher.Commit()
	connect(t, h, "s1", "/chat")
	emit(t, h, hub.Emission{Namespace: "/chat", Rooms: []string{"s1"}, Event: "e", Args: json.RawMessage(`[]`)})
	if err := h.KillClient(t.Context(), "s1"); err != nil {
		t.Fatal(err)
	}
	if b := watcher.Collect(); !b.Empty() {
		t.Errorf("told %+v %+v", b.Signals, b.Messages)
	}
}

func TestEmitRefuses(t *testing.T) {
	h := newHub(t, hub.Limits{RoomsPerEmit: 2, NameBytes: 20})
	for _, tt := range []struct {
		name   string
		change func(*hub.Emission)
		want   error
	}{
		{"no name", func(e *hub.Emission) { e.Event = "" }, hub.ErrInvalid},
		{"a long name", func(e *hub.Emission) { e.Event = strings.Repeat("x", 21) }, hub.ErrInvalid},
		{"a reserved name", func(e *hub.Emission) { e.Event = "disconnect" }, hub.ErrInvalid},
		{"an empty room", func(e *hub.Emission) { e.Rooms = []string{""} }, hub.ErrInvalid},
		{"an empty exception", func(e *hub.Emission) { e.Except = []string{""} }, hub.ErrInvalid},
		{"a namespace without /", func(e *hub.Emission) { e.Namespace = "chat" }, hub.ErrInvalid},
		{"a namespace with #", func(e *hub.Emission) { e.Namespace = "/a#b" }, hub.ErrInvalid},
		{"too many rooms", func(e *hub.Emission) { e.Rooms, e.Except = []string{"a", "b"}, []string{"c"} }, hub.ErrLimitReached},
	} {
		e := emission("e", "room")
		tt.change(&e)
		if _, err := h.Emit(t.Context(), e); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestEmitOnce(t *testing.T) {
	h := newHub(t, hub.Limits{})
	s := connect(t, h, "s1", "/", create(t, h, "alice", "room"))
	e := emission("e", "room", "s1")
	e.PublishID = "1"
	first, again := emit(t, h, e), emit(t, h, e)
	if !again.Repeated || again.Position != first.Position {
		t.Errorf("%+v after %+v", again, first)
	}
	e.Except = []string{"x"}
	if _, err := h.Emit(t.Context(), e); !errors.Is(err, hub.ErrConflict) {
		t.Errorf("something else under its id: %v", err)
	}
	if got := heard(s); got != "e" {
		t.Errorf("heard %q", got)
	}
}

func TestSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{LetGoAge: time.Hour})
		create(t, h, "alice")
		cr, _, err := h.CreateSocket(t.Context(), "s1", "/", "alice")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.CreateSocket(t.Context(), "alice", "/", ""); !errors.Is(err, hub.ErrConflict) {
			t.Errorf("a socket with a client's name: %v", err)
		}
		if s := h.Stats(); s.Clients != 1 || s.Sockets != 1 {
			t.Errorf("%d clients, %d sockets", s.Clients, s.Sockets)
		}
		if all, _ := h.ListClients(hub.Listing{Limit: 10}); len(all) != 1 {
			t.Errorf("listed: %+v", all)
		}
		// It may come back for longer than a client may be idle, and has what was
		// said to it alone.
		time.Sleep(59 * time.Minute)
		h.Expire(t.Context(), hub.Idle{After: time.Second}, 10)
		emit(t, h, emission("e", "s1"))
		s, err := h.Attach(t.Context(), []hub.Credentials{cr}, hub.Start{Namespace: "/"})
		if err != nil {
			t.Fatal(err)
		}
		if got := heard(s); got != "e" {
			t.Errorf("heard %q", got)
		}
		s.Close()
		time.Sleep(time.Hour + time.Minute)
		h.Expire(t.Context(), hub.Idle{After: time.Second}, 10)
		if s := h.Stats(); s.Sockets != 0 || s.LetGoClients != 2 {
			t.Errorf("%d sockets, %d let go", s.Sockets, s.LetGoClients)
		}
		if err := h.KillClient(t.Context(), "s1"); !errors.Is(err, hub.ErrUnknownClient) || h.Opens(cr) {
			t.Errorf("killed: %v", err)
		}
	})
}

// Whoever may not hear an event does not, and everybody else does, whatever has
// become of the room that it is not for.
func TestExceptAndDeletedChannels(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before bool // the room is deleted before the event, else after
		want   string
	}{{"deleted before", true, "e"}, {"deleted after", false, ""}} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub(t, hub.Limits{})
			s := connect(t, h, "s1", "/", create(t, h, "alice", "all", "not"))
			remove := func() {
				if _, err := h.DeleteChannel(t.Context(), "not"); err != nil {
					t.Fatal(err)
				}
				subscribe(t, h, "alice", "other") // which tidies what she is on
			}
			if tt.before {
				remove()
			}
			e := emission("e", "all")
			e.Except = []string{"not"}
			emit(t, h, e)
			if !tt.before {
				remove()
			}
			if got := heard(s); got != tt.want {
				t.Errorf("heard %q, want %q", got, tt.want)
			}
		})
	}
}

// Who has heard one copy of an event does not hear the next for having left.
func TestUnionCutAndLeft(t *testing.T) {
	h := newHub(t, hub.Limits{BatchMessages: 1})
	s := connect(t, h, "s1", "/", create(t, h, "alice", "a", "b"))
	for s.Collect().More { // what she is told of herself
		s.Commit()
	}
	s.Commit()
	emit(t, h, emission("e", "a", "b"))
	if got := heard(s); got != "e" {
		t.Fatalf("heard %q", got)
	}
	if _, err := h.Unsubscribe(t.Context(), []hub.Pair{{Client: "alice", Channel: "a"}}); err != nil {
		t.Fatal(err)
	}
	emit(t, h, emission("end", "b"))
	for got := ""; got != "end"; {
		if got = heard(s); got == "e" {
			t.Fatal("heard it again")
		}
	}
}

// What is said to a socket that has gone is said to nobody.
func TestEmitToTheGone(t *testing.T) {
	h := newHub(t, hub.Limits{})
	id := hub.NewSocketID()
	cr, _, err := h.CreateSocket(t.Context(), id, "/", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.ForgetSocket(t.Context(), hub.Credentials{ID: id, Key: "another"}); err != nil || !h.Opens(cr) {
		t.Errorf("forgotten with another key: %v", err)
	}
	if err := h.ForgetSocket(t.Context(), cr); err != nil || h.Opens(cr) {
		t.Errorf("not forgotten: %v", err)
	}
	before := h.Position()
	if p := emit(t, h, emission("e", id, "client:nobody")); p.Position != before || h.Position() != before {
		t.Errorf("the log was at %v and is at %v", before, h.Position())
	}
}

// Nobody's subscriptions keep an event from the others.
func TestEmitToFullClients(t *testing.T) {
	h := newHub(t, hub.Limits{SubscriptionsPerClient: 1})
	s := connect(t, h, "s1", "/", create(t, h, "alice", "lobby"))
	emit(t, h, emission("e", "client:alice", "lobby", "s1", "client:s1"))
	if got := heard(s); got != "e" {
		t.Errorf("heard %q", got)
	}
}

// In a poll of 2010 for several clients each gets its own, whatever another tab
// has taken.
func TestUnionInPolls(t *testing.T) {
	h := newHub(t, hub.Limits{})
	alice, bob := create(t, h, "alice", "a", "b"), create(t, h, "bob", "b")
	poll := func(creds ...hub.Credentials) (texts []string) {
		p, err := h.AttachPoll(t.Context(), creds, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		messages, err := p.Collect()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if m.Event != "" {
				texts = append(texts, m.Channel())
			}
		}
		p.Done(true)
		return texts
	}
	poll(alice)
	poll(bob)
	emit(t, h, emission("e", "a", "b"))
	if got := poll(alice); !slices.Equal(got, []string{"a"}) {
		t.Errorf("alice's tab has %q", got)
	}
	if got := poll(alice, bob); !slices.Equal(got, []string{"b"}) {
		t.Errorf("the tab of both has %q", got)
	}
}

// Volatile events are bounded as all else is, and nobody else's messages go for
// them.
func TestVolatileIsBounded(t *testing.T) {
	h := newHub(t, hub.Limits{ChannelBytes: 20_000, MessageBytes: 10_000, TotalBytes: 60_000})
	publish(t, h, "other", "x")
	for range 50 {
		e := emission("e", "room")
		e.Args, e.Volatile = json.RawMessage(`["`+strings.Repeat("x", 9000)+`"]`), true
		emit(t, h, e)
	}
	kept, err := h.History(hub.HistoryQuery{Channel: "other", Limit: 10})
	if err != nil || len(kept.Messages) != 1 {
		t.Errorf("%d messages are left, %v", len(kept.Messages), err)
	}
}

// Many emit, join and leave at once: nobody hears anything twice or misses it.
func TestConcurrentEmits(t *testing.T) {
	const total = 500
	h := newHub(t, hub.Limits{BatchMessages: 7})
	alice := create(t, h, "alice", "base", "a")
	var readers, movers sync.WaitGroup
	for i := range 4 {
		s := connect(t, h, fmt.Sprint("s", i), "/", alice)
		readers.Go(func() {
			for next := 0; next < total; {
				b := s.Collect()
				for _, m := range b.Messages {
					if m.Event == "" {
						continue
					}
					if want := fmt.Sprintf("[%d]", next); string(m.Data) != want {
						t.Errorf("s%d hears %s, want %s", i, m.Data, want)
						return
					}
					next++
				}
				s.Commit()
			}
		})
	}
	stop := make(chan struct{})
	movers.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			p := []hub.Pair{{Client: "alice", Channel: string(rune('a' + i%3))}}
			if i/3%2 == 0 {
				h.Subscribe(t.Context(), p)
			} else {
				h.Unsubscribe(t.Context(), p)
			}
			runtime.Gosched()
		}
	})
	for i := range total {
		e := emission("e", "a", "b", "base", "c")
		e.Args = json.RawMessage(fmt.Sprintf("[%d]", i))
		emit(t, h, e)
	}
	readers.Wait()
	close(stop)
	movers.Wait()
}
