package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// undecided is the error of a handler that says of what kind it is.
type undecided struct{}

func (undecided) Error() string { return "nobody is at home" }
func (undecided) Kind() string  { return "handler_unavailable" }

// Who may join is for the handler to say.
func TestConnectIsDecided(t *testing.T) {
	r := newRecorder()
	r.connect = func(s *socketio.Socket, h *socketio.Handshake) error {
		switch {
		case strings.Contains(string(h.Auth), "refuse"):
			return fmt.Errorf("it says: %w", &socketio.Refusal{Message: "not you", Data: json.RawMessage(`{"why":1}`)})
		case strings.Contains(string(h.Auth), "undecided"):
			return undecided{}
		case strings.Contains(string(h.Auth), "panic"):
			panic("on purpose")
		}
		if h.Address == "" || h.Header.Get("Sec-Websocket-Version") != "13" || h.Protocol != 4 || h.Recovered {
			t.Errorf("%+v", h)
		}
		ctx := t.Context()
		return errors.Join(s.Join(ctx, "room"), s.SetData(ctx, json.RawMessage(`{"n":1}`)), s.Emit(ctx, "hello", json.RawMessage(`["you"]`)))
	}
	w := newWorld(t, socketio.Options{Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: r}, {Name: "/plain", Open: true}}}, hub.Limits{})
	p := w.dial("")
	p.send(`40/open,{"refuse":1,"pid":"secret"}`)
	p.expect(`44/open,{"message":"not you","data":{"why":1}}`)
	r.expect(t, `connected "" {"refuse":1}`)
	p.send(`40/open,{"undecided":1}`)
	p.expect("closed") // so that it comes again
	r.expect(t, `connected "" {"undecided":1}`)

	p = w.dial("")
	p.join("/plain", "")
	p.send(`40/open,{"undecided":1}`)
	p.expect(`44/open,{"message":"nobody can decide about that now","data":{"code":503,"type":"handler_unavailable"}}`)
	g := p.join("/open", `{"a":1}`)
	p.expect(`42/open,["hello","you"]`)
	w.emit(hub.Emission{Namespace: "/open", Rooms: []string{"room"}, Event: "in the room"})
	p.expect(`42/open,["in the room"]`)
	if got := w.hub.SocketData(g.SID); string(got) != `{"n":1}` {
		t.Errorf("it has %s", got)
	}
	p.send(`41/open,`)
	r.expect(t, `connected "" {"undecided":1}`, `connected "" {"a":1}`, "disconnected: client namespace disconnect")
	p.send(`40/open,{"panic":1}`)
	p.expect("closed")
	r.expect(t, `connected "" {"panic":1}`)
	w.until("nobody is left", func() bool { return w.hub.Stats().Sockets <= 1 }) // that of /plain could come back, if that were allowed
}

// Who is lost while it is decided leaves again, once it is let in.
func TestLostMeanwhile(t *testing.T) {
	r := newRecorder()
	decide := make(chan error)
	r.connect = func(*socketio.Socket, *socketio.Handshake) error { return <-decide }
	w := newWorld(t, socketio.Options{Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: r}}}, hub.Limits{})
	for _, err := range []error{nil, errors.New("no")} {
		p := w.dial("")
		p.send("40/open,")
		r.expect(t, `connected "" `)
		p.conn.CloseNow()
		w.until("it is lost", func() bool { return w.server.Stats().WebSocket == 0 })
		decide <- err
		if err == nil {
			r.expect(t, "disconnected: transport close")
		}
		w.until("it is forgotten", func() bool { return w.hub.Stats().Sockets == 0 })
	}
	if len(r.told) > 0 {
		t.Errorf("told %s", <-r.told)
	}
}

// Whoever comes back is known again, with its data and its rooms.
func TestComeBackToHandler(t *testing.T) {
	r := newRecorder()
	came := make(chan string, 10)
	r.connect = func(s *socketio.Socket, h *socketio.Handshake) error {
		came <- fmt.Sprintf("%s %v %s %q", s.ID(), h.Recovered, s.Data(), s.Rooms())
		if h.Recovered {
			return nil
		}
		return errors.Join(s.Join(t.Context(), "room"), s.SetData(t.Context(), json.RawMessage(`1`)))
	}
	w := newWorld(t, socketio.Options{RecoveryTime: patience, Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: r}}}, hub.Limits{})
	p := w.dial("")
	g := p.join("/open", "")
	w.emit(hub.Emission{Namespace: "/open", Event: "x"})
	at := offset(t, p.expect(`42/open,["x",*`))
	p.conn.CloseNow()
	r.expect(t, `connected "" `, "disconnected: transport close")
	p = w.dial("")
	if again := p.join("/open", "{"+back(g, at)+"}"); again.SID != g.SID {
		t.Errorf("it is %+v", again)
	}
	for _, want := range []string{g.SID + " false  []", g.SID + ` true 1 ["room"]`} {
		if got := <-came; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// What was said before a socket is sent away it still hears.
func TestDisconnectComesLast(t *testing.T) {
	r := newRecorder()
	r.event = func(s *socketio.Socket, e *socketio.Event) {
		for i := range 100 {
			if err := s.Emit(t.Context(), "n", json.RawMessage(fmt.Sprintf("[%d]", i))); err != nil {
				t.Error(err)
			}
		}
		if e.Name == "kick" {
			s.Disconnect()
		} else {
			if n, err := s.Server().Disconnect(t.Context(), hub.Audience{Namespace: "/open", Rooms: []string{s.ID()}}, true); n != 1 || err != nil {
				t.Error(n, err)
			}
		}
		if _, err := s.Ask(t.Context(), "x", json.RawMessage("[]")); err != socketio.ErrLeft {
			t.Error(err)
		}
	}
	w := newWorld(t, socketio.Options{Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: r}}}, hub.Limits{})
	for _, how := range []string{"kick", "close"} {
		p := w.dial("")
		p.join("/", authOf(w.client("alice")))
		p.join("/open", "")
		p.send(`42/open,["` + how + `"]`)
		for i := range 100 {
			p.expect(fmt.Sprintf(`42/open,["n",%d]`, i))
		}
		if how == "kick" {
			p.expect("41/open,")
			r.expect(t, `connected "" `, "kick []", "disconnected: server namespace disconnect")
			p.join("/open", "")
			r.expect(t, `connected "" `)
			p.conn.CloseNow()
			r.expect(t, "disconnected: transport close")
			continue
		}
		if got := []string{p.read(), p.read(), p.read()}; !slices.Contains(got, "41") || !slices.Contains(got, "41/open,") || got[2] != "closed" {
			t.Errorf("it ends with %q", got)
		}
	}
}

// A crowd is several sockets in one namespace.
func crowd(t *testing.T, w *world, n int) (peers []*peer, ids []string) {
	for range n {
		p := w.dial("")
		peers, ids = append(peers, p), append(ids, p.join("/open", "").SID)
	}
	return peers, ids
}

func found(t *testing.T, w *world, a hub.Audience) (ids []string) {
	t.Helper()
	all, err := w.server.Fetch(t.Context(), a, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		ids = append(ids, i.ID)
	}
	slices.Sort(ids)
	return ids
}

// Sockets can be spoken of together.
func TestFleet(t *testing.T) {
	w := newWorld(t, socketio.Options{Namespaces: []socketio.Namespace{{Name: "/open", Open: true}}}, hub.Limits{})
	peers, ids := crowd(t, w, 3)
	p := w.dial("")
	cr := w.client("alice", "lobby", "/open#club")
	root := p.join("/", authOf(cr)).SID
	inOpen := p.join("/open", authOf(cr)).SID
	ctx := t.Context()
	open := func(rooms ...string) hub.Audience { return hub.Audience{Namespace: "/open", Rooms: rooms} }
	check := func(a hub.Audience, want ...string) {
		t.Helper()
		want = slices.Sorted(slices.Values(want))
		if got := found(t, w, a); !slices.Equal(got, want) {
			t.Errorf("%+v are %q, want %q", a, got, want)
		}
	}
	check(open(), append(ids, inOpen)...)
	check(hub.Audience{}, root)
	check(hub.Audience{Rooms: []string{"lobby"}}, root)
	check(open("club"), inOpen)
	check(open("client:alice"), inOpen)
	if n, err := w.server.Join(ctx, open(ids[0], ids[1], ids[1]), []string{"a", "b"}); n != 2 || err != nil {
		t.Error(n, err)
	}
	check(open("a"), ids[:2]...)
	check(open("a", "club", ids[2], ids[0]), append(ids, inOpen)...)
	check(hub.Audience{Namespace: "/open", Except: []string{"a", "client:alice"}}, ids[2])
	if n, err := w.server.Leave(ctx, open("a"), []string{"a"}); n != 2 || err != nil {
		t.Error(n, err)
	}
	check(open("a"))
	check(open("b"), ids[:2]...)
	for _, room := range []string{"", ids[0], "client:alice", strings.Repeat("x", 300)} {
		if _, err := w.server.Join(ctx, open(ids[0]), []string{room}); !errors.Is(err, hub.ErrInvalid) {
			t.Errorf("to join %q: %v", room, err)
		}
	}
	info := func(id string) socketio.Info {
		all, err := w.server.Fetch(t.Context(), open(id), "", 2)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0]
	}
	every := found(t, w, open())
	if page, err := w.server.Fetch(t.Context(), open(), every[0], 2); err != nil || len(page) != 2 || page[0].ID != every[1] || page[1].ID != every[2] {
		t.Errorf("%+v, %v", page, err)
	}
	if err := w.server.SetData(ctx, inOpen, json.RawMessage(`[1]`)); err != nil {
		t.Error(err)
	}
	if i := info(inOpen); i.Client != "alice" || i.Namespace != "/open" || !slices.Equal(i.Rooms, []string{"club"}) || i.Transport != "websocket" ||
		!strings.HasPrefix(i.Address, "127.0.0.1:") || i.Connected.IsZero() || string(i.Data) != "[1]" {
		t.Errorf("%+v", i)
	}
	if err := w.server.SetData(ctx, "alice", json.RawMessage(`1`)); !errors.Is(err, hub.ErrUnknownClient) {
		t.Error(err)
	}
	if n, err := w.server.Disconnect(ctx, open("b"), false); n != 2 || err != nil {
		t.Error(n, err)
	}
	for _, p := range peers[:2] {
		p.expect("41/open,")
	}
	check(open(), ids[2], inOpen)
}

// Many are asked at once; who does not answer is named.
func TestAskAll(t *testing.T) {
	w := newWorld(t, socketio.Options{MaxAsked: 4, Namespaces: []socketio.Namespace{{Name: "/open", Open: true}}}, hub.Limits{})
	peers, ids := crowd(t, w, 4)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type result struct {
		all []socketio.Answer
		err error
	}
	done := make(chan result, 1)
	everybody := hub.Audience{Namespace: "/open"}
	go func() {
		all, err := w.server.AskAll(ctx, everybody, "who", json.RawMessage(`[1]`))
		done <- result{all, err}
	}()
	for _, p := range peers {
		p.expect(`42/open,0["who",1]`)
	}
	peers[0].send(`43/open,0["zero"]`)
	peers[1].send(`461-/open,0[{"_placeholder":true,"num":0}]`, "binary:\x01")
	peers[2].conn.CloseNow()
	w.until("they have answered", func() bool { s := w.server.Stats(); return s.Acks == 2 && s.Sockets == 3 })
	cancel()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	got := make(map[string]string)
	for _, a := range r.all {
		got[a.Socket] = fmt.Sprintf("%s %v", a.Args, a.Err)
	}
	for i, want := range []string{`["zero"] <nil>`, `[{"$binary":"AQ=="}] <nil>`, fmt.Sprint(" ", socketio.ErrLeft), fmt.Sprint(" ", socketio.ErrNoAnswer)} {
		if got[ids[i]] != want {
			t.Errorf("%d: got %s, want %s", i, got[ids[i]], want)
		}
	}
	crowd(t, w, 2)
	if _, err := w.server.AskAll(t.Context(), everybody, "who", json.RawMessage(`[]`)); !errors.Is(err, hub.ErrLimitReached) {
		t.Error(err)
	}
}

// Events can be handed on without a handler, by who is in the room.
func TestRelay(t *testing.T) {
	rules := map[string]string{"say": "lobby", "to": "*"}
	w := newWorld(t, socketio.Options{Namespaces: []socketio.Namespace{{Name: "/", Relay: rules}, {Name: "/open", Open: true, Relay: rules}}}, hub.Limits{MessageBytes: 1000})
	a, b := w.dial(""), w.dial("")
	a.join("/", authOf(w.client("alice", "lobby", "a b")))
	b.join("/", authOf(w.client("bob", "a b")))
	a.send(`420["say","hello",{"x":[1]}]`)
	a.expectBoth(`430[{"position":"*`, `42["say","hello",{"x":[1]}]`)
	if kept := history(t, w, "lobby"); len(kept) != 1 || string(kept[0].Sender) != `"alice"` {
		t.Errorf("kept: %+v", kept)
	}
	b.send(`420["say","hello"]`)
	b.expect(`430[{"error":{"type":"not_subscribed","message":"only who is in the room may say this in it"}}]`)
	b.send(`421["to","a b",1,2]`)
	b.expectBoth(`431[{"position":"*`, `42["to",1,2]`)
	a.expect(`42["to",1,2]`)
	for _, bad := range []string{`42%d["to"]`, `42%d["to",1]`, `42%d["to",null,1]`} {
		b.send(fmt.Sprintf(bad, 2))
		b.expect(`432[{"error":{"type":"bad_arguments",*`)
	}
	for _, room := range []string{"", "lobby", "@/#alice", "client:alice", "/#", "/open#"} {
		b.send(fmt.Sprintf(`423["to",%q,1]`, room))
		b.expect(`433[{"error":{"type":"not_subscribed",*`)
	}
	b.send(`424["to","a b","` + strings.Repeat("x", 2000) + `"]`)
	b.expect(`434[{"error":{"type":"too_large",*`)
	b.send(`425["other"]`)
	b.expect(`435[{"error":{"type":"no_handler","message":"nobody answers this here"}}]`)

	c := w.dial("")
	id := c.join("/open", "").SID
	w.subscribe(id, "/open#lobby")
	c.send(`42/open,["say","x"]`)
	c.expect(`42/open,["say","x"]`)
	if kept := history(t, w, "/open#lobby"); len(kept) != 1 || string(kept[0].Sender) != fmt.Sprintf("%q", id) {
		t.Errorf("kept: %+v", kept)
	}
}

func history(t *testing.T, w *world, channel string) (all []*hub.Message) {
	t.Helper()
	h, err := w.hub.History(hub.HistoryQuery{Channel: channel, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	return h.Messages
}

// What clients may say can be bounded.
func TestPermittedEvents(t *testing.T) {
	r := newRecorder()
	w := newWorld(t, socketio.Options{Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: r, Events: []string{"a", "b c"}}}}, hub.Limits{})
	p := w.dial("")
	p.join("/open", "")
	p.send(`42/open,["x"]`, `42/open,7["A"]`, `42/open,["b c",1]`, `42/open,["a"]`)
	p.expect(`43/open,7[{"error":{"type":"not_permitted","message":"clients may not say this here"}}]`)
	r.expect(t, `connected "" `, "b c [1]", "a []")
}

// Namespaces are found by name, by pattern, and among those that were declared.
func TestNamespaces(t *testing.T) {
	r := newRecorder()
	w := newWorld(t, socketio.Options{
		Namespaces: []socketio.Namespace{{Name: "/a", Open: true}, {Name: "/game-*", Open: true, Handler: r}, {Name: "/game-x*"}},
		Handlers:   map[string]socketio.Handler{"r": r},
	}, hub.Limits{Namespaces: 2})
	declare := func(n hub.Namespace) error { return w.server.Declare(t.Context(), n) }
	try := func(name string) string {
		t.Helper()
		p := w.dial("")
		defer p.conn.CloseNow()
		p.send("40" + name + ",")
		got := p.read()
		return strings.TrimPrefix(got[:strings.IndexByte(got, '{')], "4")
	}
	check := func(name, want string) {
		t.Helper()
		if got := try(name); got != want+name+"," {
			t.Errorf("%s: got %s", name, got)
		}
	}
	check("/a", "0")
	check("/b", "4")
	check("/game-1", "0")
	r.expect(t, `connected "" `, "disconnected: transport close")
	check("/game-x1", "4") // it asks for a key
	for _, n := range []hub.Namespace{{Pattern: "/b", Open: true, Handler: "r"}, {Pattern: "/dyn/*", Open: true}} {
		if err := declare(n); err != nil {
			t.Fatal(err)
		}
	}
	check("/b", "0")
	r.expect(t, `connected "" `, "disconnected: transport close")
	check("/dyn/1", "0")
	check("/dyn/1#hall", "4")
	if err := declare(hub.Namespace{Pattern: "/c"}); !errors.Is(err, hub.ErrLimitReached) {
		t.Error(err)
	}
	for _, bad := range []hub.Namespace{{Pattern: "/a"}, {Pattern: "/game-*"}, {Pattern: "b"}, {Pattern: "/b", Handler: "nobody"}, {Pattern: "/b", Relay: map[string]string{"connect": "x"}}} {
		if err := declare(bad); !errors.Is(err, hub.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	for _, n := range []hub.Namespace{{Pattern: "/dyn/*", Remove: true}, {Pattern: "/nothing", Remove: true}, {Pattern: "/game-x1", Open: true}} {
		if err := declare(n); err != nil {
			t.Fatal(err)
		}
	}
	check("/dyn/1", "4")
	check("/game-x1", "0") // a name comes before a pattern
}
