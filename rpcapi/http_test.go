package rpcapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

const (
	hello       = `{"method":"echo","params":["hello"],"id":1}`
	helloAnswer = `{"result": "hello", "id": 1}` + "\n"
)

// post sends body through ServeHTTP; header is "Name: value" or empty.
func post(a *API, body io.Reader, header string) *http.Response {
	r := httptest.NewRequest(http.MethodPost, "/", body)
	if name, value, ok := strings.Cut(header, ": "); ok {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w.Result()
}

func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAnswerHeaders(t *testing.T) {
	a, _ := newToy(Options{})
	resp := post(a, strings.NewReader(hello), "")
	if got := read(t, resp); resp.StatusCode != 200 || got != helloAnswer {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	want := http.Header{
		"Content-Type":   {"application/json"},
		"Content-Length": {fmt.Sprint(len(helloAnswer))},
		"Cache-Control":  {"no-cache"},
		"Pragma":         {"no-cache"},
	}
	if !reflect.DeepEqual(resp.Header, want) {
		t.Errorf("header %v", resp.Header)
	}
}

func TestStatus(t *testing.T) {
	a, _ := newToy(Options{})
	const note = `{"jsonrpc":"2.0","method":"update","params":[1]}`
	for _, tt := range []struct {
		body   string
		status int
	}{
		{hello, 200},
		{`{"method":"nope"}`, 200},
		{`{"jsonrpc":"2.0","method":"nope","id":1}`, 200},
		{`{"jsonrpc":"2.0","method":"crash","id":1}`, 200},
		{`{bad`, 200},
		{``, 200},
		{`[]`, 200},
		{note, 204},
		{`[` + note + `,` + note + `]`, 204},
		{`[` + note + `,1]`, 200},
		{`{"method":"update","params":[1],"id":null}`, 200},
	} {
		resp := post(a, strings.NewReader(tt.body), "")
		if resp.StatusCode != tt.status {
			t.Errorf("%s: %d", tt.body, resp.StatusCode)
		}
		if body := read(t, resp); (body == "") != (tt.status == 204) || resp.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %q %v", tt.body, body, resp.Header)
		}
	}
}

func TestMethodNotAllowed(t *testing.T) {
	a, toy := newToy(Options{})
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "post", "CONNECT", "BREW"} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest(method, "/?x", strings.NewReader(`{"method":"update","params":[1]}`)))
		h := w.Header()
		if w.Code != 405 || h.Get("Allow") != "POST" || h.Get("Content-Type") != "text/plain" ||
			h.Get("Cache-Control") != "no-cache" || !strings.Contains(w.Body.String(), "The method "+method+" ") {
			t.Errorf("%s: %d %v %s", method, w.Code, h, w.Body)
		}
	}
	if len(toy.ran) != 0 {
		t.Error("a method ran")
	}
}

func TestBodyHeaders(t *testing.T) {
	a, _ := newToy(Options{})
	for header, status := range map[string]int{
		"Content-Type: application/json":                                   200,
		"Content-Type: application/x-www-form-urlencoded":                  200,
		"Content-Type: text/plain":                                         200,
		"Content-Type: multipart/form-data; boundary=x":                    200,
		"Content-Type: application/json;charset=utf-8":                     200,
		"Content-Type: application/json ; charset=UTF-8":                   200,
		`Content-Type: application/json; charset="utf-8"`:                  200,
		"Content-Type: text/plain; charset=US-ASCII":                       200,
		"Content-Type: application/json;":                                  200,
		"Content-Type: nonsense;;=":                                        200,
		"Content-Type: application/json; charset=utf-16":                   415,
		"Content-Type: application/json; charset=iso-8859-1":               415,
		"Content-Type: application/json; =; charset=utf-16":                415,
		"Content-Type: application/json; charset=utf-8; charset=utf-16":    415,
		"Content-Type: application/json; charset*=utf-8''utf-16":           415,
		"Content-Type: application/json; charset=utf-8x":                   415,
		"Content-Encoding: identity":                                       200,
		"Content-Encoding: Identity":                                       200,
		"Content-Encoding: gzip":                                           415,
		"Content-Encoding: identity, gzip":                                 415,
		"Content-Encoding: br":                                             415,
		"X-Forwarded-For: 10.0.0.1 is none of this package's business, so": 200,
	} {
		resp := post(a, strings.NewReader(hello), header)
		if resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", header, resp.StatusCode, status)
		}
		if status == 415 && resp.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("%s: %v", header, resp.Header)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	a, _ := newToy(Options{MaxBody: 1000})
	exact := hello + strings.Repeat(" ", 1000-len(hello))
	if resp := post(a, strings.NewReader(exact), ""); resp.StatusCode != 200 || read(t, resp) != helloAnswer {
		t.Errorf("a body of exactly the limit: %d", resp.StatusCode)
	}

	// Announced: refused without a read.
	unread := iotest.ErrReader(fmt.Errorf("must not be read"))
	r := httptest.NewRequest(http.MethodPost, "/", unread)
	r.ContentLength = 1001
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if w.Code != 413 || w.Header().Get("Connection") != "close" {
		t.Errorf("announced: %d %v", w.Code, w.Header())
	}

	// Not announced: cut at the limit.
	endless := &counter{}
	resp := post(a, endless, "")
	if resp.StatusCode != 413 || resp.Header.Get("Connection") != "close" || endless.read > 4096 {
		t.Errorf("endless: %d %v after %d bytes", resp.StatusCode, resp.Header, endless.read)
	}

	if resp := post(a, io.MultiReader(strings.NewReader("{"), iotest.ErrReader(io.ErrUnexpectedEOF)), ""); resp.StatusCode != 400 {
		t.Errorf("broken off: %d", resp.StatusCode)
	}
}

// counter is an endless body of spaces that counts what is read of it.
type counter struct{ read int }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	c.read += len(p)
	return len(p), nil
}

// Over a real connection: chunks, keep-alive, and a large body announced.
func TestConnection(t *testing.T) {
	a, _ := newToy(Options{MaxBody: 1000})
	srv := httptest.NewServer(a)
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(conn)

	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n",
		10, hello[:10], len(hello)-10, hello[10:])
	wantAnswer(t, in, 200, helloAnswer)
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(hello), hello)
	wantAnswer(t, in, 200, helloAnswer)
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n")
	wantAnswer(t, in, 413, tooLargeText(1000)+"\n")
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the connection is still open: %v", err)
	}
}

func wantAnswer(t *testing.T, in *bufio.Reader, status int, body string) {
	t.Helper()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := read(t, resp); resp.StatusCode != status || got != body {
		t.Errorf("%d %s, want %d %s", resp.StatusCode, got, status, body)
	}
}
