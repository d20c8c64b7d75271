package webhook

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A call is one POST, signed with all secrets.
func TestCall(t *testing.T) {
	requests, bodies := make(chan *http.Request, 1), make(chan []byte, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- r
		bodies <- body
		write(w, answer(`{"a":1}`))
	})
	c := newCaller(t, s.URL+"/hook?x=1", func(o *Options) { o.Secrets, o.Version = []string{secret, otherSecret}, "1.2" })
	if got := call(c, patience); got != `result {"a":1}` {
		t.Fatal(got)
	}
	got, body := <-requests, <-bodies
	if want := `{"jsonrpc":"2.0","id":"` + id + `","method":"event","params":{"serial":1}}`; string(body) != want {
		t.Errorf("the body is %s, want %s", body, want)
	}
	if got.Method != "POST" || got.RequestURI != "/hook?x=1" {
		t.Errorf("%s %s", got.Method, got.RequestURI)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "User-Agent": "shaveet/1.2", "Shaveet-Id": id, "Accept-Encoding": ""} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	for _, s := range []string{secret, otherSecret} {
		if err := Verify(s, got.Header, body, time.Now()); err != nil {
			t.Errorf("with %s: %v", s, err)
		}
	}
	if err := Verify("another secret....", got.Header, body, time.Now()); err != ErrSignature {
		t.Errorf("with another secret: %v", err)
	}
}

// What a backend may answer, and what becomes of it.
func TestAnswers(t *testing.T) {
	status := func(n int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(n)
			write(w, body)
		}
	}
	text := func(s string) http.HandlerFunc { return status(200, s) }
	const most = 10_000
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"a result":        {text(answer("[1]")), "result [1]"},
		"201":             {status(201, answer("[1]")), "result [1]"},
		"204":             {status(204, ""), "result null"},
		"an error":        {text(`{"jsonrpc":"2.0","id":"` + id + `","error":{"code":7,"message":"no"}}`), `the backend's answer is the error 7, "no"`},
		"500":             {status(500, answer("[1]")), "failed"},
		"400":             {status(400, answer("[1]")), "failed"},
		"404":             {status(404, "not found"), "failed"},
		"501":             {status(501, ""), "failed"},
		"502":             {status(502, answer("[1]")), "lost"},
		"503":             {status(503, ""), "lost"},
		"504":             {status(504, ""), "lost"},
		"nothing":         {text(""), "failed"},
		"not JSON":        {text("hello"), "failed"},
		"HTML":            {text("<html>"), "failed"},
		"a batch":         {text("[" + answer("1") + "]"), "failed"},
		"another id":      {text(strings.Replace(answer("1"), "1b4e", "1b4f", 1)), "failed"},
		"two answers":     {text(answer("1") + answer("2")), "failed"},
		"as long as may":  {text(answer(`"` + strings.Repeat("x", most-len(answer(`""`))) + `"`)), `result "` + strings.Repeat("x", most-len(answer(`""`))) + `"`},
		"a byte too long": {text(answer(`"` + strings.Repeat("x", most-len(answer(`""`))+1) + `"`)), "failed"},
		"gzip": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte{0x1f, 0x8b, 8, 0})
		}, "failed"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				t.Error("the redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "failed"},
		"cookies": {func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			write(w, answer("1"))
		}, "result 1"},
		"killed": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "lost"},
		"half an answer": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			write(w, answer("1"))
		}, "lost"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, tt.serve)
			if got := call(newCaller(t, s.URL, func(o *Options) { o.MaxAnswerBytes = most }), patience); got != tt.want {
				t.Errorf("%.200s, want %.200s", got, tt.want)
			}
		})
	}
}

// An answer that never ends is not read to its end.
func TestEndlessAnswers(t *testing.T) {
	for name, declared := range map[string]string{"chunked": "", "declared": "100000000000"} {
		t.Run(name, func(t *testing.T) {
			var written atomic.Int64
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if declared != "" {
					w.Header().Set("Content-Length", declared)
				}
				block := bytes.Repeat([]byte(" "), 64<<10)
				for {
					n, err := w.Write(block)
					if err != nil {
						return
					}
					written.Add(int64(n))
				}
			})
			if got := call(newCaller(t, s.URL), patience); got != "failed" {
				t.Error(got)
			}
			s.Close()
			if n := written.Load(); n > 64<<20 {
				t.Errorf("%d bytes were written", n)
			}
		})
	}
}

// Nor is one waited for that would be too long.
func TestDeclaredAnswer(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1048577")
		w.(http.Flusher).Flush()
		io.ReadAll(r.Body)
		<-r.Context().Done()
	})
	if got := call(newCaller(t, s.URL), patience); got != "failed" {
		t.Error(got)
	}
}

// Who is slow is not waited for any longer than the caller wants, however slow it
// is.
func TestSlow(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		drips  bool
		want   string
	}{
		"hung":              {200, false, "canceled"},
		"drips":             {200, true, "canceled"},
		"drips after a 500": {500, true, "failed or canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				io.ReadAll(r.Body)
				if !tt.drips {
					cancel()
					<-r.Context().Done()
					return
				}
				w.WriteHeader(tt.status)
				for i := 0; r.Context().Err() == nil; i++ {
					io.WriteString(w, " ")
					w.(http.Flusher).Flush()
					if i == 10 {
						cancel()
					}
					time.Sleep(time.Millisecond) // between two drops
				}
			})
			result, err := newCaller(t, s.URL).Call(ctx, aCall())
			if got := outcome(string(result), err); !strings.Contains(tt.want, got) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// Whose time is over may have been heard all the same.
func TestLate(t *testing.T) {
	var calls atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.ReadAll(r.Body)
		if calls.Add(1) > 1 {
			<-r.Context().Done()
		}
		write(w, answer("1"))
	})
	c := newCaller(t, s.URL)
	if got := call(c, patience); got != "result 1" { // there is a connection now
		t.Fatal(got)
	}
	if got := call(c, 500*time.Millisecond); got != "late" {
		t.Error(got)
	}
}

// What was certainly not heard, and what may have been.
func TestSentOrNot(t *testing.T) {
	request := func(c net.Conn) { http.ReadRequest(bufio.NewReader(c)) }
	for name, tt := range map[string]struct {
		url  string
		want string
	}{
		"nobody listens": {nobody(t), "not sent"},
		"no such host":   {"http://host.invalid./", "not sent"},
		"no TLS":         {strings.Replace(scripted(t, func(c net.Conn) { io.ReadFull(c, make([]byte, 5)); io.WriteString(c, "HTTP/1.1 400 no\r\n\r\n") }), "http", "https", 1), "not sent"},
		"hangs up":       {scripted(t, request), "lost"},
		"not HTTP":       {scripted(t, func(c net.Conn) { request(c); io.WriteString(c, "SSH-2.0\r\n") }), "lost"},
		"half a header":  {scripted(t, func(c net.Conn) { request(c); io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-") }), "lost"},
		"another protocol": {scripted(t, func(c net.Conn) {
			request(c)
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
			io.Copy(io.Discard, c)
		}), "failed"},
		"a long header": {scripted(t, func(c net.Conn) {
			request(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 2*headerBytes)+"\r\n\r\n")
		}), "lost"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := call(newCaller(t, tt.url), patience); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// A certificate that is not trusted is not spoken to.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || r.ProtoMajor != 1 {
			t.Errorf("%v, TLS %v", r.Proto, r.TLS)
		}
		write(w, answer("1"))
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	if got := call(newCaller(t, s.URL), patience); got != "not sent" {
		t.Error(got)
	}
	trusting := &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	c := newCaller(t, s.URL, func(o *Options) { o.TLS = trusting })
	for range 3 {
		if got := call(c, patience); got != "result 1" {
			t.Error(got)
		}
	}
}

// Connections are used again, also after an answer that was refused.
func TestReuse(t *testing.T) {
	var mu sync.Mutex
	conns := make(map[string]bool)
	n := 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		conns[r.RemoteAddr] = true
		n++
		switch n % 3 {
		case 0:
			w.WriteHeader(500)
		case 1:
			write(w, "nonsense")
		default:
			write(w, answer("1"))
		}
	})
	c := newCaller(t, s.URL)
	for range 30 {
		call(c, patience)
	}
	mu.Lock()
	defer mu.Unlock()
	if n != 30 || len(conns) != 1 {
		t.Errorf("%d calls by %d connections", n, len(conns))
	}
}

// The environment has no say in where calls go.
func TestNoProxy(t *testing.T) {
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Errorf("the proxy was asked for %s", r.URL) })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	c := newCaller(t, "http://host.invalid./")
	if got := call(c, patience); got != "not sent" {
		t.Error(got)
	}
	if c.transport.Proxy != nil { // net/http reads the environment once
		t.Error("it asks the environment")
	}
}
