package server

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	clientjs "github.com/shaveet/shaveet/client-js"
)

// raw sends bytes and returns all that comes back until the server closes the
// connection.
func raw(t testing.TB, addr, request string) string {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	go io.WriteString(c, request) // the server need not read all of it
	answer, err := io.ReadAll(c)
	if ne, ok := err.(interface{ Timeout() bool }); ok && ne.Timeout() {
		t.Errorf("the connection stays open after %.80q; answered %.80q", request, answer)
	}
	return string(answer)
}

// rawStatus is the status of the answer to request, 0 for no answer.
func rawStatus(t testing.TB, addr, request string) (status int) {
	t.Helper()
	fmt.Sscanf(raw(t, addr, request), "HTTP/1.1 %d", &status)
	return status
}

func length(body string) string { return fmt.Sprint(len(body)) }

// urls has every URL: what GET answers at each of the doors.
var urls = []struct {
	path                             string
	main, public, mainBeside, theAdm int // mainBeside: with a door for the admin API alone, theAdm
}{
	{"/message_updates", 400, 400, 400, 404}, // there, but without parameters
	{"/message_updates?callback=cb&client_id=nobody_!!_key", 404, 404, 404, 404},
	{"/longpoll", 400, 400, 400, 404},
	{"/longpoll?client_id=nobody_!!_key", 404, 404, 404, 404},
	{"/static/shaveet.js", 200, 200, 200, 404},
	{"/static/shaveet.mjs", 200, 200, 200, 404},
	{"/static/tabs.mjs", 200, 200, 200, 404},
	{"/static/shaveet.js?disableCORS=1", 200, 200, 200, 404},
	{"/socket.io/", 400, 400, 400, 404},
	{"/socket.io", 400, 400, 400, 404},
	{"/socket.io/?EIO=4&transport=polling", 200, 200, 200, 404},
	{"/socket.io/socket.io.js", 200, 200, 200, 404},
	{"/socket.io/socket.io.min.js", 200, 200, 200, 404},
	{"/socket.io/socket.io.esm.min.js", 200, 200, 200, 404},
	{"/healthz", 200, 200, 200, 200},
	{"/readyz", 200, 200, 200, 200},
	{"/readyz?x=1", 200, 200, 200, 200},
	{"/", 405, 404, 404, 405}, // POST only
	{"/rpc", 405, 404, 404, 405},
	{"/metrics", 200, 404, 404, 200},
	{"/debug/pprof/", 200, 404, 404, 200},
	{"/debug/pprof/heap", 200, 404, 404, 200},
	{"/debug/pprof/goroutine?debug=2", 200, 404, 404, 200},
	{"/debug/pprof/trace?seconds=0", 400, 404, 404, 400},

	// Nothing else is there.
	{"/message_updates/", 404, 404, 404, 404},
	{"/message_updatesx", 404, 404, 404, 404},
	{"/message%5fupdates", 404, 404, 404, 404},
	{"/engine.io/", 404, 404, 404, 404},
	{"/engine.io/?EIO=4&transport=polling", 404, 404, 404, 404},
	{"/socket.io/x", 404, 404, 404, 404},
	{"/socket.io//", 404, 404, 404, 404},
	{"/socket%2eio/", 404, 404, 404, 404},
	{"/socket.io/1/", 404, 404, 404, 404}, // as clients before 1.0 ask
	{"/socket.io/LICENSE", 404, 404, 404, 404},
	{"/socket.io/socket.io.js.map", 404, 404, 404, 404},
	{"/socket.io/socket.io.msgpack.min.js", 404, 404, 404, 404},
	{"/socket.io/shaveet.js", 404, 404, 404, 404},
	{"/static/socket.io.js", 404, 404, 404, 404},
	{"/static", 404, 404, 404, 404},
	{"/static/", 404, 404, 404, 404},
	{"/static/index.html", 404, 404, 404, 404},
	{"/static/shaveet.d.ts", 404, 404, 404, 404},
	{"/static/shaveet.js/", 404, 404, 404, 404},
	{"/healthz/", 404, 404, 404, 404},
	{"/HEALTHZ", 404, 404, 404, 404},
	{"/favicon.ico", 404, 404, 404, 404},
	{"/robots.txt", 404, 404, 404, 404},
	{"/index.html", 404, 404, 404, 404},
	{"/admin", 404, 404, 404, 404},
	{"/debug/vars", 404, 404, 404, 404},
	{"/debug/pprof", 404, 404, 404, 404},
	{"/debug/pprof/cmdline", 404, 404, 404, 404},
	{"/debug/pprof/nothing", 404, 404, 404, 404},
	{"/metrics/", 404, 404, 404, 404},
	{"/longpoll/", 404, 404, 404, 404},
	{"/.git/config", 404, 404, 404, 404},
}

func TestURLs(t *testing.T) {
	t.Parallel()
	two := start(t)
	three := start(t, func(c *Config) { c.AdminListen = "127.0.0.1:0" })
	for _, u := range urls {
		for _, door := range []struct {
			name, addr string
			want       int
		}{
			{"main", two.main, u.main},
			{"public", two.pub, u.public},
			{"main beside an admin door", three.main, u.mainBeside},
			{"public beside an admin door", three.pub, u.public},
			{"admin", three.adm, u.theAdm},
		} {
			if status, _ := get(t, "http://"+door.addr+u.path); status != door.want {
				t.Errorf("GET %s at the %s door: %d, want %d", u.path, door.name, status, door.want)
			}
		}
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	r := start(t)
	const poll = "/message_updates?callback=cb&client_id=nobody_!!_key"
	for _, tt := range []struct {
		path    string
		allowed string
		ok      int // what the allowed methods answer
	}{
		{"/static/shaveet.js", "GET, HEAD", 200},
		{poll, "GET, HEAD", 0},
		{"/", "POST", 200},
		{"/rpc", "POST", 200},
		{"/longpoll?client_id=nobody_!!_key", "GET, POST, OPTIONS", 0},
		{"/metrics", "GET", 200},
		{"/debug/pprof/heap", "GET", 200},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			req, _ := http.NewRequest(method, "http://"+r.main+tt.path, nil)
			resp, err := oneShot.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			switch allowed := strings.Contains(", "+tt.allowed+",", ", "+method+","); {
			case allowed && tt.ok != 0 && resp.StatusCode != tt.ok:
				t.Errorf("%s %s: %d, want %d", method, tt.path, resp.StatusCode, tt.ok)
			case !allowed && (resp.StatusCode != 405 || resp.Header.Get("Allow") != tt.allowed):
				t.Errorf("%s %s: %d, Allow %q, want 405, %q", method, tt.path, resp.StatusCode, resp.Header.Get("Allow"), tt.allowed)
			}
		}
	}
}

func TestStaticFile(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, name := range []string{"shaveet.js", "shaveet.mjs"} {
		content, err := clientjs.Files.ReadFile("dist/" + name)
		if err != nil {
			t.Fatal(err)
		}
		wantFile(t, "http://"+r.pub+"/static/"+name, content)
	}
}

// wantFile asks for a file of a client library in all ways.
func wantFile(t *testing.T, url string, content []byte) {
	t.Helper()
	ask := func(method, url string, header ...string) (*http.Response, string) {
		req, _ := http.NewRequest(method, url, nil)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := oneShot.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: no nosniff", method, url)
		}
		return resp, string(body)
	}

	resp, body := ask("GET", url)
	if resp.StatusCode != 200 || body != string(content) {
		t.Errorf("%s: %d, %d bytes, want the file", url, resp.StatusCode, len(body))
	}
	etag := resp.Header.Get("ETag")
	if len(etag) < 10 || etag[0] != '"' {
		t.Errorf("%s: ETag %q is not a strong one", url, etag)
	}
	for key, want := range map[string]string{
		"Content-Type":                "text/javascript; charset=utf-8",
		"Access-Control-Allow-Origin": "*",
		"Cache-Control":               "public, no-cache",
	} {
		if got := resp.Header.Get(key); got != want {
			t.Errorf("%s: %s: %q, want %q", url, key, got, want)
		}
	}

	if resp, body := ask("HEAD", url); resp.StatusCode != 200 || body != "" || resp.ContentLength != int64(len(content)) {
		t.Errorf("HEAD %s: %d, length %d", url, resp.StatusCode, resp.ContentLength)
	}
	if _, body := ask("GET", url+"?disableCORS=1&disableIECORS=1"); body != string(content) {
		t.Errorf("%s: the query changes the file", url)
	}
	for _, old := range []string{etag, "*", `"x", ` + etag, "W/" + etag} {
		if resp, body := ask("GET", url, "If-None-Match", old); resp.StatusCode != 304 || body != "" {
			t.Errorf("%s, If-None-Match %s: %d, want 304", url, old, resp.StatusCode)
		}
	}
	if resp, _ := ask("GET", url, "If-None-Match", `"another"`); resp.StatusCode != 200 {
		t.Errorf("%s, If-None-Match another: %d, want 200", url, resp.StatusCode)
	}
	ask("POST", url)
}

func TestStaticNamesNothingOutside(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, path := range []string{
		"/static/../server.go", "/static/..%2fserver.go", "/static/%2e%2e/server.go", "/static/%2e%2e%2fserver.go",
		"/static/..\\server.go", "/static/..%5cserver.go", "/static/%2e%2e%5cserver.go", "/static/%252e%252e/server.go",
		"/static/....//server.go", "/static/..;/server.go", "/static/.%00./server.go", "/static/shaveet.js%00.txt",
		"/static/shaveet.js/../shaveet.js", "/static/./shaveet.js", "/static//shaveet.js", "//static/shaveet.js",
		"/static/shaveet.js%20", "/static/shaveet.js.", "/static/shaveet.js::$DATA", "/static/SHAVEET.JS",
		"/static/%73haveet.js", "/static%2fshaveet.js", "/static/dist/shaveet.js", "/static/../static/shaveet.js",
		"/static/../../../../../../etc/passwd", "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/static//etc/passwd",
		"/static/%2fetc%2fpasswd", "/static/..%c0%afserver.go", "/static/..%ef%bc%8fserver.go", "/static/%uff0e%uff0e/server.go",
		"/static/~root/.profile", "/static/C:/boot.ini", "/static/file:///etc/passwd", "/static/embed.go",
		"/static/.", "/static/..", "/static/...", "/static/*", "/static/shaveet.j?", "/static/shaveet", "/static/.shaveet.js",
		"/../server.go", "/%2e%2e/go.mod", "/go.mod", "/server.go",
	} {
		answer := raw(t, r.pub, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 404 ") && !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
			t.Errorf("GET %s: %.60q, want 404", path, answer)
		}
	}
}

// What is said here is for now and for the asker, whatever the answer is.
func TestNobodyKeepsAnswers(t *testing.T) {
	t.Parallel()
	r := start(t)
	key := r.client("a", "room")
	r.call("new_message", "a", "hello", "room", false)
	for _, tt := range []struct {
		what, request, want string
	}{
		{"a poll with news", "GET " + pollPath("a", key), "no-store"},
		{"HEAD of a poll", "HEAD " + pollPath("a", key), "no-store"},
		{"a poll with a wrong key", "GET " + pollPath("a", "wrong"), "no-store"},
		{"a poll that makes no sense", "GET /message_updates", "no-store"},
		{"health", "GET /healthz", "no-store"},
		{"readiness", "GET /readyz", "no-store"},
		{"nothing", "GET /nothing", "no-store"},
		{"an admin call", "POST /", "no-cache"}, // as it always was; nobody keeps what a POST answers
		{"an admin call by GET", "GET /", "no-cache"},
	} {
		// Conditions and ranges mean nothing to what is made for the moment.
		c := dial(t, r.main)
		fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1\r\nIf-None-Match: *\r\n"+
			"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\nConnection: close\r\n\r\n", tt.request)
		resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: strings.Fields(tt.request)[0]})
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Cache-Control"); !strings.Contains(got, tt.want) {
			t.Errorf("%s: Cache-Control %q, want %s", tt.what, got, tt.want)
		}
		if resp.StatusCode == 304 || resp.StatusCode == 206 {
			t.Errorf("%s: %d", tt.what, resp.StatusCode)
		}
	}
}
