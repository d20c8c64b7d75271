package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/metrics"
)

func init() { maps.Copy(effects, handlersEffects) }

// backendHandler is how the handler stands that is the backend's WebSocket.
func (r *running) backendHandler() metrics.Handler {
	return r.srv.handlers.stats().ByName[BackendHandler]
}

// kill ends a client, which is what the handler of clients is told.
func (r *running) kill(id string) {
	r.t.Helper()
	r.client(id)
	r.call("kill_client", id)
}

// handlersEffects are the effects of the settings of handlers. Nobody serves, if
// nothing else is said: then calls wait until their time is over.
var handlersEffects = map[string]effect{
	"handler_timeout": {func(c *Config) {
		asksBackend(c)
		c.HandlerTimeout = 50 * time.Millisecond
	}, func(t *testing.T, r *running) bool {
		c, began := connect(t, r.pub, ""), time.Now()
		c.say("40")
		return c.ends() && time.Since(began) < DefaultConfig().HandlerTimeout
	}},
	"handler_max_calls": {func(c *Config) {
		asksBackend(c)
		c.HandlerMaxCalls = 1
	}, func(t *testing.T, r *running) bool {
		for range 3 {
			connect(t, r.pub, "").say("40")
		}
		var h metrics.Handler
		spin(t, func() bool { h = r.backendHandler(); return h.UnderWay+h.Waiting == 3 })
		return h.UnderWay == 1 && h.WaitingBytes > 0
	}},
	"handler_max_waiting_bytes": {func(c *Config) {
		asksBackend(c)
		c.HandlerMaxCalls, c.HandlerMaxWaitingBytes = 1, 1
	}, func(t *testing.T, r *running) bool {
		for i := range 3 { // one has its turn, one waits, and there is no room for another
			c := connect(t, r.pub, "")
			c.say("40")
			if i == 2 {
				return c.ends() && r.srv.metric(t, `shaveet_handler_calls_total{handler="rpc",method="connect",result="busy"}`) == 1
			}
			spin(t, func() bool { h := r.backendHandler(); return h.UnderWay+h.Waiting == i+1 })
		}
		return false
	}},
	"handler_max_answer_bytes": {func(c *Config) {
		asksBackend(c)
		c.HandlerMaxAnswerBytes = 100
	}, func(t *testing.T, r *running) bool {
		b, c := r.backend(), connect(t, r.pub, "")
		b.serve()
		c.say("40")
		b.reply("connect nobody to /", `{"data":"`+strings.Repeat("x", 100)+`"}`)
		b.reply("disconnect: not connected", "true")
		return c.ends()
	}},
	"handler_retry_time": {func(c *Config) {
		c.ClientHandler, c.HandlerRetryTime = BackendHandler, time.Millisecond
	}, func(t *testing.T, r *running) bool {
		r.kill("alice")
		spin(t, func() bool { return r.backendHandler().GivenUp == 1 })
		return true
	}},
	"handler_max_undelivered": {func(c *Config) {
		c.ClientHandler, c.HandlerMaxUndelivered = BackendHandler, 1
	}, func(t *testing.T, r *running) bool {
		r.kill("alice")
		r.kill("bob")
		h := r.backendHandler()
		return h.Undelivered == 1 && h.GivenUp == 1
	}},
	"client_handler": {func(c *Config) { c.ClientHandler = BackendHandler }, func(_ *testing.T, r *running) bool {
		b := r.backend()
		b.serve()
		r.kill("alice")
		b.reply("client_gone alice: killed []", "true")
		return true
	}},
}

// reloaded has the configuration be changed, and says what must be told of it.
func (r *running) reloaded(cfg *Config, change func(*Config), want ...string) {
	r.t.Helper()
	cfg.Webhook, cfg.Namespace = slices.Clone(cfg.Webhook), slices.Clone(cfg.Namespace)
	change(cfg)
	next := *cfg
	r.reload = func() (Config, error) { return next, nil }
	done, err := r.srv.Reload(r.t.Context())
	if err != nil || !slices.Equal(done.Changed, want) || len(done.Restart) > 0 {
		r.t.Fatalf("%+v, %v; want %v", done, err, want)
	}
}

// A webhook's URL and secrets can be changed, one after the other: who is connected
// stays so, and the calls go on where they were.
func TestReloadOfWebhook(t *testing.T) {
	t.Parallel()
	first, second := newHook(t, nil), newHook(t, nil)
	r := start(t, first.asks("/game"))
	cfg := r.srv.Config()
	c := joined(t, r, "/game")
	first.want("connect nobody to /game")
	said := 0
	say := func(k *hook) {
		t.Helper()
		said++
		c.say(fmt.Sprintf(`42/game,%d["say",%d]`, said, said))
		if got, want := c.hear("43"), fmt.Sprintf("43/game,%d[]", said); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if h := k.next(); h.String() != fmt.Sprintf("event say[%d]", said) || h.Params.Serial != uint64(said)+1 {
			t.Errorf("%d. %s", h.Params.Serial, h)
		}
	}
	say(first)

	r.reloaded(&cfg, func(c *Config) { c.Webhook[0].URL = second.URL }, `webhook."game"`)
	say(second)
	r.reloaded(&cfg, func(c *Config) { c.Webhook[0].Secrets = []string{newSecret, rightSecret} }, `webhook."game"`)
	say(second) // which knows the former alone
	second.trust(newSecret)
	say(second)
	r.reloaded(&cfg, func(c *Config) { c.Webhook[0].Secrets = []string{newSecret} }, `webhook."game"`)
	say(second)

	second.trust(rightSecret) // as if the other one had been forgotten here
	c.say(`42/game,9["say",9]`)
	if got := c.hear("43"); !strings.Contains(got, "handler_failed") {
		t.Errorf("%s", got)
	}
	second.trust(newSecret)
	c.say("41/game,")
	second.want("disconnect: client namespace disconnect")
	first.silent()
	second.silent()
}

// A webhook that is taken out of the configuration is still told by the sockets it
// has let in, and by nobody else. When it is back, it goes on with what it was.
func TestReloadWithoutWebhook(t *testing.T) {
	t.Parallel()
	k := newHook(t, nil)
	r := start(t, k.asks("/game"), func(c *Config) { c.ClientHandler = "game" })
	with := r.srv.Config()
	without := with
	old := joined(t, r, "/game")
	k.want("connect nobody to /game")
	r.call("declare_namespace", "/declared", true, "game")
	r.reloaded(&without, func(c *Config) {
		c.Webhook, c.Namespace[0].Handler, c.ClientHandler = nil, "", ""
	}, "client_handler", `namespace."/game"`, `webhook."game"`)

	r.kill("alice")
	young := joined(t, r, "/game")
	young.say(`42/game,1["say"]`)
	if got := young.hear("43"); !strings.Contains(got, "no_handler") {
		t.Errorf("%s", got)
	}
	if _, fault := r.try("declare_namespace", "/more", true, "game"); !strings.Contains(fault, `no handler "game"`) {
		t.Errorf("%q", fault)
	}
	lost := connect(t, r.pub, "")
	lost.say("40/declared,")
	if !lost.ends() {
		t.Error("somebody has joined whom nobody could let in")
	}
	old.say(`42/game,1["say"]`)
	old.hear("43/game,1[]")
	old.say("41/game,")
	k.want("event say[]", "disconnect: client namespace disconnect")

	r.reloaded(&without, func(c *Config) { *c = with }, "client_handler", `namespace."/game"`, `webhook."game"`)
	joined(t, r, "/declared")
	if h := k.next(); h.String() != "connect nobody to /declared" || h.Params.Serial != 4 {
		t.Errorf("%d. %s", h.Params.Serial, h)
	}
	r.kill("bob")
	k.want("client_gone bob: killed []")
	k.silent()
}

// What a webhook has not heard when it is taken out of the configuration, it is
// told all the same, and it counts.
func TestReloadKeepsNotices(t *testing.T) {
	t.Parallel()
	k := newHook(t, nil)
	k.trust(newSecret) // so that it takes nothing
	r := start(t, k.asks("/game"), func(c *Config) { c.ClientHandler = "game" })
	cfg := r.srv.Config()
	r.kill("alice")
	r.reloaded(&cfg, func(c *Config) {
		c.Webhook, c.Namespace, c.ClientHandler = nil, nil, ""
	}, "client_handler", `namespace."/game"`, `webhook."game"`)
	r.wantMetric(`shaveet_handler_undelivered{handler="game"}`, 1)
	k.trust(rightSecret)
	k.want("client_gone alice: killed []")
	r.wantMetric(`shaveet_handler_undelivered{handler="game"}`, 0)
}

// A namespace that gets another handler asks that one about those who come; who is
// there stays with the one that has let it in.
func TestReloadOfNamespaceHandler(t *testing.T) {
	t.Parallel()
	k := newHook(t, nil)
	r := start(t, k.asks("/game"))
	cfg := r.srv.Config()
	old := joined(t, r, "/game")
	r.reloaded(&cfg, func(c *Config) { c.Namespace[0].Handler = BackendHandler }, `namespace."/game"`)
	b := r.backend()
	b.serve()
	young := connect(t, r.pub, "")
	young.say("40/game,")
	b.reply("connect nobody to /game", "true")
	young.hear("40/game,")
	for _, c := range []*eio{old.eio, young} {
		c.say(`42/game,["say"]`, "41/game,")
	}
	k.want("connect nobody to /game", "event say[]", "disconnect: client namespace disconnect")
	b.reply("event say[]", "null")
	b.reply("disconnect: client namespace disconnect", "null")
}

// What clients may say, and what is handed on, is as it was when they came.
func TestReloadOfRelay(t *testing.T) {
	t.Parallel()
	r := start(t)
	cfg := r.srv.Config()
	settings := NamespaceSettings{Open: true, Events: []string{"draw"}, Relay: map[string]string{"draw": "*"}}
	r.reloaded(&cfg, func(c *Config) { c.Namespace = []NamespaceRule{{"/board", settings}} }, `namespace."/board"`)
	c := joined(t, r, "/board")
	for event, want := range map[string]string{`["draw","room"]`: "not_subscribed", `["erase"]`: "not_permitted"} {
		c.say("42/board,1" + event)
		if got := c.hear("43"); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	settings.Relay = nil
	r.reloaded(&cfg, func(c *Config) { c.Namespace = []NamespaceRule{{"/board", settings}} }, `namespace."/board"`)
	c = joined(t, r, "/board")
	c.say(`42/board,1["draw","room"]`)
	if got := c.hear("43"); !strings.Contains(got, "no_handler") {
		t.Errorf("%s", got)
	}
}

// A reload that names a handler which is not there changes nothing.
func TestReloadOfUnknownHandler(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"client_handler": func(c *Config) { c.ClientHandler = "nobody" },
		`namespace."/x"`: func(c *Config) { c.Namespace = []NamespaceRule{{"/x", NamespaceSettings{Handler: "nobody"}}} },
		`webhook."game"`: func(c *Config) {
			c.Webhook = []WebhookRule{{Name: "game", WebhookSettings: WebhookSettings{URL: "nobody"}}}
		},
		"handler_timeout": func(c *Config) { c.HandlerTimeout = -1 },
	} {
		r := prepare(t, DefaultConfig())
		r.reload = func() (Config, error) {
			cfg := DefaultConfig()
			change(&cfg)
			return cfg, nil
		}
		if _, err := r.srv.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if len(r.srv.handlers.named()) != 1 {
			t.Errorf("%s: there is a handler more", name)
		}
	}
}
