package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const page = "https://app.example.org"

// asking is a request for /longpoll with some headers.
func asking(method, query string, header ...string) *http.Request {
	r := httptest.NewRequest(method, "/longpoll?client_id=nobody_!!_key"+query, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestCrossOrigin(t *testing.T) {
	preflight := func(origin, method, headers string) *http.Request {
		r := asking("OPTIONS", "", "Origin", origin, "Access-Control-Request-Method", method)
		if headers != "" {
			r.Header.Set("Access-Control-Request-Headers", headers)
		}
		return r
	}
	listed := []string{page, "https://*.test", "http://localhost:3000"}
	for _, tt := range []struct {
		name    string
		origins []string
		ask     *http.Request
		status  int
		allowed string // Access-Control-Allow-Origin
	}{
		{"simple, all allowed", []string{"*"}, asking("GET", "", "Origin", page), 404, "*"},
		{"POST, all allowed", []string{"*"}, asking("POST", "", "Origin", page, "Content-Type", "text/plain"), 404, "*"},
		{"a sandboxed page, all allowed", []string{"*"}, asking("GET", "", "Origin", "null"), 404, "*"},
		{"JSONP has no origin", []string{"*"}, asking("GET", "&callback=cb"), 200, ""},
		{"preflight, all allowed", []string{"*"}, preflight(page, "GET", "authorization"), 204, "*"},
		{"preflight of a POST", []string{"*"}, preflight(page, "POST", "authorization,content-type"), 204, "*"},
		{"preflight of a DELETE", []string{"*"}, preflight(page, "DELETE", ""), 204, ""},
		{"preflight with another header", []string{"*"}, preflight(page, "GET", "x-other"), 204, ""},
		{"OPTIONS that is no preflight", []string{"*"}, asking("OPTIONS", "", "Origin", page), 204, "*"},

		{"simple, listed", listed, asking("GET", "", "Origin", page), 404, page},
		{"POST, listed", listed, asking("POST", "", "Origin", page), 404, page},
		{"listed with a port", listed, asking("GET", "", "Origin", "http://localhost:3000"), 404, "http://localhost:3000"},
		{"by the *", listed, asking("GET", "", "Origin", "https://a.b.test"), 404, "https://a.b.test"},
		{"preflight, listed", listed, preflight(page, "POST", "authorization"), 204, page},
		{"no origin", listed, asking("GET", ""), 404, ""},
		{"JSONP, whatever is listed", listed, asking("GET", "&callback=cb"), 200, ""},

		{"another origin", listed, asking("GET", "", "Origin", "https://evil.example.org"), 403, ""},
		{"another origin's POST", listed, asking("POST", "", "Origin", "https://evil.example.org"), 403, ""},
		{"another origin's preflight", listed, preflight("https://evil.example.org", "GET", ""), 403, ""},
		{"another origin's JSONP", listed, asking("GET", "&callback=cb", "Origin", "https://evil.example.org"), 403, ""},
		{"another scheme", listed, asking("GET", "", "Origin", "http://app.example.org"), 403, ""},
		{"another port", listed, asking("GET", "", "Origin", page+":8443"), 403, ""},
		{"a longer name", listed, asking("GET", "", "Origin", page+".evil.net"), 403, ""},
		{"the * for nothing", listed, asking("GET", "", "Origin", "https://.test"), 404, "https://.test"}, // no browser has it
		{"beside the *", listed, asking("GET", "", "Origin", "https://atest"), 403, ""},
		{"a sandboxed page", listed, asking("GET", "", "Origin", "null"), 403, ""},
		{"nobody listed", nil, asking("GET", "", "Origin", page), 403, ""},
		{"nobody listed, no origin", nil, asking("GET", ""), 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, public, _, _ := doors(t, func(c *Config) { c.AllowedOrigins = tt.origins })
			w := answerOf(public, tt.ask)
			h := w.Header()
			if w.Code != tt.status || h.Get("Access-Control-Allow-Origin") != tt.allowed {
				t.Errorf("%d, allowed %q; want %d, %q", w.Code, h.Get("Access-Control-Allow-Origin"), tt.status, tt.allowed)
			}
			if h.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("pages are given the browser's credentials")
			}
			if tt.status == 403 && (w.Body.String() != "Forbidden\r\n" || len(h.Values("Access-Control-Allow-Methods")) > 0) {
				t.Errorf("a page that may not ask learns %q, %v", w.Body, h)
			}
			if tt.status != 403 && !strings.Contains(strings.Join(h.Values("Vary"), ","), "Origin") {
				t.Error("a cache could give one page's answer to another")
			}
			preflight := tt.ask.Header.Get("Access-Control-Request-Method") != ""
			if preflight && tt.allowed != "" && h.Get("Access-Control-Max-Age") != "7200" {
				t.Errorf("Access-Control-Max-Age: %q", h.Get("Access-Control-Max-Age"))
			}
			if tt.ask.Method == "GET" && tt.allowed != "" && h.Get("Access-Control-Expose-Headers") != "Retry-After" {
				t.Errorf("Access-Control-Expose-Headers: %q", h.Get("Access-Control-Expose-Headers"))
			}
		})
	}
}

// A page of the host that it asks may ask, listed or not; the answer needs no
// leave for the browser to hand it over.
func TestOwnOrigin(t *testing.T) {
	for _, tt := range []struct {
		host, origin string
		own          bool
	}{
		{"app.example.org", "https://app.example.org", true},
		{"app.example.org", "http://app.example.org", true},
		{"App.Example.org", "https://app.example.org", true},
		{"app.example.org", "HTTPS://APP.example.org", true},
		{"app.example.org:8443", "https://app.example.org:8443", true},
		{"app.example.org:443", "https://app.example.org", true},
		{"app.example.org:80", "http://app.example.org", true},
		{"127.0.0.1:8082", "http://127.0.0.1:8082", true},
		{"[::1]:8082", "http://[::1]:8082", true},
		{"[::1]:80", "http://[::1]", true},

		{"app.example.org", "https://app.example.org:8443", false},
		{"app.example.org:8443", "https://app.example.org", false},
		{"app.example.org:8443", "https://app.example.org:8444", false},
		{"app.example.org:80", "https://app.example.org", false},
		{"app.example.org:443", "http://app.example.org", false},
		{"app.example.org", "https://www.app.example.org", false},
		{"app.example.org", "https://example.org", false},
		{"app.example.org", "https://app.example.org.evil.test", false},
		{"app.example.org", "https://app.example.org@evil.test", false},
		{"app.example.org", "capacitor://app.example.org", false},
		{"app.example.org", "app.example.org", false},
		{"app.example.org", "//app.example.org", false},
		{"app.example.org", "null", false},
		{"null", "null", false},
		{"", "https://", false},
		{":443", "https://", false},
		{"", "null", false},
	} {
		for _, origins := range [][]string{{"https://partner.test"}, nil} {
			_, public, _, _ := doors(t, func(c *Config) { c.AllowedOrigins = origins })
			r := asking("POST", "", "Origin", tt.origin)
			r.Host = tt.host
			w := answerOf(public, r)
			want := 403
			if tt.own {
				want = 404
			}
			if w.Code != want {
				t.Errorf("a page of %s asks %q, %q are allowed: %d, want %d", tt.origin, tt.host, origins, w.Code, want)
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("a page of %s asks %q: it is given %q", tt.origin, tt.host, got)
			}
		}
	}
}

// What a page that may not ask has sent is not read, and ends its connection.
func TestRefusedBodiesAreNotRead(t *testing.T) {
	_, public, _, _ := doors(t, func(c *Config) { c.AllowedOrigins = []string{page} })
	for _, tt := range []struct {
		path, method, body string
		status             int
		want               string
	}{
		{"/longpoll", "POST", "{}", 403, "close"},
		{"/longpoll", "POST", "", 403, ""},
		{"/longpoll", "GET", "", 403, ""},
		{"/nothing", "POST", "{}", 404, "close"},
		{"/nothing", "GET", "", 404, ""},
		{"/healthz", "POST", "{}", 400, "close"},
	} {
		r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
		r.Header.Set("Origin", "https://evil.test")
		w := answerOf(public, r)
		if got := w.Header().Get("Connection"); w.Code != tt.status || got != tt.want {
			t.Errorf("%s %s with %q: %d, Connection %q; want %d, %q", tt.method, tt.path, tt.body, w.Code, got, tt.status, tt.want)
		}
		if left, _ := io.ReadAll(r.Body); string(left) != tt.body {
			t.Errorf("%s %s: %q is left of %q", tt.method, tt.path, left, tt.body)
		}
	}
}

// Nothing else answers preflights.
func TestPreflightsElsewhere(t *testing.T) {
	main, _, _, _ := doors(t, func(*Config) {})
	for path, want := range map[string]int{
		"/message_updates": 405, "/static/shaveet.js": 405, "/": 404, "/rpc": 404, "/metrics": 404, "/nothing": 404,
	} {
		r := plainCall()
		r.Method, r.URL.Path = "OPTIONS", path
		r.Body, r.ContentLength = http.NoBody, 0
		r.Header.Set("Origin", page)
		r.Header.Set("Access-Control-Request-Method", "POST")
		if w := answerOf(main, r); w.Code != want || w.Header().Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: %d %v, want %d", path, w.Code, w.Header(), want)
		}
	}
}

func TestCheckOrigin(t *testing.T) {
	for origin, good := range map[string]bool{
		"*": true, page: true, "http://localhost:3000": true, "http://127.0.0.1:8080": true, "http://[::1]:8080": true,
		"https://*.example.org": true, "https://app-*.example.org": true, "http://*.localhost:3000": true,
		"capacitor://localhost": true, "chrome-extension://abcdef": true, "HTTPS://App.Example.org": true,

		"": false, "example.org": false, "//example.org": false, "https://": false, "https://example.org/": false,
		"https://example.org/path": false, "https://example.org?x": false, "https://example.org#x": false,
		"https://user@example.org": false, "https://example.org:443": false, "http://example.org:80": false,
		"https://example.org:": false, "https://example.org:http": false, "https://*": false, "*://example.org": false,
		"https://app.*.org": false, "https://*.*.org": false, "https://**.org": false, "https://*:8080": false,
		"https://example.org:*": false, "https://bücher.example": false, "null": false, " https://example.org": false,
		"https://example.org https://example.net": false, "https://a\n.org": false,
	} {
		if err := checkOrigin(origin); (err == nil) != good {
			t.Errorf("%q: %v, want it to be good: %v", origin, err, good)
		}
	}
}
