package park

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What the crew reads by itself, net/http reads in the same way.
func FuzzQuick(f *testing.F) {
	const browser = "Host: example.com:8080\r\nConnection: keep-alive\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nOrigin: https://example.com\r\nCookie: a=b; c=\"d\"\r\n"
	for _, seed := range []string{
		"GET /longpoll?client_id=a&cursor=1.2 HTTP/1.1\r\n" + browser + "\r\n",
		"POST /longpoll HTTP/1.1\r\n" + browser + "Content-Type: application/json\r\nContent-Length: 5\r\n\r\n{\"a\"}GET / HTTP/1.1\r\n",
		"GET //x/../%41?a=%zz;b#c HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://x/ HTTP/1.1\r\nHost: y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX : a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
		"GET /websocket HTTP/1.1\r\n" + browser[:len(browser)-2] + "\r\nUpgrade: websocket\r\nSec-WebSocket-Key: c2hhdmVldC1iZW5jaC1rZQ==\r\n\r\n\x81\x80",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nUpgrade: websocket\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n",
	} {
		f.Add([]byte(seed))
	}
	lot := New(Options{Quick: func(string, bool) bool { return true }})
	f.Fuzz(func(t *testing.T, came []byte) {
		d := desks.New().(*desk)
		r, rest, ok := lot.readQuick(came, &http.Server{}, d)
		if !ok {
			return
		}
		mine := told(r) + fmt.Sprintf(" behind it %q", rest)
		if theirs := byNetHTTP(t, came, len(came)-len(rest)) + fmt.Sprintf(" behind it %q", rest); mine != theirs {
			t.Errorf("here: %s\nnet/http: %s", mine, theirs)
		}
	})
}

func told(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	return fmt.Sprintf("%s %s %q %q %s %v %d %v %v %q %v", r.Method, r.RequestURI, r.URL.String(), r.Host, r.Proto, r.Header,
		r.ContentLength, r.TransferEncoding, r.Close, body, err)
}

// byNetHTTP returns what a server of net/http reads, of which this is one whole
// request.
func byNetHTTP(t *testing.T, came []byte, length int) (what string) {
	what = "refused"
	ln := newOneConn(came[:length])
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { what = told(r) })}
	srv.Serve(ln)
	<-ln.over
	return what
}

// What the crew does not serve by itself.
func TestNotQuick(t *testing.T) {
	const host = "Host: x\r\n"
	for name, request := range map[string]string{
		"half a head":          "GET / HTTP/1.1\r\n" + host,
		"half a body":          "POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nab",
		"another method":       "HEAD / HTTP/1.1\r\n" + host + "\r\n",
		"an older version":     "GET / HTTP/1.0\r\n" + host + "\r\n",
		"another path":         "GET /other HTTP/1.1\r\n" + host + "\r\n",
		"no host":              "GET / HTTP/1.1\r\n\r\n",
		"two hosts":            "GET / HTTP/1.1\r\n" + host + host + "\r\n",
		"a strange host":       "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
		"a body of GET":        "GET / HTTP/1.1\r\n" + host + "Content-Length: 1\r\n\r\na",
		"chunks":               "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":          "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
		"a signed length":      "POST / HTTP/1.1\r\n" + host + "Content-Length: +1\r\n\r\na",
		"an expectation":       "POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 1\r\n\r\na",
		"another protocol":     "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"several protocols":    "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
		"an upgrade of POST":   "POST / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nContent-Length: 0\r\n\r\n",
		"a protocol of POST":   "POST / HTTP/1.1\r\n" + host + "Upgrade: websocket\r\nContent-Length: 0\r\n\r\n",
		"other options":        "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket\r\n\r\n",
		"its last":             "GET / HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n",
		"a folded line":        "GET / HTTP/1.1\r\n" + host + "X: a\r\n b\r\n\r\n",
		"a space before colon": "GET / HTTP/1.1\r\n" + host + "X : a\r\n\r\n",
		"a bare line feed":     "GET / HTTP/1.1\r\n" + host + "X: a\nY: b\r\n\r\n",
		"another alphabet":     "GET / HTTP/1.1\r\n" + host + "X: \xe4\r\n\r\n",
		"a long head":          "GET / HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", 5000) + "\r\n\r\n",
	} {
		lot := New(Options{Quick: func(path string, _ bool) bool { return path == "/" }})
		if _, _, ok := lot.readQuick([]byte(request), &http.Server{MaxHeaderBytes: 4096}, desks.New().(*desk)); ok {
			t.Errorf("%s is served", name)
		}
	}
}

// The answers are those of net/http, to the byte.
func TestQuickAnswers(t *testing.T) {
	dateless := func(b []byte) string {
		before, after, _ := bytes.Cut(b, []byte("Date: "))
		_, after, _ = bytes.Cut(after, crlf)
		return string(before) + string(after)
	}
	for name, h := range map[string]http.HandlerFunc{
		"nothing":    func(http.ResponseWriter, *http.Request) {},
		"text":       func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
		"no content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"an error":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) },
		"headers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Vary", "Origin")
			w.Header().Set("Content-Length", "2")
			w.Header().Set("A", "b")
			w.WriteHeader(http.StatusTeapot)
			w.Header().Set("Late", "x")
			io.WriteString(w, "{}")
		},
		"its last": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			io.WriteString(w, "{}")
		},
	} {
		const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
		ln := newOneConn([]byte(request))
		(&http.Server{Handler: h}).Serve(ln)
		<-ln.over
		w := &quickWriter{header: make(http.Header)}
		h(w, httptest.NewRequest("GET", "/", nil))
		if mine := w.answer(nil); dateless(mine) != dateless(ln.said.Bytes()) {
			t.Errorf("%s:\n%q\n%q", name, dateless(mine), dateless(ln.said.Bytes()))
		}
	}
}

// TestQuickPanics: somebody is told of a handler's panic, unless it means to end
// its connection only.
func TestQuickPanics(t *testing.T) {
	for name, test := range map[string]struct {
		panics any
		told   int
	}{
		"none": {nil, 0}, "a panic": {"oh", 1}, "an abort": {http.ErrAbortHandler, 0},
	} {
		told := 0
		lot := New(Options{Panicked: func(any, []byte) { told++ }})
		well := lot.serveWell(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if test.panics != nil {
				panic(test.panics)
			}
		}), nil, nil)
		if well != (test.panics == nil) || told != test.told {
			t.Errorf("%s: well: %v, told %d times", name, well, told)
		}
	}
}
