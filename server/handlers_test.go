package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/namespace"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// A webhook lets a page in, answers what it says, and hears that it has left: in
// this order, by calls that are signed and numbered.
func TestWebhook(t *testing.T) {
	t.Parallel()
	k := newHook(t, func(_ http.ResponseWriter, h *heard) string {
		switch {
		case h.Method == "connect":
			return `{"join":"red","data":{"name":"Alice"},"emit":{"event":"welcome","to":"red","args":[7]}}`
		case h.Params.Event == "ask":
			return `["yes",2]`
		}
		return "null"
	})
	r := start(t, k.asks("/game"), func(c *Config) { c.Namespace[0].Open = false })
	c := connect(t, r.pub, "")
	c.say(`40/game,{"token":"alice_!!_` + r.client("alice") + `","team":"red"}`)
	c.hear("40/game,{")
	if got := c.hear("42"); !strings.HasPrefix(got, `42/game,["welcome",7`) {
		t.Errorf("%s", got)
	}
	c.say(`42/game,["one"]`, `42/game,["two",{"x":1}]`, `42/game,5["ask",true]`)
	if got := c.hear("43"); got != `43/game,5["yes",2]` {
		t.Errorf("%s", got)
	}
	c.say("41/game,")

	first := k.next()
	p := first.Params
	if first.String() != "connect alice to /game" || string(p.Auth) != `{"team":"red"}` || p.Recovered || p.Protocol != 4 ||
		!strings.HasPrefix(p.Address, "127.0.0.1:") || p.Headers["user-agent"] == "" || time.Since(p.Time).Abs() > time.Minute {
		t.Errorf("%s: %+v", first, p)
	}
	if h := first.Header; h.Get("User-Agent") != "shaveet/dev" || h.Get("Content-Type") != "application/json" || h.Get("Shaveet-Id") != first.ID {
		t.Errorf("%v", h)
	}
	for i, want := range []string{"event one[]", `event two[{"x":1}]`, "event ask[true]", "disconnect: client namespace disconnect"} {
		h := k.next()
		if q := h.Params; h.String() != want || q.Serial != uint64(i)+2 || q.SID != p.SID || q.Epoch != p.Epoch || q.Ack != (i == 2) || string(q.Data) != `{"name":"Alice"}` {
			t.Errorf("%s: %+v, want %s", h, q, want)
		}
	}
	k.silent()
	for method, want := range map[string]float64{"connect": 1, "event": 3, "disconnect": 1} {
		for _, name := range []string{`shaveet_handler_calls_total{handler="game",method=%q,result="ok"}`, `shaveet_handler_call_seconds_count{handler="game",method=%q}`} {
			spin(t, func() bool { return r.srv.allMetrics(t)[fmt.Sprintf(name, method)] == want }) // what was heard is counted when it is answered
		}
	}
}

// Whatever a webhook answers, the page hears something that it can understand, and
// nothing of what is the operator's alone.
func TestWebhookFailures(t *testing.T) {
	t.Parallel()
	answer := func(w http.ResponseWriter, h *heard) string {
		switch h.Params.Event {
		case "own":
			return `{"code":17,"message":"too late","data":{"by":3}}`
		case "error":
			return `{"code":-32000,"message":"password=hunter2"}`
		case "status":
			http.Error(w, "password=hunter2", http.StatusInternalServerError)
			return ""
		case "away":
			http.Error(w, "password=hunter2", http.StatusBadGateway)
			return ""
		case "unknown":
			return `{"jion":"red"}`
		}
		if h.Method == "connect" && string(h.Params.Auth) != "null" {
			return `{"refuse":{"message":"not you","data":{"why":1}}}`
		}
		return "null"
	}
	k := newHook(t, answer)
	r := start(t, k.asks("/game"))
	c := joined(t, r, "/game")
	for event, want := range map[string]string{
		"own":     `[{"error":{"type":"refused","code":17,"message":"too late","data":{"by":3}}}]`,
		"error":   `[{"error":{"type":"handler_failed",`,
		"status":  `[{"error":{"type":"handler_failed",`,
		"away":    `[{"error":{"type":"handler_unavailable",`,
		"unknown": `[{"error":{"type":"handler_failed",`,
	} {
		c.say(fmt.Sprintf(`42/game,1[%q]`, event))
		if got := c.hear("43"); !strings.HasPrefix(got, "43/game,1"+want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %s, want %s", event, got, want)
		}
	}
	refused := connect(t, r.pub, "")
	refused.say(`40/game,{"who":"me"}`)
	if got := refused.hear("4"); got != `44/game,{"message":"not you","data":{"why":1}}` {
		t.Errorf("%s", got)
	}
	if log := r.log.String(); strings.Contains(log, rightSecret) || !strings.Contains(log, `"level":"WARN","msg":"handler c`) {
		t.Errorf("the log has the secret, or not that something has failed: %s", log)
	}
	r.wantMetric(`shaveet_handler_calls_total{handler="game",method="connect",result="refused"}`, 1)
	r.wantMetric(`shaveet_handler_calls_total{handler="game",method="event",result="failed"}`, 3)
}

// What a rule hands on is heard by who is in the room, with who has said it; who is
// not in it is told so. Nobody else is asked.
func TestRelay(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) {
		c.Namespace = []NamespaceRule{{"/board", NamespaceSettings{Open: true, Relay: map[string]string{"draw": "board", "typing": "*"}}}}
	})
	painter, reader, guest := joined(t, r, "/board"), joined(t, r, "/board"), joined(t, r, "/board")
	r.wantCall(`{"sockets":2}`, "sockets_join", fmt.Sprintf(`{"rooms":"board","to":[%q,%q],"namespace":"/board"}`, painter.id, reader.id))
	for said, want := range map[string]string{`["draw",1,2]`: `42/board,["draw",1,2`, `["typing","board","x"]`: `42/board,["typing","x"`} {
		painter.say("42/board,1" + said)
		if got := painter.hear("43"); !strings.HasPrefix(got, `43/board,1[{"position":`) {
			t.Errorf("%s: %s", said, got)
		}
		if got := reader.hear("42"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", said, got, want)
		}
		guest.say("42/board,1" + said)
		if got := guest.hear("4"); !strings.Contains(got, "not_subscribed") {
			t.Errorf("%s: %s", said, got)
		}
	}
}

// That a client is let go, comes back and is killed is told in this order, whatever
// it is connected by.
func TestClientHandler(t *testing.T) {
	t.Parallel()
	k := newHook(t, nil)
	r := start(t, k.asks("/game"), func(c *Config) {
		c.ClientHandler = "game"
		c.IdleTime, c.MinAge, c.SweepInterval = 50*time.Millisecond, 1, 5*time.Millisecond
	})
	ctx := t.Context()
	key, _, err := r.srv.hub.CreateClient(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.srv.hub.Subscribe(ctx, []hub.Pair{{Client: "alice", Channel: "room"}}); err != nil {
		t.Fatal(err)
	}
	k.want("client_gone alice: idle [room]")

	hold := func(path string) (end func()) { // a request that is held
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+r.pub+path, nil)
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			if resp, err := oneShot.Do(req); err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}()
		return func() { cancel(); <-answered }
	}
	poll := longpollPath("alice", key)
	end := hold(poll + "&cursor=" + r.srv.hub.Position().String())
	k.want("client_back alice:  [room]")
	end()
	k.want("client_gone alice: idle [room]")
	end = hold(strings.Replace(poll, "/longpoll", "/sse", 1))
	defer func() { end() }()
	k.want("client_back alice:  [room]")
	r.call("kill_client", "alice")
	last := k.next()
	if last.String() != "client_gone alice: killed [room]" || last.Params.Serial != 5 {
		t.Errorf("%d. %s", last.Params.Serial, last)
	}
	k.silent()
}

// launch runs a server with these namespaces of the program's own.
func launch(t *testing.T, cfg Config, all ...*namespace.Namespace) *running {
	t.Helper()
	r := &running{t: t, log: new(logBuffer), done: make(chan struct{})}
	opts := Options{Logger: slog.New(slog.NewJSONHandler(r.log, nil)), Namespaces: all, Reload: func() (Config, error) { return r.reload() }}
	var err error
	if r.srv, err = New(cfg, memory.New(), opts); err != nil {
		t.Fatal(err)
	}
	r.serve(Doors{Main: listen(t), Public: listen(t)})
	return r
}

// A program answers in the namespaces that it has, whatever the configuration says
// of them, and is told of who leaves before the server has ended.
func TestOwnNamespaces(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"/chat", "/chat*"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newHook(t, nil)
			cfg := DefaultConfig()
			cfg.DrainDelay = 0
			k.asks(name)(&cfg)
			left := make(chan string, 2)
			chat := namespace.New(name, namespace.Options{Open: true})
			chat.On("say", func(ctx context.Context, s *namespace.Socket, text string) (string, error) {
				if text == "" {
					return "", &namespace.Error{Type: "empty", Message: "say something"}
				}
				return s.Namespace() + " heard " + text, nil
			})
			chat.OnDisconnect(func(_ context.Context, _ *namespace.Socket, why string) { left <- why })
			r := launch(t, cfg, chat)
			c := joined(t, r, "/chat")
			for said, want := range map[string]string{`"hi"`: `["/chat heard hi"]`, `""`: `[{"error":{"type":"empty","message":"say something"}}]`} {
				c.say(`42/chat,1["say",` + said + `]`)
				if got := c.hear("43"); got != "43/chat,1"+want {
					t.Errorf("%s: %s", said, got)
				}
			}
			if _, fault := r.try("declare_namespace", name); !strings.Contains(fault, "in the configuration") {
				t.Errorf("%q", fault)
			}
			r.reloaded(&cfg, func(c *Config) { c.Namespace = nil }, fmt.Sprintf("namespace.%q", name))
			joined(t, r, "/chat").say("41/chat,")
			eventually(t, "it is told who leaves", func() bool { return len(left) == 1 })
			r.stop()
			<-r.done
			if r.err != nil || len(left) != 2 || <-left != "client namespace disconnect" || <-left != "server shutting down" {
				t.Errorf("%v, %d have left", r.err, len(left))
			}
			k.silent()
		})
	}
}

// A server that never runs leaves nothing behind, whatever it was told.
func TestNewWithoutServe(t *testing.T) {
	before := goleak.IgnoreCurrent()
	cfg := DefaultConfig()
	cfg.Webhook = webhooks("game", "http://127.0.0.1:1/", rightSecret)
	cfg.Namespace = []NamespaceRule{{"/game", NamespaceSettings{Handler: "game"}}}
	cfg.ClientHandler = "game"
	next := cfg
	next.Webhook, next.Namespace, next.ClientHandler = nil, nil, ""
	s, err := New(cfg, memory.New(), Options{
		Logger:     slog.New(slog.DiscardHandler),
		Namespaces: []*namespace.Namespace{namespace.New("/chat", namespace.Options{})},
		Reload:     func() (Config, error) { return next, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}
