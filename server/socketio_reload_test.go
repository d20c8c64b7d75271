package server

import (
	"maps"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func init() { maps.Copy(effects, socketIOEffects) }

// told returns what is said at the beginning of a connection.
func told(t *testing.T, r *running, key string) any { return connect(t, r.pub, "").open[key] }

// ends reports whether the connection has ended, or does so now.
func (c *eio) ends() bool {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		status, body := c.ask("GET", "")
		switch {
		case status == 400 || strings.HasSuffix(body, "1"):
			return true
		case status != 200 || body == "2" || body == "6":
			c.t.Errorf("%d %q", status, body)
			return false
		}
	}
	return false
}

// socketIOEffects are the effects of the settings of Socket.IO.
var socketIOEffects = map[string]effect{
	"socketio_ping_interval": {func(c *Config) { c.SocketioPingInterval = 17 * time.Second }, func(t *testing.T, r *running) bool {
		return told(t, r, "pingInterval") == 17_000.0
	}},
	"socketio_ping_timeout": {func(c *Config) { c.SocketioPingTimeout = 17 * time.Second }, func(t *testing.T, r *running) bool {
		return told(t, r, "pingTimeout") == 17_000.0
	}},
	"socketio_max_payload": {func(c *Config) { c.SocketioMaxPayload = 12345 }, func(t *testing.T, r *running) bool {
		return told(t, r, "maxPayload") == 12345.0
	}},
	"socketio_connect_timeout": {func(c *Config) { c.SocketioConnectTimeout = time.Millisecond }, func(t *testing.T, r *running) bool {
		return connect(t, r.pub, "").ends()
	}},
	"socketio_upgrade_timeout": {func(c *Config) { c.SocketioUpgradeTimeout = time.Millisecond }, func(t *testing.T, r *running) bool {
		_, _, err := connect(t, r.pub, "").socket().Read(t.Context())
		return websocket.CloseStatus(err) > 0
	}},
	"socketio_recovery_time": {func(c *Config) { c.SocketioRecoveryTime = 0 }, func(t *testing.T, r *running) bool {
		c := connect(t, r.pub, "&token=alice_!!_"+r.client("alice"))
		c.say("40")
		return !strings.Contains(c.hear("40"), `"pid"`)
	}},
	"socketio_max_packets": {func(c *Config) { c.SocketioMaxPackets = 3 }, func(t *testing.T, r *running) bool {
		status, _ := connect(t, r.pub, "").ask("POST", strings.Repeat("3\x1e", 9)+"3")
		return status == 400
	}},
	"socketio_max_unheard_bytes": {func(c *Config) { c.SocketioMaxUnheardBytes = 17 }, func(_ *testing.T, r *running) bool {
		return r.srv.socketIOOptions(r.srv.Config()).MaxUnheard == 17 // it takes a handler that is hung
	}},
	"socketio_max_asked": {func(c *Config) {
		c.SocketioMaxAsked, c.Namespace = 1, []NamespaceRule{{"/news", NamespaceSettings{Open: true}}}
	}, func(t *testing.T, r *running) bool {
		for range 2 {
			c := connect(t, r.pub, "")
			c.say("40/news,")
			c.hear("40")
		}
		_, fault := r.try("emit_with_ack", "x", []any{}, nil, nil, "/news", 1)
		return strings.Contains(fault, "socketio_max_asked")
	}},
	"socketio_max_namespaces": {func(c *Config) {
		c.SocketioMaxNamespaces, c.Namespace = 1, []NamespaceRule{{Name: "/other"}}
	}, func(t *testing.T, r *running) bool {
		c := connect(t, r.pub, "&token=alice_!!_"+r.client("alice"))
		c.say("40")
		c.hear("40")
		c.say("40/other,")
		return strings.Contains(c.hear("4"), "limit_reached")
	}},
	"socketio_max_auth_bytes": {func(c *Config) {
		c.SocketioMaxAuthBytes, c.Namespace = 9, []NamespaceRule{{"/news", NamespaceSettings{Open: true}}}
	}, func(t *testing.T, r *running) bool {
		c := connect(t, r.pub, "")
		c.say(`40/news,{"a":1234}`)
		return strings.Contains(c.hear("4"), "too_large")
	}},
	"socketio_max_handshakes": {func(c *Config) { c.SocketioMaxHandshakes = 1 }, func(_ *testing.T, r *running) bool {
		for range 3 { // of which two are in one second
			ask := httptest.NewRequest("GET", "/socket.io/?EIO=4&transport=polling", nil)
			ask.RemoteAddr = "203.0.113.7:1"
			if w := answerOf(r.srv.socketio, ask); w.Code == 429 {
				return true
			}
		}
		return false
	}},
	"socketio_max_connections": {func(c *Config) { c.SocketioMaxConnections = 1 }, func(t *testing.T, r *running) bool {
		c := connect(t, r.pub, "&token=alice_!!_"+r.client("alice"))
		c.say("40") // else it would make room
		c.hear("40")
		status, _ := get(t, connectBeside(c))
		return status == 503
	}},
	"socketio_max_acks": {func(c *Config) { c.SocketioMaxAcks = 17 }, func(_ *testing.T, r *running) bool {
		return r.srv.socketIOOptions(r.srv.Config()).MaxAcks == 17 // nobody can be asked from outside
	}},
	"socketio_max_waiting_bytes": {func(c *Config) { c.SocketioMaxWaitingBytes = minWaiting }, func(t *testing.T, r *running) bool {
		c := connect(t, r.pub, "")
		c.say(strings.TrimSuffix(strings.Repeat("40/nobody,\x1e", 50), "\x1e")) // 50 refusals
		return c.ends()
	}},
	"socketio_max_pending_bytes": {func(c *Config) {
		c.SocketioMaxPendingBytes, c.Namespace = 1, []NamespaceRule{{"/news", NamespaceSettings{Open: true}}}
	}, func(t *testing.T, r *running) bool {
		c := connect(t, r.pub, "")
		c.say("40/news,")
		c.hear("40")
		status, _ := c.ask("POST", `451-/news,["x",{"_placeholder":true,"num":0}]`)
		return status == 400
	}},
	"socketio_allow_eio3": {func(c *Config) { c.SocketioAllowEIO3 = true }, func(t *testing.T, r *running) bool {
		status, _ := get(t, "http://"+r.pub+"/socket.io/?EIO=3&transport=polling")
		return status == 200
	}},
	"socketio_jsonp": {func(c *Config) { c.SocketioJSONP = true }, func(t *testing.T, r *running) bool {
		_, body := get(t, "http://"+r.pub+"/socket.io/?EIO=4&transport=polling&j=7")
		return strings.HasPrefix(body, "___eio[7](")
	}},
	"namespace": {func(c *Config) {
		c.Namespace = []NamespaceRule{{"/news", NamespaceSettings{Open: true}}}
	}, func(t *testing.T, r *running) bool {
		c := connect(t, r.pub, "")
		c.say("40/news,")
		return strings.HasPrefix(c.hear("4"), `40/news,{"sid":`)
	}},
}

// connectBeside is where one more would connect.
func connectBeside(c *eio) string { return strings.TrimSuffix(c.url, "&sid="+c.sid) }

// Tables for namespaces are named by their names.
func TestReloadNamesNamespaces(t *testing.T) {
	open := NamespaceSettings{Open: true}
	cfg := DefaultConfig()
	cfg.Namespace = []NamespaceRule{{Name: "/same"}, {Name: "/other"}, {Name: "/less"}}
	r := prepare(t, cfg)
	r.reload = func() (Config, error) {
		next := cfg
		next.Namespace = []NamespaceRule{{Name: "/more"}, {"/other", open}, {Name: "/same"}}
		return next, nil
	}
	done, err := r.srv.Reload(t.Context())
	if got := strings.Join(done.Changed, " "); err != nil || got != `namespace."/less" namespace."/more" namespace."/other"` {
		t.Errorf("%s, %v", got, err)
	}
}

// A socket can come back only as long as the hub keeps it.
func TestRecoveryTimeEndsWithTheSocket(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Limits.LetGoAge = time.Minute
	if got := prepare(t, cfg).srv.socketIOOptions(cfg).RecoveryTime; got != time.Minute {
		t.Errorf("%v", got)
	}
}
