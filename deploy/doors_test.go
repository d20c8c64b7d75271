package deploy

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// TestSite looks at a whole site as a visitor does: the page's server, the
// script, and no key in any log, whatever happens.
func TestSite(t *testing.T) {
	t.Parallel()
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0")
		backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "the backend's page at ", r.URL.Path)
		}))
		defer backend.Close()
		s := p.start(t, behind{shaveet: srv.Public, backend: backend.URL})

		if _, body := get(t, s.base+"/news"); body != "the backend's page at /news" {
			t.Errorf("GET /news: %q", body)
		}
		for _, name := range []string{"shaveet.js", "shaveet.mjs"} {
			resp, body := get(t, s.base+"/static/"+name)
			if resp.StatusCode != 200 || !strings.Contains(body, "shaveet") {
				t.Errorf("%s: status %d, %.80q", name, resp.StatusCode, body)
			}
		}

		key := rpc[string](t, srv, "create_client", "ada")
		rpc[int](t, srv, "subscribe", "ada", "news")
		paths := []string{"/message_updates?callback=noop&", "/longpoll?"}
		for _, path := range paths {
			if resp, body := get(t, s.base+path+"client_id=ada_!!_"+key); resp.StatusCode != 200 {
				t.Errorf("%s: status %d, %q", path, resp.StatusCode, body)
			}
		}
		// Now the proxy has something to complain about.
		srv.Kill()
		paths = append(paths, "/sse?", "/stream?", "/websocket?")
		for _, path := range paths {
			if resp, _ := get(t, s.base+path+"client_id=ada_!!_"+key); resp.StatusCode/100 != 5 {
				t.Errorf("%s without Shaveet: status %d", path, resp.StatusCode)
			}
		}
		if strings.Contains(s.output(), key) {
			t.Error("the key is in the proxy's log")
		}
	})
}

// TestNoAdmin asks for what is the backend's and the operator's, in every
// spelling there is. For the worst case, the proxy sends all that it does not
// know to the public door, where a backend would be, and sends no forwarding
// header, which the main door would take for a reason to refuse.
func TestNoAdmin(t *testing.T) {
	t.Parallel()
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0")
		there := to(srv)
		there.change = func(conf string) string {
			return regexp.MustCompile(`(?m)^.*(X-Forwarded|option forwardfor).*\n`).ReplaceAllString(conf, "")
		}
		s := p.start(t, there)
		const body = `{"jsonrpc":"2.0","id":1,"method":"create_client","params":["intruder"]}`
		hosts := []string{s.addr(), "localhost", "127.0.0.1:8082", hostPort(srv.Main)}
		targets := append(spellings, "http://"+hostPort(srv.Main)+"/rpc", "http://"+hostPort(srv.Main)+"/")
		for _, target := range targets {
			for _, host := range hosts {
				for _, method := range []string{"POST", "GET"} {
					status := raw(t, s.addr(), method, target, host, body)
					// Proxies refuse some spellings themselves, as malformed.
					malformed := strings.Contains(target, "%00") || strings.HasPrefix(target, "http:")
					if status != 404 && !(status == 400 && malformed) {
						t.Errorf("%s %s with Host %s: status %d, want 404", method, target, host, status)
					}
				}
			}
		}
		if n := rpc[info](t, srv, "info").Counts.Clients; n != 0 {
			t.Errorf("%d clients were created from outside", n)
		}
	})
}

var spellings = []string{
	"/", "/rpc", "//", "//rpc", "/rpc/", "/./", "/./rpc", "/%2e/rpc", "/%2frpc", "/r%70c", "/?rpc", "/rpc?callback=x",
	"/RPC", "/rpc;x", "/rpc%00", "/x/../rpc", "/static/../rpc", "/static/shaveet.js/../../rpc", "/static/shaveet.%2f..%2f..%2frpc",
	"/message_updates/../rpc", "/message_updates/..", "/socket.io/../rpc", "/socket.io/..", "/socket.io/%2e%2e/rpc", "/socket.io/rpc", "/message_updates/%2e%2e/rpc", "/sse/../rpc", "/websocket/%2e%2e/rpc",
	"http://127.0.0.1:8082/", "http://127.0.0.1:8082/rpc", "http://localhost/rpc",
	"/metrics", "/metrics/", "//metrics", "/sse/../metrics", "/debug/pprof/", "/debug/pprof", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1",
}

// raw sends exactly this request target, which an HTTP library would clean up
// first, and returns the status of the answer. A GET has no body.
func raw(t *testing.T, addr, method, target, host, body string) (status int) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, target, host)
	if method == "GET" {
		body = ""
	} else {
		fmt.Fprintf(conn, "Content-Length: %d\r\n", len(body))
	}
	fmt.Fprintf(conn, "\r\n%s", body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestOwnOrigin is a site whose own pages may read and no others: that can only
// be told by the Host that the page has asked for, with its port.
func TestOwnOrigin(t *testing.T) {
	t.Parallel()
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--allowed-origins=https://elsewhere.example")
		s := p.start(t, to(srv))
		for _, path := range []string{"/longpoll", "/sse", "/stream", "/websocket"} {
			for origin, own := range map[string]bool{s.base: true, "https://evil.example": false} {
				req, err := http.NewRequestWithContext(t.Context(), "GET", s.base+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Origin", origin)
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if refused := resp.StatusCode == http.StatusForbidden; refused == own {
					t.Errorf("%s from a page of %s: status %d", path, origin, resp.StatusCode)
				}
			}
		}
	})
}

// TestAddress looks for a visitor's address: the log of Shaveet has the proxy's
// in its place, whatever headers say, since anybody could write them.
func TestAddress(t *testing.T) {
	t.Parallel()
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--access-log", "1")
		s := p.start(t, to(srv))
		const visitor = "203.0.113.7"
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.base+"/longpoll", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", visitor)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		live.Until(t, "a line for the request", 10*time.Second, func() bool { return strings.Contains(srv.Log(), "route=/longpoll") })
		for line := range strings.Lines(srv.Log()) {
			if strings.Contains(line, "route=/longpoll") && !strings.Contains(line, " peer=127.0.0.1:") {
				t.Errorf("the proxy's address is not in: %s", line)
			}
		}
		if strings.Contains(srv.Log(), visitor) {
			t.Errorf("somebody wrote into the log:\n%s", srv.Log())
		}
	})
}
