package socketio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

func recovering() socketio.Options { return socketio.Options{RecoveryTime: time.Minute} }

var openChat = []socketio.Namespace{{Name: "/open", Open: true}, {Name: "/chat"}}

func TestConnect(t *testing.T) {
	o := recovering()
	o.Namespaces, o.MaxNamespaces = openChat, 2
	w := newWorld(t, o, hub.Limits{})
	alice := w.client("alice")
	token := alice.ID + hub.Delimiter + alice.Key
	const unauthorized = `{"message":"unauthorized","data":{"code":401,"type":"unauthorized"}}`
	for _, tt := range []struct{ name, query, say, want string }{
		{"id and key", "", "40" + authOf(alice), `40{"sid":"*`},
		{"a token", "", `40{"token":"` + token + `"}`, `40{"sid":"*`},
		{"a token as id", "", `40{"client_id":"` + token + `"}`, `40{"sid":"*`},
		{"a token in the query", "client_id=" + token, `40`, `40{"sid":"*`},
		{"id and key in the query", "client_id=alice&key=" + alice.Key, `40{}`, `40{"sid":"*`},
		{"better auth than query", "client_id=bob&key=x", "40" + authOf(alice), `40{"sid":"*`},
		{"nothing", "", `40`, "44" + unauthorized},
		{"a wrong key", "", `40{"client_id":"alice","key":"x"}`, "44" + unauthorized},
		{"no client", "", `40{"client_id":"bob","key":"x"}`, "44" + unauthorized},
		{"numbers", "", `40{"client_id":1,"key":2}`, "44" + unauthorized},
		{"other spellings", "", `40{"CLIENT_ID":"alice","KEY":"` + alice.Key + `"}`, "44" + unauthorized},
		{"names of prototypes", "", `40{"__proto__":{"client_id":"alice"},"constructor":1}`, "44" + unauthorized},
		{"a wrong cursor", "", "40" + authOf(alice, `"cursor":"x"`), `44{"message":"cursor: must be a position, \"now\" or \"oldest\"","data":{"code":400,"type":"invalid_request"}}`},
		{"a namespace", "", "40/chat," + authOf(alice), `40/chat,{"sid":"*`},
		{"a namespace without a key", "", "40/chat,", "44/chat," + unauthorized},
		{"an open one", "", "40/open", `40/open,{"sid":"*`},
		{"an open one with something else's token", "", `40/open,{"token":"123"}`, `40/open,{"sid":"*`},
		{"an open one with a wrong key", "", `40/open,{"client_id":"alice","key":"x"}`, "44/open," + unauthorized},
		{"no namespace", "", "40/other,{}", `44/other,{"message":"Invalid namespace"}`},
		{"no namespace called __proto__", "", "40/__proto__,{}", `44/__proto__,{"message":"Invalid namespace"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := w.dial(tt.query)
			p.send(tt.say)
			p.expect(tt.want)
			p.conn.CloseNow()
		})
	}
	t.Run("too many namespaces", func(t *testing.T) {
		p := w.dial("")
		p.send("40"+authOf(alice), "40/open,", "40/chat,"+authOf(alice))
		got := map[string]bool{}
		for range 3 {
			text, _, _ := strings.Cut(p.read(), "{")
			got[text] = true
		}
		if !got["44/chat,"] {
			t.Errorf("got %v", got)
		}
		p.conn.CloseNow()
	})
	w.until("all have gone", func() bool { s := w.server.Stats(); return s.Sockets == 0 && s.WebSocket == 0 })
}

// What ends the whole connection.
func TestNonsense(t *testing.T) {
	o := socketio.Options{Namespaces: openChat, ConnectTimeout: 2 * time.Second}
	w := newWorld(t, o, hub.Limits{})
	for name, packets := range map[string][]string{
		"nothing":                        nil,
		"no CONNECT that is granted":     {"40"},
		"an unknown type":                {"40/open,", "47"},
		"no JSON":                        {"40/open,", `42/open,[`},
		"an object":                      {"40/open,", `42/open,{}`},
		"no name":                        {"40/open,", `42/open,[]`},
		"a reserved name":                {"40/open,", `42/open,["disconnect"]`},
		"an id without JSON":             {"40/open,", `42/open,abc["x"]`},
		"another namespace":              {"40/open,", `42["x"]`},
		"a second CONNECT":               {"40/open,", "40/open,"},
		"a refusal":                      {"40/open,", `44/open,{"message":"x"}`},
		"text in place of an attachment": {"40/open,", `451-/open,["x",{"_placeholder":true,"num":0}]`, `42/open,["x"]`},
		"an attachment of nothing":       {"40/open,", "binary:x"},
		"attachments before it joins":    {`451-/open,["x",{"_placeholder":true,"num":0}]`},
		"too large with its attachments": {"40/open,", `452-/open,["x"]`, "binary:" + strings.Repeat("x", 600_000), "binary:" + strings.Repeat("x", 600_000)},
		"too many attachments":           {"40/open,", `4511-/open,["x"]`},
		"a thousand million attachments": {"40/open,", `451000000000-/open,["x"]`},
		"a placeholder out of range":     {"40/open,", `451-/open,["x",{"_placeholder":true,"num":1}]`, "binary:x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := w.dial("")
			p.t = t
			for _, one := range packets {
				if one == "40/open," && packets[len(packets)-1] != "40/open," {
					p.join("/open", "")
					continue
				}
				p.send(one)
			}
			for end := ""; end != "closed"; {
				if end = p.read(); end != "closed" && end[:2] != "40" && end[:2] != "44" {
					t.Errorf("got %s", end)
				}
			}
		})
	}
}

func TestHears(t *testing.T) {
	o := recovering()
	o.Namespaces = openChat
	w := newWorld(t, o, hub.Limits{})
	alice := w.client("alice", "lobby", "/chat#lobby")
	p := w.dial("")
	root := p.join("/", authOf(alice))
	chat := p.join("/chat", authOf(alice))
	open := p.join("/open", "")
	if root.PID == "" || root.SID == chat.SID || root.SID == open.SID {
		t.Errorf("%+v %+v %+v", root, chat, open)
	}
	at := w.publish("lobby", "hello")
	var event struct {
		Channel, Pos, Data string
		ID                 uint64
	}
	text := p.expect(`42["message",{"channel":"lobby",*`)
	json.Unmarshal([]byte(text[len(`42["message",`):strings.LastIndex(text, ",")]), &event)
	if event.ID != at.ID || event.Data != "hello" || event.Pos != at.Position.String() || offset(t, text) != event.Pos {
		t.Errorf("%s", text)
	}
	w.publish("/chat#lobby", "hello")
	p.expect(`42/chat,["message",{"channel":"/chat#lobby",*`)

	for _, tt := range []struct {
		e    hub.Emission
		want string
	}{
		{hub.Emission{Rooms: []string{"lobby"}, Event: "e", Args: json.RawMessage(`[1,{"a":"é"}]`)}, `42["e",1,{"a":"é"},"*`},
		{hub.Emission{Rooms: []string{"lobby", root.SID}, Event: "once"}, `42["once","*`},
		{hub.Emission{Event: "all"}, `42["all","*`},
		{hub.Emission{Namespace: "/chat", Event: "all"}, `42/chat,["all","*`},
		{hub.Emission{Namespace: "/open", Event: "all"}, `42/open,["all","*`},
		{hub.Emission{Namespace: "/chat", Rooms: []string{"lobby"}, Event: "e"}, `42/chat,["e","*`},
		{hub.Emission{Namespace: "/open", Rooms: []string{open.SID}, Event: "e"}, `42/open,["e","*`},
		{hub.Emission{Rooms: []string{"client:alice"}, Event: "e"}, `42["e","*`},
		{hub.Emission{Namespace: "/chat", Rooms: []string{"client:alice"}, Event: "e"}, `42/chat,["e","*`},
		{hub.Emission{Event: "message", Args: json.RawMessage(`["plain"]`)}, `42["message","plain","*`},
	} {
		at := w.emit(tt.e)
		got := offset(t, p.expect(tt.want))
		if tt.e.Event != "once" && got != at.Position.String() {
			t.Errorf("the offset is %s, want %s", got, at.Position)
		}
	}
	w.emit(hub.Emission{Event: "not for it", Except: []string{root.SID}})
	w.emit(hub.Emission{Rooms: []string{"lobby"}, Event: "binary", Args: json.RawMessage(`[{"$binary":"AQID"},{"x":[{"$binary":""}]}]`)})
	p.expect(`452-["binary",{"_placeholder":true,"num":0},{"x":[{"_placeholder":true,"num":1}]},"*`, "binary:\x01\x02\x03", "binary:")

	p.send("41/chat,")
	w.until("it has left", func() bool { return w.server.Stats().Sockets == 2 })
	w.emit(hub.Emission{Namespace: "/chat", Event: "nobody"})
	w.emit(hub.Emission{Namespace: "/open", Event: "last"})
	p.expect(`42/open,["last",*`)
}

// By polling the same is heard, and nothing of what is for the moment only.
func TestPollingHears(t *testing.T) {
	w := newWorld(t, recovering(), hub.Limits{})
	alice := w.client("alice", "lobby")
	p := w.poller("")
	p.post("40" + authOf(alice))
	if got := p.get(); !strings.HasPrefix(got, `40{"sid":`) {
		t.Fatal(got)
	}
	w.emit(hub.Emission{Rooms: []string{"lobby"}, Event: "a", Args: json.RawMessage(`[{"$binary":"AQID"}]`)})
	w.emit(hub.Emission{Rooms: []string{"lobby"}, Event: "volatile", Volatile: true})
	w.publish("lobby", "b")
	parts := strings.Split(p.get(), "\x1e")
	if len(parts) != 3 || !strings.HasPrefix(parts[0], `451-["a",`) || parts[1] != "bAQID" || !strings.HasPrefix(parts[2], `42["message",`) {
		t.Fatalf("%q", parts)
	}
	got := make(chan string)
	go func() { got <- p.get() }()
	w.until("the poll is held", func() bool {
		w.emit(hub.Emission{Rooms: []string{"lobby"}, Event: "now", Volatile: true})
		select {
		case text := <-got:
			if !strings.HasPrefix(text, `42["now",`) {
				t.Errorf("%q", text)
			}
			return true
		default:
			return false
		}
	})
}

func TestRecovery(t *testing.T) {
	type story struct {
		w     *world
		alice hub.Credentials
		g     greeting
		at    string // the offset of the last event
	}
	for _, tt := range []struct {
		name   string
		away   func(s *story) // what happens while it is away
		auth   func(s *story) string
		same   bool     // it comes back as the one that it was
		events []string // what it hears then, before "after"
	}{
		{"nothing happens", func(*story) {}, nil, true, nil},
		{"it misses something", func(s *story) {
			s.w.publish("lobby", "x")
			s.w.emit(hub.Emission{Event: "all"})
			s.w.emit(hub.Emission{Rooms: []string{s.g.SID}, Event: "direct"})
			s.w.emit(hub.Emission{Event: "not for it", Except: []string{s.g.SID}})
			s.w.emit(hub.Emission{Event: "v", Volatile: true})
		}, nil, true, []string{`42["message",*`, `42["all",*`, `42["direct",*`}},
		{"its rooms are others now", func(s *story) {
			s.w.publish("lobby", "cancelled")
			s.w.hub.Unsubscribe(context.Background(), []hub.Pair{{Client: "alice", Channel: "lobby"}})
			s.w.publish("kitchen", "too early")
			s.w.subscribe("alice", "kitchen")
			s.w.emit(hub.Emission{Rooms: []string{"lobby", "kitchen"}, Event: "e"})
		}, nil, true, []string{`42["e",*`}},
		{"something is lost", func(s *story) {
			for i := range 8 {
				s.w.publish("lobby", fmt.Sprint(i))
			}
		}, nil, false, []string{`42["message",{"channel":"lobby","id":8,*`, `42["message",{"channel":"lobby","id":9,*`, `42["message",{"channel":"lobby","id":10,*`}},
		{"it has another pid", func(s *story) { s.w.publish("lobby", "x") }, func(s *story) string {
			s.g.PID = s.g.PID[:len(s.g.PID)-1] + "x"
			return authOf(s.alice, back(s.g, s.at))
		}, false, []string{`42["message",*`}},
		{"a pid too short", func(*story) {}, func(s *story) string { return authOf(s.alice, `"pid":"x"`) }, false, nil},
		{"an offset of another log", func(s *story) { s.w.publish("lobby", "x") }, func(s *story) string {
			return authOf(s.alice, back(s.g, "00000000000000ff.5"))
		}, false, []string{`42["message",*`, `42["message",*`}},
		{"an offset that is none", func(s *story) { s.w.publish("lobby", "x") }, func(s *story) string {
			return authOf(s.alice, back(s.g, "x"))
		}, true, []string{`42["message",*`, `42["message",*`}},
		{"without an offset", func(s *story) { s.w.publish("lobby", "x") }, func(s *story) string {
			return authOf(s.alice, back(s.g, ""))
		}, true, []string{`42["message",*`, `42["message",*`}},
		{"with a cursor", func(s *story) { s.w.publish("lobby", "x") }, func(s *story) string {
			return authOf(s.alice, back(s.g, s.at), `"cursor":"now"`) // where it was counts more
		}, true, []string{`42["message",*`}},
		{"its client has another key", func(s *story) {
			key, _, _ := s.w.hub.RotateKey(context.Background(), "alice")
			s.alice.Key = key
		}, nil, true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, recovering(), hub.Limits{ChannelMessages: 3})
			s := &story{w: w, alice: w.client("alice", "lobby")}
			p := w.dial("")
			s.g = p.join("/", authOf(s.alice))
			was := s.g
			w.publish("lobby", "first")
			s.at = offset(t, p.read())
			p.conn.CloseNow()
			w.until("it has gone", func() bool { return w.server.Stats().Sockets == 0 })
			tt.away(s)
			auth := ""
			if tt.auth != nil {
				auth = tt.auth(s)
			} else {
				auth = authOf(s.alice, back(s.g, s.at))
			}
			p = w.dial("")
			if g := p.join("/", auth); (g == was) != tt.same {
				t.Errorf("it was %+v and is %+v", was, g)
			}
			p.expect(tt.events...)
			w.emit(hub.Emission{Event: "after"})
			p.expect(`42["after",*`)
			if n := w.server.Stats().Recovered; (n == 1) != tt.same {
				t.Errorf("%d recovered", n)
			}
		})
	}
}

// Where a first visit begins.
func TestCursor(t *testing.T) {
	w := newWorld(t, recovering(), hub.Limits{})
	alice := w.client("alice", "lobby")
	at := w.publish("lobby", "1")
	w.publish("lobby", "2")
	for _, tt := range []struct{ auth, want string }{
		{authOf(alice), ""},
		{authOf(alice, `"cursor":"now"`), ""},
		{authOf(alice, `"cursor":"oldest"`), `42["message",{"channel":"lobby","id":2,*`},
		{authOf(alice, fmt.Sprintf(`"cursor":%q`, at.Position)), `42["message",{"channel":"lobby","id":3,*`},
	} {
		p := w.dial("")
		g := p.join("/", tt.auth)
		w.emit(hub.Emission{Rooms: []string{g.SID}, Event: "end"})
		if tt.want == "" {
			tt.want = `42["end",*`
		}
		p.expect(tt.want)
		p.conn.CloseNow()
	}
}

// One packet may be as large as the client was told, whatever else is allowed.
func TestLargeEvent(t *testing.T) {
	r := newRecorder()
	w := newWorld(t, socketio.Options{MaxWaiting: 1000, Namespaces: []socketio.Namespace{{Name: "/open", Open: true, Handler: r}}}, hub.Limits{})
	r.event = func(_ *socketio.Socket, e *socketio.Event) { e.Ack(e.Args) }
	p := w.dial("")
	p.join("/open", "")
	large := `["` + strings.Repeat("x", 900_000) + `"]`
	p.send(`42/open,1["e",` + large[1:])
	p.expect(`43/open,1` + large)
}

func TestNoReturn(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    socketio.Options
		end  func(w *world, p *peer)
	}{
		{"it has left", recovering(), func(_ *world, p *peer) { p.send("41"); p.conn.CloseNow() }},
		{"it made no sense", recovering(), func(_ *world, p *peer) { p.send("4x"); p.expect("closed") }},
		{"the time is over", socketio.Options{RecoveryTime: time.Millisecond}, func(_ *world, p *peer) { p.conn.CloseNow() }},
		{"there is no recovery", socketio.Options{}, func(_ *world, p *peer) { p.conn.CloseNow() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.o, hub.Limits{})
			alice := w.client("alice")
			p := w.dial("")
			g := p.join("/", authOf(alice))
			if (g.PID == "") != (tt.o.RecoveryTime == 0) {
				t.Errorf("%+v", g)
			}
			tt.end(w, p)
			w.until("it is forgotten", func() bool { return w.hub.Stats().Sockets == 0 && w.hub.Stats().LetGoClients == 0 })
			if again := w.dial("").join("/", authOf(alice, back(g, ""))); again.SID == g.SID {
				t.Error("it came back")
			}
		})
	}
}

// Who has not heard anything yet is not told that nothing is lost if something is.
func TestHoleBeforeTheFirstEvent(t *testing.T) {
	for _, cursor := range []string{"oldest", "now", ""} {
		w := newWorld(t, recovering(), hub.Limits{ChannelMessages: 3})
		alice := w.client("alice", "lobby")
		auth := fmt.Sprintf(`"cursor":%q`, cursor)
		p := w.dial("")
		g := p.join("/", authOf(alice, auth))
		p.conn.CloseNow()
		w.until("it has gone", func() bool { return w.server.Stats().Sockets == 0 })
		for i := range 8 {
			w.publish("lobby", fmt.Sprint(i))
		}
		p = w.dial("")
		if now := p.join("/", authOf(alice, back(g, ""), auth)); now.SID == g.SID {
			t.Errorf("%q: it came back", cursor)
		}
		p.expect(`42["message",{"channel":"lobby","id":7,*`)
	}
}

// An old client has the same id each time that it joins.
func TestOldClientsRejoin(t *testing.T) {
	o := recovering()
	o.AllowEIO3, o.Namespaces = true, openChat
	o.MaxPackets = 1_000_000
	w := newWorld(t, o, hub.Limits{})
	p := w.dial("EIO=3")
	p.read()
	for range 300 {
		p.send("40/open")
		p.expect("40/open,")
		p.send("41/open,")
	}
}

// A pid is worth nothing with another's key, also if that other has the same name.
func TestNoReturnAsSomebodyElse(t *testing.T) {
	o := recovering()
	o.Namespaces = openChat
	w := newWorld(t, o, hub.Limits{})
	bob := w.client("bob", "lobby")
	for _, tt := range []struct {
		name, namespace string
		before, after   func(alice hub.Credentials) string
	}{
		{"another client", "/", func(a hub.Credentials) string { return authOf(a) }, func(hub.Credentials) string { return authOf(bob) }},
		{"the name's next one", "/", func(a hub.Credentials) string { return authOf(a) }, func(hub.Credentials) string {
			w.hub.KillClient(t.Context(), "alice")
			return authOf(w.client("alice", "lobby"))
		}},
		{"first nobody", "/open", func(hub.Credentials) string { return "{}" }, func(a hub.Credentials) string { return authOf(a) }},
		{"then nobody", "/open", func(a hub.Credentials) string { return authOf(a) }, func(hub.Credentials) string { return "{" + "}" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alice := w.client("alice", "lobby")
			p := w.dial("")
			g := p.join(tt.namespace, tt.before(alice))
			p.conn.CloseNow()
			w.until("it has gone", func() bool { return w.server.Stats().Sockets == 0 })
			auth := tt.after(alice)
			if auth == "{}" {
				auth = "{" + back(g, "") + "}"
			} else {
				auth = auth[:len(auth)-1] + "," + back(g, "") + "}"
			}
			p = w.dial("")
			if now := p.join(tt.namespace, auth); now.SID == g.SID {
				t.Error("it came back")
			}
			p.conn.CloseNow()
			w.until("it has gone", func() bool { return w.server.Stats().Sockets == 0 })
		})
	}
}

// Those who have gone do not fill the server.
func TestFewMayReturn(t *testing.T) {
	o := recovering()
	o.MaxSessions = 3
	w := newWorld(t, o, hub.Limits{})
	alice := w.client("alice")
	var first, last greeting
	for i := range 8 {
		p := w.dial("")
		last = p.join("/", authOf(alice))
		if i == 0 {
			first = last
		}
		p.conn.CloseNow()
		w.until("it has gone", func() bool { return w.server.Stats().WebSocket == 0 })
	}
	w.until("few are left", func() bool { return w.hub.Stats().Sockets == 3 && w.server.Stats().Waiting == 3 })
	if again := w.dial("").join("/", authOf(alice, back(last, ""))); again != last {
		t.Error("the last did not come back")
	}
	if again := w.dial("").join("/", authOf(alice, back(first, ""))); again.SID == first.SID {
		t.Error("the first came back")
	}
}

// Who comes back while its old connection still seems to stand takes over.
func TestTakeOver(t *testing.T) {
	w := newWorld(t, recovering(), hub.Limits{})
	alice := w.client("alice", "lobby")
	old := w.dial("")
	g := old.join("/", authOf(alice))
	p := w.dial("")
	if again := p.join("/", authOf(alice, back(g, ""))); again != g {
		t.Fatalf("%+v, %+v", g, again)
	}
	old.expect("closed")
	w.until("one is left", func() bool { return w.server.Stats().Sockets == 1 && w.server.Stats().Waiting == 0 })
	w.emit(hub.Emission{Rooms: []string{g.SID}, Event: "e"})
	p.expect(`42["e",*`)
	if n := w.hub.Stats().Sockets; n != 1 {
		t.Errorf("%d sockets", n)
	}
}

// A client that is so far behind that something is lost does not go on as if
// nothing were.
func TestHole(t *testing.T) {
	w := newWorld(t, recovering(), hub.Limits{ChannelMessages: 3})
	alice := w.client("alice", "lobby")
	p := w.poller("")
	p.post("40" + authOf(alice))
	var g greeting
	json.Unmarshal([]byte(strings.TrimPrefix(p.get(), "40")), &g)
	w.publish("lobby", "first")
	at := offset(t, p.get())
	for i := range 9 {
		w.publish("lobby", fmt.Sprint(i))
	}
	if got := p.get(); got != "1" && !strings.HasSuffix(got, "\x1e1") {
		t.Fatalf("got %q", got)
	}
	again := w.dial("")
	if now := again.join("/", authOf(alice, back(g, at))); now.SID == g.SID || now.PID == g.PID {
		t.Error("it came back as if nothing were lost")
	}
	again.expect(`42["message",{"channel":"lobby","id":9,*`)
	if s := w.server.Stats(); s.Holes != 1 || s.Recovered != 0 {
		t.Errorf("%+v", s)
	}
}

func TestBackendEndsIt(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(h *hub.Hub, sid string) error
		want string
		same bool
	}{
		{"the client is killed", func(h *hub.Hub, _ string) error { return h.KillClient(context.Background(), "alice") }, "41", false},
		{"the socket is killed", func(h *hub.Hub, sid string) error { return h.KillClient(context.Background(), sid) }, "41", false},
		{"its key is void", func(h *hub.Hub, _ string) error { _, _, err := h.RotateKey(context.Background(), "alice"); return err }, "41", false},
		{"it is disconnected", func(h *hub.Hub, _ string) error {
			_, err := h.Disconnect(context.Background(), "alice", "")
			return err
		}, "closed", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, recovering(), hub.Limits{})
			alice := w.client("alice")
			p := w.dial("")
			g := p.join("/", authOf(alice))
			if err := tt.end(w.hub, g.SID); err != nil {
				t.Fatal(err)
			}
			p.expect(tt.want)
			w.until("it has gone", func() bool { return w.server.Stats().Sockets == 0 })
			if again := w.dial(""); tt.same {
				if now := again.join("/", authOf(alice, back(g, ""))); now != g {
					t.Errorf("it was %+v and is %+v", g, now)
				}
			} else {
				w.until("it is forgotten", func() bool { return w.hub.Stats().Sockets == 0 })
			}
		})
	}
}
