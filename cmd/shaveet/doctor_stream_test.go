package main

import (
	"bufio"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/tests/live"
)

// long is what a stream is held back for that is late, and what a doctor waits
// for who is to notice. It is long beside what a busy machine adds.
const long = 4 * delay

func isHTTPStream(r *http.Request) bool { return r.URL.Path == "/sse" || r.URL.Path == "/stream" }

// brokenStreams are proxies that let polls through, and not all of the rest.
var brokenStreams = []brokenProxy{
	{
		name: "refuses the upgrade by 400", front: refusing(400, "/websocket"),
		want: map[string]outcome{"websocket": warning, "WebSocket origin": skipped},
		text: "/websocket is not passed on (400 Bad Request)",
	},
	{
		name: "refuses the upgrade by 502", front: refusing(502, "/websocket"),
		want: map[string]outcome{"websocket": failure, "WebSocket origin": skipped},
		text: "/websocket is answered 502 Bad Gateway",
	},
	{
		name: "does not upgrade",
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("Upgrade")
				next.ServeHTTP(w, r)
			})
		},
		want: map[string]outcome{"websocket": warning, "WebSocket origin": skipped, "Socket.IO": warning},
		text: "/websocket is not passed on (426 Upgrade Required)",
	},
	{
		name: "knows no Socket.IO", front: refusing(404, "/socket.io/"),
		want: map[string]outcome{"Socket.IO": skipped},
		text: "/socket.io/ is not passed on, or not served (404 Not Found",
	},
	{
		name: "lets pages of Socket.IO poll only",
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/socket.io/" {
					r.Header.Del("Upgrade")
				}
				next.ServeHTTP(w, r)
			})
		},
		want: map[string]outcome{"Socket.IO": warning},
		text: "but not go over to a WebSocket: 400 Bad Request",
	},
	{
		name: "swallows what WebSockets of Socket.IO bring",
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/socket.io/" || r.Header.Get("Upgrade") == "" {
					next.ServeHTTP(w, r)
				} else if conn, _, _, err := ws.UpgradeHTTP(r, w); err == nil {
					io.Copy(io.Discard, conn)
					conn.Close()
				}
			})
		},
		change: func(d *doctor) { d.times.answer = long },
		want:   map[string]outcome{"Socket.IO": warning},
		text:   "but not go over to a WebSocket",
	},
	{
		name: "knows no streams", front: refusing(404, "/websocket", "/sse", "/stream"),
		want: map[string]outcome{"websocket": warning, "sse": warning, "stream": warning, "idle streams": skipped, "WebSocket origin": skipped},
		text: "/sse is not passed on (404 Not Found)",
	},
	{
		name: "answers streams itself", front: refusing(200, "/sse", "/stream"),
		want: map[string]outcome{"sse": warning, "stream": warning},
		text: "what answers for /sse is not Shaveet",
	},
	{
		name: "redirects streams", front: refusing(308, "/stream"),
		want: map[string]outcome{"stream": failure},
		text: "/stream is redirected (308",
	},
	{
		name: "gathers streams, and swallows frames", front: gathering("/websocket", "/sse", "/stream"),
		change: func(d *doctor) { d.times.answer = long },
		want:   map[string]outcome{"websocket": failure, "sse": failure, "stream": failure, "idle streams": skipped},
		text:   "begins (101 Switching Protocols), but nothing follows",
	},
	{
		name: "cuts streams in the middle", front: writingTo(func(w http.ResponseWriter, sent int, p []byte) (int, error) {
			if sent+len(p) < 400 {
				return w.Write(p)
			}
			w.Write(p[:max(0, 400-sent)])
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}),
		want: map[string]outcome{"sse": failure, "stream": failure},
		text: "but is cut before it brings a message",
	},
	{
		name: "has streams be late", front: writingTo(func(w http.ResponseWriter, sent int, p []byte) (int, error) {
			if strings.Contains(string(p), `"data"`) {
				time.Sleep(long)
			}
			return w.Write(p)
		}),
		change: func(d *doctor) { d.times.slow, d.times.tooSlow = long/4, long/2 },
		want:   map[string]outcome{"sse": failure, "stream": failure},
		text:   "or more after it was published",
	},
	{
		name: "compresses streams", front: compressing,
		want: map[string]outcome{"sse": warning, "stream": warning},
		text: "it is compressed (gzip)",
	},
	{
		name: "passes on no pings", front: withoutControl,
		want: map[string]outcome{"websocket": failure},
		text: "a ping to /websocket is not answered",
	},
}

// writingTo passes on streams by write, which is told how much it was given
// before.
func writingTo(write func(w http.ResponseWriter, sent int, p []byte) (int, error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isHTTPStream(r) {
				w = &writer{ResponseWriter: w, write: write}
			}
			next.ServeHTTP(w, r)
		})
	}
}

type writer struct {
	http.ResponseWriter
	write func(w http.ResponseWriter, sent int, p []byte) (int, error)
	sent  int
}

func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) Write(p []byte) (int, error) {
	before := w.sent
	w.sent += len(p)
	return w.write(w.ResponseWriter, before, p)
}

// compressing compresses streams, but sends at once what it has.
func compressing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isHTTPStream(r) || r.Header.Get("Accept-Encoding") != "gzip" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		next.ServeHTTP(&writer{ResponseWriter: w, write: func(_ http.ResponseWriter, _ int, p []byte) (int, error) {
			z.Write(p)
			return len(p), z.Flush()
		}}, r)
	})
}

// withoutControl passes on the frames of the server's that are text.
func withoutControl(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/websocket" {
			next.ServeHTTP(w, r)
			return
		}
		near, far := net.Pipe()
		defer far.Close()
		go func() {
			defer near.Close()
			next.ServeHTTP(&hijacked{ResponseWriter: w, conn: near}, r)
		}()
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		go io.Copy(far, c)
		head := make([]byte, 0, 1024)
		for one := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); head = append(head, one...) {
			if _, err := io.ReadFull(far, one); err != nil {
				return
			}
		}
		c.Write(head)
		for {
			f, err := readFrame(far)
			if err != nil {
				return
			}
			if f.Header.OpCode.IsData() {
				ws.WriteFrame(c, f)
			}
		}
	})
}

// hijacked gives its connection away.
type hijacked struct {
	http.ResponseWriter
	conn net.Conn
}

func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// What cuts connections that are quiet is found by holding them, and all at the
// same time.
func TestDoctorIdleStreams(t *testing.T) {
	t.Parallel()
	// Far longer than beatTime: a machine that is busy must not look like a proxy
	// without patience.
	const patienceOfProxy, hold = 8 * time.Second, 16 * time.Second
	_, addr := serving(t, nil)
	admin := "http://" + addr("main") + "/"
	site := cutsWhenIdle(t, addr("main"), patienceOfProxy)
	begun := time.Now()
	found := examined(t, "http://"+site, admin, func(d *doctor) { d.times.hold = hold })
	for _, name := range []string{"sse", "stream", "websocket", "WebSocket origin"} {
		if f := found[name]; f.Outcome != fine {
			t.Errorf("%s: %+v", name, f)
		}
	}
	f := found["idle streams"]
	for _, path := range []string{"/sse", "/stream", "/websocket"} {
		_, after, _ := strings.Cut(f.Text, path+" was cut after ")
		after, _, _ = strings.Cut(after, ":")
		// The proxy's clock may have begun a moment earlier.
		if took, err := time.ParseDuration(after); f.Outcome != failure || err != nil || took < patienceOfProxy*3/4 || took >= hold {
			t.Errorf("%+v, without %s", f, path)
		}
	}
	if len(f.Advice) == 0 || found["idle time-out"].Outcome != failure {
		t.Errorf("%+v %+v", f, found["idle time-out"])
	}
	t.Logf("it took %s", time.Since(begun))
	found = examined(t, "http://"+site, admin, func(d *doctor) { d.quick = true })
	if f := found["idle streams"]; f.Outcome != skipped || found["websocket"].Outcome != fine {
		t.Errorf("--quick: %+v", found)
	}
}

// cutsWhenIdle passes connections on until nothing has come from the server for
// a time.
func cutsWhenIdle(t *testing.T, target string, limit time.Duration) (addr string) {
	t.Helper()
	return between(t, target, func(_ int, near, far net.Conn) {
		for buf := make([]byte, 32<<10); ; {
			far.SetReadDeadline(time.Now().Add(limit))
			n, err := far.Read(buf)
			near.Write(buf[:n])
			if err != nil {
				return
			}
		}
	})
}

// between stands between readers and a server. carry passes on what the server
// says; after it the connection ends. n counts connections.
func between(t *testing.T, target string, carry func(n int, near, far net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for n := 0; ; n++ {
			near, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer near.Close()
				far, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer far.Close()
				all.Go(func() {
					io.Copy(far, near)
					far.Close()
				})
				carry(n, near, far)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

// Browsers leave it to the server which pages may open a WebSocket.
func TestDoctorSocketOrigin(t *testing.T) {
	t.Parallel()
	const app = "https://app.example"
	_, addr := serving(t, nil, "--allowed-origins", app, "--heartbeat-time", "300ms")
	direct := "http://" + addr("main")
	other := httptest.NewServer(proxyTo(t, direct)) // as another host
	defer other.Close()
	next := proxyTo(t, direct)
	careless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/websocket" {
			r.Header.Del("Origin")
		}
		next.ServeHTTP(w, r)
	}))
	defer careless.Close()
	for _, tt := range []struct {
		site, origin string
		want         outcome
		text         string
	}{
		{direct, "", fine, "pages of https://doctor.invalid may not open them"},
		{direct, app, fine, "pages of https://app.example may open them"},
		{direct, "https://other.example", failure, "is it in allowed_origins?"},
		{other.URL, "", warning, "not even pages of " + other.URL},
		{careless.URL, "", failure, "something takes Origin off"},
	} {
		found := examined(t, tt.site, direct+"/", func(d *doctor) {
			d.quick = true
			if tt.origin != "" {
				d.origin, d.named = tt.origin, true
			}
		})
		if f := found["WebSocket origin"]; f.Outcome != tt.want || !strings.Contains(f.Text, tt.text) {
			t.Errorf("%s as %s: %+v", tt.site, tt.origin, f)
		}
		if f := found["websocket"]; f.Outcome != fine {
			t.Errorf("%+v", f)
		}
	}
}

// A doctor who is interrupted while he holds streams leaves nothing behind.
func TestDoctorIsInterruptedWhileIdle(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	r := begin(t, nil, "doctor", "--admin-url", base+"/", "--hold", "1h", base)
	live.Until(t, "it holds a poll and all streams", patience, func() bool { return sessions(t, base) == 4 })
	if r.stop() != 1 {
		t.Errorf("%s", &r.stdout)
	}
	nothingLeft(t, base)
}
