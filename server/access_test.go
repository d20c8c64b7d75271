package server

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/broker/memory"
)

const (
	rightToken = "right-token-0123456789"
	wrongToken = "wrong-token-9876543210"
)

// asks are ways to ask for the admin API: a plain call from this machine, but
// for one thing. backend says whether a server without a token takes the asker
// for the backend.
var asks = []struct {
	name    string
	change  func(*http.Request)
	backend bool
	reason  string // what the log must say
}{
	{"a plain call", func(*http.Request) {}, true, ""},

	// What back ends send.
	{"Referer", header("Referer", "http://example.com/page"), true, ""},
	{"Sec-Fetch-Mode", header("Sec-Fetch-Mode", "cors"), true, ""},
	{"User-Agent", header("User-Agent", "curl/8"), true, ""},
	{"Content-Type form", header("Content-Type", "application/x-www-form-urlencoded"), true, ""},
	{"Content-Type none", header("Content-Type", ""), true, ""},
	{"a cookie", header("Cookie", "a=b"), true, ""},

	// What web pages cannot take off.
	{"Origin", header("Origin", "http://evil.test"), false, "Origin"},
	{"Origin null", header("Origin", "null"), false, "Origin"},
	{"Origin empty", header("Origin", ""), false, "Origin"},
	{"Origin of our own", header("Origin", "http://127.0.0.1:8082"), false, "Origin"},
	{"Sec-Fetch-Site cross-site", header("Sec-Fetch-Site", "cross-site"), false, "Sec-Fetch-Site"},
	{"Sec-Fetch-Site same-origin", header("Sec-Fetch-Site", "same-origin"), false, "Sec-Fetch-Site"},
	{"Sec-Fetch-Site none", header("Sec-Fetch-Site", "none"), false, "Sec-Fetch-Site"},

	// What proxies add.
	{"Forwarded", header("Forwarded", "for=192.0.2.1"), false, "Forwarded"},
	{"X-Forwarded-For", header("X-Forwarded-For", "192.0.2.1"), false, "X-Forwarded-For"},
	{"X-Forwarded-For loopback", header("X-Forwarded-For", "127.0.0.1"), false, "X-Forwarded-For"},
	{"X-Forwarded-For empty", header("X-Forwarded-For", ""), false, "X-Forwarded-For"},
	{"X-Forwarded-Host", header("X-Forwarded-Host", "localhost"), false, "X-Forwarded-Host"},
	{"X-Forwarded-Proto", header("X-Forwarded-Proto", "https"), false, "X-Forwarded-Proto"},
	{"X-Forwarded-Port", header("X-Forwarded-Port", "443"), false, "X-Forwarded-Port"},
	{"X-Forwarded-Server", header("X-Forwarded-Server", "proxy"), false, "X-Forwarded-Server"},
	{"X-Real-IP", header("X-Real-IP", "192.0.2.1"), false, "X-Real-Ip"},
	{"X-Client-IP", header("X-Client-IP", "192.0.2.1"), false, "X-Client-Ip"},
	{"X-Original-Forwarded-For", header("X-Original-Forwarded-For", "192.0.2.1"), false, "X-Original-Forwarded-For"},
	{"CF-Connecting-IP", header("CF-Connecting-IP", "192.0.2.1"), false, "Cf-Connecting-Ip"},
	{"True-Client-IP", header("True-Client-IP", "192.0.2.1"), false, "True-Client-Ip"},
	{"Via", header("Via", "1.1 proxy"), false, "Via"},

	// The name it was called by.
	{"Host address", host("127.0.0.1"), true, ""},
	{"Host address and port", host("127.0.0.1:8082"), true, ""},
	{"Host IPv6", host("[::1]"), true, ""},
	{"Host IPv6 and port", host("[::1]:8082"), true, ""},
	{"Host other address", host("192.0.2.7:8082"), true, ""},
	{"Host localhost", host("localhost"), true, ""},
	{"Host localhost and port", host("localhost:8082"), true, ""},
	{"Host LOCALHOST", host("LOCALHOST:8082"), true, ""},
	{"Host empty", host(""), true, ""},
	{"Host listed", host("push.internal"), true, ""},
	{"Host listed, in capitals and with a port", host("Push.Internal:8082"), true, ""},
	{"Host evil.test", host("evil.test"), false, "host"},
	{"Host evil.test and port", host("evil.test:8082"), false, "host"},
	{"Host like localhost", host("localhost.evil.test"), false, "host"},
	{"Host like an address", host("127.0.0.1.evil.test"), false, "host"},
	{"Host below a listed one", host("x.push.internal"), false, "host"},
	{"Host in brackets", host("[evil.test]:8082"), false, "host"},
	{"Host a number", host("2130706433"), false, "host"},

	// Where it came from.
	{"peer in 127/8", from("127.9.9.9:1"), true, ""},
	{"peer IPv6 loopback", from("[::1]:1"), true, ""},
	{"peer mapped loopback", from("[::ffff:127.0.0.1]:1"), true, ""},
	{"peer of a Unix socket", from("@"), true, ""},
	{"peer of a Unix socket without a name", from(""), true, ""},
	{"peer in the next room", from("192.168.1.2:1"), false, "not on this machine"},
	{"peer far away", from("203.0.113.5:1"), false, "not on this machine"},
	{"peer mapped", from("[::ffff:192.168.1.2]:1"), false, "not on this machine"},
	{"peer IPv6", from("[2001:db8::1]:1"), false, "not on this machine"},
	{"peer link-local", from("[fe80::1%eth0]:1"), false, "not on this machine"},
	{"peer nonsense", from("nonsense"), false, "not on this machine"},
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}
func host(h string) func(*http.Request)    { return func(r *http.Request) { r.Host = h } }
func from(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }

func plainCall() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
	r.RemoteAddr = "127.0.0.1:40000"
	r.Host = "127.0.0.1:8082"
	return r
}

// doors are a server's handlers, with an admin API that only says "reached".
func doors(t *testing.T, change func(*Config)) (main, public, admin http.Handler, log *logBuffer) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.AllowedHosts = []string{"push.internal"}
	change(&cfg)
	log = new(logBuffer)
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := New(cfg, memory.New(), Options{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	s.admin = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "reached") })
	main, public, admin = s.routes()
	return main, public, admin, log
}

func answerOf(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func wantReached(t *testing.T, what string, w *httptest.ResponseRecorder, want bool) {
	t.Helper()
	if got := w.Body.String() == "reached"; got != want {
		t.Errorf("%s: reached the admin API: %v, want %v", what, got, want)
	}
	if !want && (w.Code != 404 || w.Body.String() != "Not Found\r\n") {
		t.Errorf("%s: %d %q, want a 404 without detail", what, w.Code, w.Body)
	}
}

func TestAdminAccessWithoutToken(t *testing.T) {
	for _, dedicated := range []bool{false, true} {
		for _, tt := range asks {
			main, public, admin, log := doors(t, func(c *Config) {
				if dedicated {
					c.AdminListen = "127.0.0.1:0"
				}
			})
			ask := func(h http.Handler) *httptest.ResponseRecorder {
				r := plainCall()
				tt.change(r)
				return answerOf(h, r)
			}
			wantReached(t, tt.name+" at the public door", ask(public), false)
			wantReached(t, tt.name+" at the admin door", ask(admin), tt.backend)
			if reason := log.String(); !strings.Contains(reason, tt.reason) || (reason == "") != (tt.reason == "") {
				t.Errorf("%s: the log says %q, want the reason %q", tt.name, reason, tt.reason)
			}
			wantReached(t, tt.name+" at the main door", ask(main), tt.backend && !dedicated)
		}
	}
}

// With a token, it decides, and nothing else does.
func TestAdminAccessWithToken(t *testing.T) {
	credentials := []struct {
		name   string
		change func(*http.Request)
		right  bool
	}{
		{"no token", func(*http.Request) {}, false},
		{"the token", header("Authorization", "Bearer "+rightToken), true},
		{"the token, bearer in small letters", header("Authorization", "bearer "+rightToken), true},
		{"another token", header("Authorization", "Bearer "+wrongToken), false},
		{"the token's beginning", header("Authorization", "Bearer "+rightToken[:10]), false},
		{"the token and more", header("Authorization", "Bearer "+rightToken+"x"), false},
		{"an empty token", header("Authorization", "Bearer "), false},
		{"the token as Basic", header("Authorization", "Basic "+rightToken), false},
		{"the token alone", header("Authorization", rightToken), false},
		{"the token in the query", func(r *http.Request) { r.URL.RawQuery = "admin_token=" + rightToken }, false},
		{"the token in a cookie", header("Cookie", "Authorization=Bearer "+rightToken), false},
	}
	for _, dedicated := range []bool{false, true} {
		main, public, admin, log := doors(t, func(c *Config) {
			c.AdminToken = rightToken
			if dedicated {
				c.AdminListen = "0.0.0.0:8084" // nobody listens there; with a token it may be said
			}
		})
		for _, cred := range credentials {
			for _, tt := range asks {
				ask := func(h http.Handler) *httptest.ResponseRecorder {
					r := plainCall()
					tt.change(r)
					cred.change(r)
					return answerOf(h, r)
				}
				what := cred.name + ", " + tt.name
				wantReached(t, what+" at the public door", ask(public), false)
				wantReached(t, what+" at the admin door", ask(admin), cred.right)
				wantReached(t, what+" at the main door", ask(main), cred.right && !dedicated)
			}
		}
		if text := log.String(); !strings.Contains(text, "admin token") {
			t.Errorf("the log does not say why: %q", text)
		} else if strings.Contains(text, rightToken[:8]) || strings.Contains(text, wrongToken[:8]) {
			t.Errorf("the log has a token: %q", text)
		}
	}
}

// Who may not call learns no more than from a URL that is not there.
func TestRefusalLooksLikeNothing(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE"} {
		main, public, _, _ := doors(t, func(c *Config) { c.AdminToken = rightToken })
		ask := func(h http.Handler, path string) string {
			r := plainCall()
			r.Method, r.URL.Path = method, path
			w := answerOf(h, r)
			var b strings.Builder
			w.Result().Write(&b)
			return b.String()
		}
		nothing := ask(public, "/nothing/here")
		for what, got := range map[string]string{
			"refused":                    ask(main, "/"),
			"refused at /rpc":            ask(main, "/rpc"),
			"the public door":            ask(public, "/"),
			"the public door's /rpc":     ask(public, "/rpc"),
			"nothing, at the other door": ask(main, "/nothing/here"),
		} {
			if got != nothing {
				t.Errorf("%s %s:\n%s\nwant what a URL answers that is not there:\n%s", method, what, got, nothing)
			}
		}
	}
}

// A flood of refused calls is not a flood of lines.
func TestRefusalsAreLoggedRarely(t *testing.T) {
	main, _, _, log := doors(t, func(*Config) {})
	for range 1000 {
		r := plainCall()
		r.Header.Set("Origin", "http://evil.test")
		answerOf(main, r)
	}
	if lines := strings.Count(log.String(), "\n"); lines < 1 || lines > 10 {
		t.Errorf("%d lines for 1000 refused calls", lines)
	}
}

// spellings are ways to write the admin API's URLs, proper ones among them.
var spellings = []string{
	"/", "/rpc", "//", "/rpc/", "/RPC", "/Rpc", "/./", "/./rpc", "/../rpc", "/x/../rpc", "/%2e/rpc", "/%2E%2E/rpc",
	"/%72pc", "/rp%63", "/%72%70%63", "/%2f", "/%2frpc", "/rpc%2f", "/rpc%00", "/rpc;x", "/rpc?x", "/?", "/?rpc", "/rpc#x",
	"//rpc", "///rpc", "/rpc//", "/\\rpc", "/%5crpc", "/rpc%20", "/rpc.", "/rpc%3f", "/rpc%c0%af", "/%u0072pc", "*",
	"http://127.0.0.1/", "http://127.0.0.1/rpc", "http://127.0.0.1", "http://evil.test/rpc", "HTTP://LOCALHOST/rpc",
	"/static/../rpc", "/static/..%2frpc", "/message_updates/../rpc", "/healthz/../", "/static/shaveet.js/../../rpc",
}

func TestPublicDoorHasNoAdminAPI(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.AdminToken = rightToken })
	create := rpcBody("create_client", "intruder")
	for _, method := range []string{"POST", "GET", "PUT", "OPTIONS", "CONNECT", "TRACE", "PROPFIND"} {
		for _, target := range spellings {
			status := rawStatus(t, r.pub, method+" "+target+" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"+
				"Authorization: Bearer "+rightToken+"\r\nContent-Length: "+length(create)+"\r\n\r\n"+create)
			if status != 404 && status != 400 {
				t.Errorf("%s %s at the public door: %d, want 404", method, target, status)
			}
		}
	}
	if r.srv.hub.Stats().Clients != 0 {
		t.Error("somebody reached the admin API by the public door")
	}
}

// At the main door the admin API has two names and no other.
func TestAdminAPIHasTwoNames(t *testing.T) {
	t.Parallel()
	r := start(t)
	list := rpcBody("system.list_methods")
	proper := map[string]bool{
		"/": true, "/rpc": true, "/rpc?x": true, "/?": true, "/?rpc": true,
		"http://127.0.0.1/": true, "http://127.0.0.1/rpc": true, "HTTP://LOCALHOST/rpc": true,
	}
	for _, target := range spellings {
		status := rawStatus(t, r.main, "POST "+target+" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"+
			"Content-Length: "+length(list)+"\r\n\r\n"+list)
		if got := status == 200; got != proper[target] {
			t.Errorf("POST %s: %d; is it a name of the admin API: %v", target, status, proper[target])
		}
	}
}
