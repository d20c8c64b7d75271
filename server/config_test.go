package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/memory"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

// What is wrong is named by its key, all of it at once.
func TestValidate(t *testing.T) {
	for key, change := range map[string]func(*Config){
		"listen":                     func(c *Config) { c.Listen = "" },
		"admin_token":                func(c *Config) { c.AdminToken = "short" },
		"poll_timeout":               func(c *Config) { c.PollTimeout = 0 },
		"idle_time":                  func(c *Config) { c.IdleTime = -1 },
		"min_age":                    func(c *Config) { c.MinAge = -1 },
		"sweep_interval":             func(c *Config) { c.SweepInterval = 0 },
		"drain_delay":                func(c *Config) { c.DrainDelay = -1 },
		"drain_timeout":              func(c *Config) { c.DrainTimeout = 0 },
		"header_timeout":             func(c *Config) { c.HeaderTimeout = 0 },
		"body_timeout":               func(c *Config) { c.BodyTimeout = 0 },
		"write_timeout":              func(c *Config) { c.WriteTimeout = 0 },
		"keep_alive":                 func(c *Config) { c.KeepAlive = 0 },
		"max_connections":            func(c *Config) { c.MaxConnections = -1 },
		"max_header_bytes":           func(c *Config) { c.MaxHeaderBytes = 0 },
		"max_body_bytes":             func(c *Config) { c.MaxBodyBytes = 0 },
		"max_batch_calls":            func(c *Config) { c.MaxBatchCalls = -1 },
		"max_json_depth":             func(c *Config) { c.MaxJSONDepth = 0 },
		"max_poll_clients":           func(c *Config) { c.MaxPollClients = 0 },
		"max_backends":               func(c *Config) { c.MaxBackends = 0 },
		"max_backend_waits":          func(c *Config) { c.MaxBackendWaits = 0 },
		"log_level":                  func(c *Config) { c.LogLevel = "loud" },
		"log_format":                 func(c *Config) { c.LogFormat = "xml" },
		"window":                     func(c *Config) { c.Limits.Window = 0 },
		"channel_bytes":              func(c *Config) { c.Limits.ChannelBytes = 1000 },
		"total_bytes":                func(c *Config) { c.Limits.TotalBytes = 1000 },
		"clients":                    func(c *Config) { c.Limits.Clients = -1 },
		"socketio_ping_interval":     func(c *Config) { c.SocketioPingInterval = 0 },
		"socketio_ping_timeout":      func(c *Config) { c.SocketioPingInterval, c.SocketioPingTimeout = longestWait/2, longestWait/2+1 },
		"socketio_connect_timeout":   func(c *Config) { c.SocketioConnectTimeout = time.Microsecond },
		"socketio_upgrade_timeout":   func(c *Config) { c.SocketioUpgradeTimeout = longestWait + 1 },
		"socketio_recovery_time":     func(c *Config) { c.SocketioRecoveryTime = -1 },
		"socketio_max_payload":       func(c *Config) { c.SocketioMaxPayload = minPayload - 1 },
		"socketio_max_packets":       func(c *Config) { c.SocketioMaxPackets = maxPackets + 1 },
		"socketio_max_namespaces":    func(c *Config) { c.SocketioMaxNamespaces = 0 },
		"socketio_max_auth_bytes":    func(c *Config) { c.SocketioMaxAuthBytes = 0 },
		"socketio_max_handshakes":    func(c *Config) { c.SocketioMaxHandshakes = -1 },
		"socketio_max_connections":   func(c *Config) { c.SocketioMaxConnections = 0 },
		"socketio_max_acks":          func(c *Config) { c.SocketioMaxAcks = 0 },
		"socketio_max_waiting_bytes": func(c *Config) { c.SocketioMaxWaitingBytes = minWaiting - 1 },
		"socketio_max_pending_bytes": func(c *Config) { c.SocketioMaxPendingBytes = 0 },
		"socketio_conformance":       func(c *Config) { c.SocketioConformance, c.PublicListen = true, "0.0.0.0:8083" },
		"conformance: is of no use":  func(c *Config) { c.SocketioConformance, c.Socketio = true, false },
		`namespace."chat"`:           func(c *Config) { c.Namespace = []NamespaceRule{{Name: "chat"}} },
		`namespace."/a,b"`:           func(c *Config) { c.Namespace = []NamespaceRule{{Name: "/a,b"}} },
		`namespace."/a\n"`:           func(c *Config) { c.Namespace = []NamespaceRule{{Name: "/a\n"}} },
		`namespace."/twice"`:         func(c *Config) { c.Namespace = []NamespaceRule{{Name: "/twice"}, {Name: "/twice"}} },
		"name_bytes":                 func(c *Config) { c.Namespace = []NamespaceRule{{Name: "/" + strings.Repeat("x", 255)}} },
		`namespace."/e": events`: func(c *Config) {
			c.Namespace = []NamespaceRule{{"/e", NamespaceSettings{Events: []string{"disconnect"}}}}
		},
		`namespace."/r": relay`: func(c *Config) {
			c.Namespace = []NamespaceRule{{"/r", NamespaceSettings{Relay: map[string]string{"x": "/chat#"}}}}
		},
		`namespace."/h": handler`:      func(c *Config) { c.Namespace = []NamespaceRule{{"/h", NamespaceSettings{Handler: "h"}}} },
		"client_handler":               func(c *Config) { c.ClientHandler = "h" },
		"handler_timeout":              func(c *Config) { c.HandlerTimeout = 0 },
		"handler_retry_time":           func(c *Config) { c.HandlerRetryTime = -1 },
		"handler_max_calls":            func(c *Config) { c.HandlerMaxCalls = 0 },
		"handler_max_waiting_bytes":    func(c *Config) { c.HandlerMaxWaitingBytes = 0 },
		"handler_max_undelivered":      func(c *Config) { c.HandlerMaxUndelivered = 0 },
		"handler_max_answer_bytes":     func(c *Config) { c.HandlerMaxAnswerBytes = 0 },
		`webhook."rpc": there is`:      func(c *Config) { c.Webhook = webhooks("rpc", "http://a/", longSecret) },
		`webhook."w": url`:             func(c *Config) { c.Webhook = webhooks("w", "unix:/a", longSecret) },
		`webhook."w": url: must`:       func(c *Config) { c.Webhook = webhooks("w", "http://user:pw@a/", longSecret) },
		`webhook."w": secrets: there`:  func(c *Config) { c.Webhook = webhooks("w", "http://a/") },
		`webhook."w": secrets: secret`: func(c *Config) { c.Webhook = webhooks("w", "http://a/", longSecret, "short") },
		"namespace: there":             func(c *Config) { c.Namespace = manyNamespaces(maxNamespaceRules + 1) },
		"let_go_age":                   func(c *Config) { c.Limits.LetGoAge = 0 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		err := cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("with a bad %s: %v, want an error that names it", key, err)
		}
		if _, fault := New(cfg, memory.New(), Options{}); fault == nil {
			t.Errorf("with a bad %s there is a server", key)
		}
		cfg.KeepAlive = -1
		if err := cfg.Validate(); !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "keep_alive") {
			t.Errorf("with a bad %s and a bad keep_alive: %v, want both named", key, err)
		}
	}
}

const longSecret = "0123456789abcdef"

func webhooks(name, url string, secrets ...string) []WebhookRule {
	return []WebhookRule{{name, WebhookSettings{URL: url, Secrets: secrets}}}
}

func manyNamespaces(n int) (all []NamespaceRule) {
	for i := range n {
		all = append(all, NamespaceRule{Name: fmt.Sprint("/", i)})
	}
	return all
}

// What is at its bounds is good.
func TestValidateSocketIO(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"as small as may be": func(c *Config) {
			c.SocketioPingInterval, c.SocketioPingTimeout, c.SocketioMaxPayload, c.SocketioMaxWaitingBytes = time.Millisecond, time.Millisecond, minPayload, minWaiting
		},
		"as large as may be": func(c *Config) {
			c.SocketioPingInterval, c.SocketioPingTimeout, c.SocketioMaxPayload, c.SocketioMaxPackets = longestWait/2, longestWait/2, maxPayload, maxPackets
		},
		"no recovery":     func(c *Config) { c.SocketioRecoveryTime = 0 },
		"many namespaces": func(c *Config) { c.Namespace = manyNamespaces(maxNamespaceRules) },
		"a long name":     func(c *Config) { c.Namespace = []NamespaceRule{{Name: "/" + strings.Repeat("x", 254)}} },
		"a webhook": func(c *Config) {
			c.Webhook, c.ClientHandler = webhooks("w", "https://a.test:1/b?c", longSecret), "w"
			c.Namespace = []NamespaceRule{{"/a-*", NamespaceSettings{Handler: "w", Events: []string{"x y"}, Relay: map[string]string{"x": "*", "y": "/a#b"}}}}
		},
		"the backend itself": func(c *Config) { c.ClientHandler = BackendHandler },
		"the root":           func(c *Config) { c.Namespace = []NamespaceRule{{"/", NamespaceSettings{Open: true}}} },
		"conformance here":   func(c *Config) { c.SocketioConformance = true },
		"conformance, public door": func(c *Config) {
			c.SocketioConformance, c.Listen, c.PublicListen, c.AdminListen = true, "", "127.0.0.1:3000", "unix:/x"
		},
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A door for the admin API that others can reach needs a token.
func TestAdminListenOffLoopbackNeedsToken(t *testing.T) {
	for address, local := range map[string]bool{
		"127.0.0.1:8084": true, "127.1.2.3:8084": true, "[::1]:8084": true, "localhost:8084": true, "unix:/run/shaveet.sock": true,
		":8084": false, "0.0.0.0:8084": false, "[::]:8084": false, "192.168.1.2:8084": false, "example.com:8084": false,
		"localhost.evil.test:8084": false, "nonsense": false,
	} {
		cfg := DefaultConfig()
		cfg.AdminListen = address
		if err := cfg.Validate(); (err == nil) != local {
			t.Errorf("admin_listen %s without a token: %v", address, err)
		} else if err != nil && !strings.Contains(err.Error(), "admin_listen") {
			t.Errorf("admin_listen %s: %v, want it named", address, err)
		}
		cfg.AdminToken = rightToken
		if err := cfg.Validate(); err != nil {
			t.Errorf("admin_listen %s with a token: %v", address, err)
		}
	}
	cfg := DefaultConfig()
	cfg.Listen = "0.0.0.0:8082"
	if err := cfg.Validate(); err != nil {
		t.Errorf("listen off loopback is allowed: %v", err)
	}
}

// A token that no header can carry would lock everybody out.
func TestTokenMustFitAHeader(t *testing.T) {
	for _, token := range []string{"cccccccccc\ncccccccccccccccc", "with a space in between", "not-ascii-but-läng-genug", "tab\tseparated-token"} {
		cfg := DefaultConfig()
		cfg.AdminToken = token
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "admin_token") || strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v", token, err)
		}
	}
}
