package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// shortTimes are those of a doctor who is in a hurry.
var shortTimes = doctorTimes{
	answer:  patience,
	pause:   50 * time.Millisecond,
	slow:    time.Minute, // the machine may be busy
	tooSlow: time.Minute,
	hold:    100 * time.Millisecond,
	longest: patience,
}

// examined is what the doctor finds, by check.
func examined(t *testing.T, site, admin string, change func(*doctor)) map[string]finding {
	t.Helper()
	p := &program{args: nil, stdout: io.Discard, stderr: io.Discard}
	args := []string{site}
	if admin != "" {
		args = append(args, "--admin-url", admin)
	}
	d, _, err := p.newDoctor(args)
	if err != nil {
		t.Fatal(err)
	}
	d.times = shortTimes
	if change != nil {
		change(d)
	}
	all := make(map[string]finding)
	for _, f := range d.examine(t.Context(), func(finding) {}) {
		if _, twice := all[f.Check]; twice {
			t.Errorf("%s is found twice", f.Check)
		}
		all[f.Check] = f
	}
	return all
}

// A healthy site: everything is well, and nothing is left on the server.
func TestDoctorFindsNothing(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil, "--public-listen", "127.0.0.1:0", "--poll-timeout", "200ms", "--heartbeat-time", "1s", "--websocket-compression")
	admin := "http://" + addr("main") + "/"
	for _, hold := range []time.Duration{0, shortTimes.hold} {
		found := examined(t, "http://"+addr("public"), admin, func(d *doctor) { d.times.hold = hold })
		for name, f := range found {
			if f.Outcome != fine && name != "certificate" && name != "descriptors" { // the machine's own
				t.Errorf("%s: %+v", name, f)
			}
		}
		if len(found) != len(checks)+1 {
			t.Errorf("%d findings of %d checks", len(found), len(checks))
		}
	}
	nothingLeft(t, strings.TrimSuffix(admin, "/"))
}

// On a busy server every poll has another cursor, whoever it is for.
func TestDoctorAtABusyServer(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil, "--public-listen", "127.0.0.1:0", "--poll-timeout", "2s", "--heartbeat-time", "2s")
	api := newAdminAPI("http://"+addr("main")+"/", "")
	next := proxyTo(t, "http://"+addr("public"))
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isPoll(r) {
			if _, err := api.call(r.Context(), "publish", []string{"elsewhere", "hello"}); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond) // so that there is something between any two polls
		}
		next.ServeHTTP(w, r)
	}))
	defer site.Close()
	got := run(t, nil, "doctor", "--admin-url", api.address, site.URL)
	if got.code != 0 || !strings.Contains(got.stdout, "ok    held poll") || !strings.Contains(got.stdout, "ok    idle time-out") {
		t.Errorf("%+v", got)
	}
}

// Polls after which there is always more do not keep it for ever, and what is
// there in pieces is read to its end.
func TestDoctorCatchesUp(t *testing.T) {
	t.Parallel()
	polls := 0
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		polls++
		fmt.Fprintf(w, `{"cursor": "1.%d", "signals": [], "messages": [{}], "more": %v}`, polls, polls != 3)
	}))
	defer site.Close()
	d := &doctor{base: site.URL, http: http.DefaultClient, times: doctorTimes{answer: patience}}
	if err := d.catchUp(t.Context()); err != nil || d.patient.cursor != "1.3" {
		t.Errorf("three pieces: at %s, %v", d.patient.cursor, err)
	}
	d.times.answer = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.catchUp(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("pieces without end: %v", err)
	}
}

// An admin API that is far away makes no delivery slow, and a slow delivery is
// one all the same.
func TestDoctorHeldPollByAFarAdminAPI(t *testing.T) {
	t.Parallel()
	const away, slow = 600 * time.Millisecond, 300 * time.Millisecond
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	for _, tt := range []struct {
		name          string
		there, back   time.Duration
		buffered      time.Duration
		want, outcome string
	}{
		{"on the way there", away, 0, 0, "held, and answered within", "ok"},
		{"on the way back", 0, away, 0, "held, and answered within", "ok"},
		{"and what buffers", away / 2, away / 2, 2 * away, "or more after it was published", "warn"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			admin := httptest.NewServer(slowly(proxyTo(t, base), tt.there, tt.back))
			defer admin.Close()
			site := httptest.NewServer(changed(func(_ *http.Request, a *httptest.ResponseRecorder) {
				if strings.Contains(a.Body.String(), `"data"`) {
					time.Sleep(tt.buffered)
				}
			})(proxyTo(t, base)))
			defer site.Close()
			times := shortTimes
			times.slow = slow
			d := &doctor{base: site.URL, api: newAdminAPI(admin.URL, ""), http: http.DefaultClient, times: times}
			if f := d.makeClient(t.Context()); f.Outcome != fine {
				t.Fatalf("%+v", f)
			}
			if f := d.heldPoll(t.Context()); string(f.Outcome) != tt.outcome || !strings.Contains(f.Text, tt.want) {
				t.Errorf("%+v, want %s and %q", f, tt.outcome, tt.want)
			}
		})
	}
}

// slowly passes on as over a long way.
func slowly(next http.Handler, there, back time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(there)
		a := httptest.NewRecorder()
		next.ServeHTTP(a, r)
		time.Sleep(back)
		w.WriteHeader(a.Code)
		w.Write(a.Body.Bytes())
	})
}

// nothingLeft tells of what is on a server that a command should have removed.
func nothingLeft(t *testing.T, base string) {
	t.Helper()
	noClients(t, base)
	if left := rpc(t, base, "channels", "cli-*"); string(left) != `{"channels":[]}` {
		t.Errorf("left behind: %s", left)
	}
}

// A brokenProxy is what somebody may put in front of a server.
type brokenProxy struct {
	name    string
	front   func(next http.Handler) http.Handler // in front of a proxy that does nothing wrong
	toAdmin bool                                 // the proxy points at the main door
	change  func(*doctor)
	want    map[string]outcome // of what is not as it should be
	text    string             // in one of those
}

// proxyTo passes on as a proxy with a stock configuration does: under the
// server's own name, and with no word of itself.
func proxyTo(t *testing.T, target string) http.Handler {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			// A transport looks for more behind a body that it does not know;
			// if the answer has begun by then, it breaks that off.
			if body, err := io.ReadAll(r.In.Body); err == nil {
				r.Out.Body = io.NopCloser(bytes.NewReader(body))
			}
		},
		ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway)
		},
	}
}

// isStream is for what is not answered as a whole.
func isStream(r *http.Request) bool {
	return r.URL.Path == "/sse" || r.URL.Path == "/stream" || r.URL.Path == "/websocket" || r.Header.Get("Upgrade") != ""
}

// changed answers as next, but for what change makes of it. Streams pass.
func changed(change func(r *http.Request, a *httptest.ResponseRecorder)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isStream(r) {
				next.ServeHTTP(w, r)
				return
			}
			a := httptest.NewRecorder()
			next.ServeHTTP(a, r)
			change(r, a)
			for name, values := range a.Header() {
				w.Header()[name] = values
			}
			w.WriteHeader(a.Code)
			w.Write(a.Body.Bytes())
		})
	}
}

// delay is what a proxy adds that holds answers back, and what one that is in a
// hurry waits for them. Both are long beside what a busy machine adds.
const delay = 600 * time.Millisecond

func isPoll(r *http.Request) bool { return r.URL.Path == "/longpoll" && r.Method != http.MethodOptions }

var brokenProxies = []brokenProxy{
	{
		name: "points at the main door", toAdmin: true,
		want: map[string]outcome{"admin API hidden": failure, "metrics hidden": failure, "profiles hidden": failure},
		text: "it answers POST /",
	},
	{
		name: "lets in who forges a header", toAdmin: true,
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost && r.URL.Path != "/longpoll" && !isStream(r) && r.Header.Get("X-Real-Ip") != "127.0.0.1" ||
					r.URL.Path == "/metrics" || r.URL.Path == "/debug/pprof/" {
					http.NotFound(w, r)
					return
				}
				for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
					r.Header.Del(name)
				}
				next.ServeHTTP(w, r)
			})
		},
		want: map[string]outcome{"admin API hidden": failure},
		text: "forged forwarding headers",
	},
	{
		name: "cuts polls",
		front: func(next http.Handler) http.Handler {
			hurried := http.TimeoutHandler(next, delay, "too late")
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if isStream(r) {
					next.ServeHTTP(w, r)
				} else {
					hurried.ServeHTTP(w, r)
				}
			})
		},
		change: func(d *doctor) { d.times.pause, d.times.hold = 2*delay, 2*delay },
		want:   map[string]outcome{"idle time-out": failure, "held poll": failure},
		text:   "503 Service Unavailable",
	},
	{
		name: "closes the connection of a poll that is quiet",
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				changed(func(r *http.Request, a *httptest.ResponseRecorder) {
					held := isPoll(r) && r.Method == http.MethodPost && !bytes.Contains(body, []byte(`"wait":0`))
					if held && strings.Contains(a.Body.String(), `"messages":[]`) {
						panic(http.ErrAbortHandler)
					}
				})(next).ServeHTTP(w, r)
			})
		},
		want: map[string]outcome{"idle time-out": failure},
		text: "EOF",
	},
	{
		name: "holds answers back",
		front: changed(func(r *http.Request, a *httptest.ResponseRecorder) {
			if isPoll(r) && strings.Contains(a.Body.String(), `"data"`) {
				time.Sleep(delay)
			}
		}),
		change: func(d *doctor) { d.times.slow, d.times.tooSlow = delay/8, delay/4 },
		want:   map[string]outcome{"held poll": failure},
		text:   "after it was published",
	},
	{
		name: "answers polls itself",
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if body, _ := io.ReadAll(r.Body); isPoll(r) && !bytes.Contains(body, []byte(`"wait":0`)) && r.Method == http.MethodPost {
					w.WriteHeader(http.StatusNoContent)
				} else {
					r.Body = io.NopCloser(bytes.NewReader(body))
					next.ServeHTTP(w, r)
				}
			})
		},
		want: map[string]outcome{"held poll": failure, "idle time-out": failure},
		text: "not held",
	},
	{
		name:  "caches",
		front: cache,
		want:  map[string]outcome{"caching": failure},
		text:  "something caches answers",
	},
	{
		name: "lets others cache",
		front: changed(func(_ *http.Request, a *httptest.ResponseRecorder) {
			a.Header().Set("Cache-Control", "max-age=60")
		}),
		want: map[string]outcome{"caching": warning},
		text: "no-store",
	},
	{
		name: "compresses",
		front: changed(func(r *http.Request, a *httptest.ResponseRecorder) {
			if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				return
			}
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			z.Write(a.Body.Bytes())
			z.Close()
			a.Body = &b
			a.Header().Del("Content-Length")
			a.Header().Set("Content-Encoding", "gzip")
		}),
		want: map[string]outcome{"compression": warning},
		text: "compressed",
	},
	{
		name: "says that it compresses",
		front: changed(func(r *http.Request, a *httptest.ResponseRecorder) {
			if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				a.Header().Set("Content-Encoding", "gzip")
			}
		}),
		want: map[string]outcome{"compression": failure},
		text: "cannot be read",
	},
	{
		name: "strips CORS",
		front: changed(func(_ *http.Request, a *httptest.ResponseRecorder) {
			for name := range a.Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					a.Header().Del(name)
				}
			}
		}),
		want: map[string]outcome{"CORS preflight": warning, "CORS answer": warning},
		text: "--origin",
	},
	{
		name: "adds CORS to CORS",
		front: changed(func(_ *http.Request, a *httptest.ResponseRecorder) {
			a.Header().Add("Access-Control-Allow-Origin", "*")
		}),
		want: map[string]outcome{"CORS preflight": failure, "CORS answer": failure},
		text: "there are 2",
	},
	{
		name: "allows one other origin",
		front: changed(func(_ *http.Request, a *httptest.ResponseRecorder) {
			a.Header().Set("Access-Control-Allow-Origin", "https://other.example")
		}),
		want: map[string]outcome{"CORS preflight": failure, "CORS answer": failure},
		text: "https://other.example",
	},
	{
		name: "echoes the origin to caches",
		front: changed(func(r *http.Request, a *httptest.ResponseRecorder) {
			a.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			a.Header().Del("Vary")
		}),
		want: map[string]outcome{"CORS answer": warning},
		text: "Vary",
	},
	{
		name: "answers preflights by a star",
		front: changed(func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodOptions {
				a.Header().Set("Access-Control-Allow-Headers", "*")
			}
		}),
		want: map[string]outcome{"CORS preflight": failure},
		text: "does not name Authorization",
	},
	{
		name: "does not let OPTIONS through",
		front: changed(func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodOptions {
				a.Code = http.StatusMethodNotAllowed
			}
		}),
		want: map[string]outcome{"CORS preflight": failure},
		text: "405",
	},
	{
		name: "skews the Date",
		front: changed(func(_ *http.Request, a *httptest.ResponseRecorder) {
			a.Header().Set("Date", time.Now().Add(-90*time.Second).UTC().Format(http.TimeFormat))
		}),
		want: map[string]outcome{"clock": warning},
		text: "s off this machine's",
	},
	{
		name: "closes every connection",
		front: changed(func(_ *http.Request, a *httptest.ResponseRecorder) {
			a.Header().Set("Connection", "close")
		}),
		want: map[string]outcome{"keep-alive": warning},
		text: "every poll makes a new one",
	},
	{
		name: "replaces errors",
		front: changed(func(_ *http.Request, a *httptest.ResponseRecorder) {
			if a.Code >= 400 {
				a.Body = bytes.NewBufferString("<h1>Sorry</h1>")
				a.Header().Set("Content-Type", "text/html")
				a.Header().Del("Content-Length")
			}
		}),
		want: map[string]outcome{"poll": failure, "poll of 2010": warning},
		text: "that a client is gone does not",
	},
	{
		name: "takes Authorization off",
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("Authorization")
				next.ServeHTTP(w, r)
			})
		},
		want: map[string]outcome{"credentials": failure},
		text: "the Authorization header",
	},
	{
		name: "passes on the old paths alone",
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/longpoll" || strings.HasSuffix(r.URL.Path, "z") {
					http.NotFound(w, r)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
		want: map[string]outcome{
			"health": skipped, "readiness": skipped, "poll": failure, "credentials": failure, "caching": skipped, "compression": skipped,
			"held poll": skipped, "idle time-out": skipped, "idle streams": skipped, "CORS preflight": warning, "CORS answer": warning,
		},
		text: "what answers for /longpoll is not Shaveet",
	},
	{
		name: "has pages of its own",
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/longpoll" || r.URL.Path == "/message_updates" || isStream(r) {
					next.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Type", "text/html")
				io.WriteString(w, "<title>Our shop</title>")
			})
		},
		want: map[string]outcome{"health": skipped, "readiness": skipped, "script": failure, "Socket.IO": skipped},
		text: "is not the script",
	},
	{
		name: "has no script",
		front: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/static/") {
					http.NotFound(w, r)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
		want: map[string]outcome{"script": warning},
		text: "is not found",
	},
	{
		name: "sends readers to a server that drains",
		front: changed(func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.URL.Path == "/readyz" {
				a.Code = http.StatusServiceUnavailable
				a.Body = bytes.NewBufferString("draining")
				a.Header().Del("Content-Length")
			}
		}),
		want: map[string]outcome{"readiness": failure},
		text: "draining",
	},
	{
		name: "redirects",
		front: func(http.Handler) http.Handler {
			return http.RedirectHandler("https://push.example/", http.StatusMovedPermanently)
		},
		want: map[string]outcome{
			"sse": failure, "stream": failure, "websocket": failure, "idle streams": skipped, "WebSocket origin": skipped,
			"health": skipped, "readiness": skipped, "script": failure, "poll": failure, "poll of 2010": warning, "credentials": failure,
			"caching": skipped, "compression": skipped, "held poll": skipped, "idle time-out": skipped, "CORS preflight": warning, "CORS answer": warning,
			"Socket.IO": skipped,
		},
		text: "https://push.example/",
	},
	{
		name: "finds no server",
		front: func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		},
		want: map[string]outcome{
			"sse": failure, "stream": failure, "websocket": failure, "idle streams": skipped, "WebSocket origin": skipped,
			"health": failure, "readiness": failure, "script": failure, "poll": failure, "poll of 2010": warning, "credentials": failure,
			"caching": skipped, "compression": skipped, "held poll": skipped, "idle time-out": skipped, "CORS preflight": warning, "CORS answer": warning,
			"Socket.IO": failure,
		},
		text: "a proxy does not reach what is behind it",
	},
}

// cache answers a GET that it has answered before from memory.
func cache(next http.Handler) http.Handler {
	var mu sync.Mutex // guards kept
	kept := make(map[string][]byte)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		body, ok := kept[r.URL.String()]
		mu.Unlock()
		if r.Method != http.MethodGet || !isPoll(r) {
			next.ServeHTTP(w, r)
			return
		}
		if !ok {
			a := httptest.NewRecorder()
			next.ServeHTTP(a, r)
			if body = a.Body.Bytes(); a.Code != http.StatusOK {
				w.Header().Set("Access-Control-Allow-Origin", a.Header().Get("Access-Control-Allow-Origin"))
				w.WriteHeader(a.Code)
			}
			mu.Lock()
			kept[r.URL.String()] = body
			mu.Unlock()
		}
		w.Write(body)
	})
}

// Every fault is found for what it is, and nothing else is said to be wrong.
func TestDoctorFindsFaults(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil, "--public-listen", "127.0.0.1:0", "--heartbeat-time", "300ms")
	admin := "http://" + addr("main") + "/"
	for _, b := range slices.Concat(brokenProxies, brokenStreams) {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			target := "http://" + addr("public")
			if b.toAdmin {
				target = "http://" + addr("main")
			}
			handler := proxyTo(t, target)
			if b.front != nil {
				handler = b.front(handler)
			}
			proxy := httptest.NewServer(handler)
			defer proxy.Close()
			found := examined(t, proxy.URL, admin, b.change)
			said := false
			for name, f := range found {
				want := b.want[name]
				if want == "" && (name == "certificate" || name == "descriptors") {
					continue
				}
				if want == "" {
					want = fine
				}
				if f.Outcome != want {
					t.Errorf("%s: %+v, want %s", name, f, want)
				}
				said = said || b.want[name] != "" && strings.Contains(f.Text, b.text)
			}
			if !said {
				t.Errorf("nothing says %q: %+v", b.text, found)
			}
		})
	}
}

// Without a way to the admin API, what needs it is skipped and says how to
// enable it.
func TestDoctorWithoutAdmin(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil, "--public-listen", "127.0.0.1:0", "--heartbeat-time", "300ms")
	found := examined(t, "http://"+addr("public"), "", func(d *doctor) { d.api = nil })
	for _, name := range []string{"temporary client", "credentials", "caching", "compression", "held poll", "idle time-out", "version"} {
		if f := found[name]; f.Outcome != skipped || !strings.Contains(f.Text, "--admin-url") {
			t.Errorf("%s: %+v", name, f)
		}
	}
	for _, name := range []string{"reachable", "poll", "script", "admin API hidden", "CORS answer"} {
		if f := found[name]; f.Outcome != fine {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// Two addresses of different servers.
func TestDoctorAtTheWrongServer(t *testing.T) {
	t.Parallel()
	_, one := serving(t, nil, "--public-listen", "127.0.0.1:0", "--heartbeat-time", "300ms")
	_, other := serving(t, nil)
	found := examined(t, "http://"+one("public"), "http://"+other("main")+"/", nil)
	if f := found["credentials"]; f.Outcome != failure || !strings.Contains(f.Text, "is not known at") {
		t.Errorf("%+v", f)
	}
}

// Certificates: one that is trusted, one that is not, and one that ends soon.
func TestDoctorCertificate(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil, "--public-listen", "127.0.0.1:0", "--heartbeat-time", "300ms")
	site := httptest.NewUnstartedServer(proxyTo(t, "http://"+addr("public")))
	site.EnableHTTP2 = true
	site.Config.ErrorLog = log.New(io.Discard, "", 0)
	site.StartTLS()
	defer site.Close()
	der := site.Certificate().Raw
	trusted := file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	trust := func(d *doctor) {
		var err error
		if d.roots, err = readRoots(trusted); err != nil {
			t.Fatal(err)
		}
	}
	admin := "http://" + addr("main") + "/"
	if found := examined(t, site.URL, admin, trust); found["certificate"].Outcome != fine || found["protocol"].Text != "HTTP/2.0" || found["held poll"].Outcome != fine {
		t.Errorf("trusted: %+v", found)
	}
	found := examined(t, site.URL, admin, nil)
	if f := found["certificate"]; f.Outcome != failure || !strings.Contains(f.Text, "unknown authority") {
		t.Errorf("not trusted: %+v", f)
	}
	if f := found["held poll"]; f.Outcome != fine {
		t.Errorf("behind a certificate that is not trusted: %+v", f)
	}
	far := httptest.NewUnstartedServer(proxyTo(t, "http://"+addr("main")))
	far.Config.ErrorLog = log.New(io.Discard, "", 0)
	far.StartTLS() // with the same certificate
	defer far.Close()
	args := []string{"doctor", "--quick", "--admin-url", far.URL, site.URL}
	if got := run(t, nil, append(args, "--ca-file", trusted)...); got.code != 0 || !strings.Contains(got.stdout, "ok    temporary client") {
		t.Errorf("an admin API by TLS: %+v", got)
	}
	if got := run(t, nil, args...); got.code != 1 || !strings.Contains(got.stdout, "FAIL  temporary client") {
		t.Errorf("an admin API that is not trusted: %+v", got)
	}

	old := httptest.NewUnstartedServer(proxyTo(t, "http://"+addr("public")))
	old.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.StartTLS()
	defer old.Close()
	if f := examined(t, old.URL, admin, nil)["protocol"]; f.Outcome != warning || !strings.Contains(f.Text, "HTTP/1.1") {
		t.Errorf("TLS without HTTP/2: %+v", f)
	}
}

// A certificate of three months that ends in a week.
func TestDoctorCertificateEnds(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().AddDate(0, 0, -83), NotAfter: time.Now().AddDate(0, 0, 7),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	site := httptest.NewUnstartedServer(http.NotFoundHandler())
	site.Config.ErrorLog = log.New(io.Discard, "", 0)
	site.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	site.StartTLS()
	defer site.Close()
	f := examined(t, site.URL, "", func(d *doctor) {
		d.api, d.roots = nil, x509.NewCertPool()
		d.roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	})["certificate"]
	if f.Outcome != warning || !strings.Contains(f.Text, "ends in 7.0 days") && !strings.Contains(f.Text, "ends in 6.9 days") {
		t.Errorf("%+v", f)
	}

	other := httptest.NewUnstartedServer(http.NotFoundHandler())
	other.Config.ErrorLog = log.New(io.Discard, "", 0)
	other.StartTLS()
	defer other.Close()
	trusted := file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	got := run(t, nil, "doctor", "--quick", "--ca-file", trusted, "--admin-url", other.URL, site.URL)
	if !strings.Contains(got.stdout, "FAIL  temporary client") || !strings.Contains(got.stdout, "unknown authority") {
		t.Errorf("an admin API with a certificate that the file does not have: %+v", got)
	}
}

// The server's own limit counts, not that of whoever asks.
func TestDoctorDescriptors(t *testing.T) {
	t.Parallel()
	for limit, want := range map[string]outcome{"100": warning, "5000": fine} {
		_, addr := serving(t, nil, "--public-listen", "127.0.0.1:0", "--max-connections", limit)
		f := examined(t, "http://"+addr("public"), "http://"+addr("main")+"/", nil)["descriptors"]
		if f.Outcome != want || !strings.Contains(f.Text, " = "+limit) {
			t.Errorf("%s: %+v", limit, f)
		}
	}
}

// The command: its lines, its exit status, its JSON.
func TestDoctorCommand(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil, "--public-listen", "127.0.0.1:0", "--heartbeat-time", "300ms")
	admin, public := "http://"+addr("main")+"/", "http://"+addr("public")
	env := []string{"SHAVEET_URL=" + admin}
	got := run(t, env, "doctor", public, "--hold", "50ms")
	if got.code != 0 || !strings.Contains(got.stdout, "ok    held poll") || got.stderr != "" {
		t.Errorf("a healthy site: %+v", got)
	}
	got = run(t, env, "doctor", "--quick", admin)
	if got.code != 0 || !strings.Contains(got.stdout, "skip  admin API hidden") {
		t.Errorf("the main door itself: %+v", got)
	}
	proxy := httptest.NewServer(proxyTo(t, "http://"+addr("main")))
	defer proxy.Close()
	got = run(t, env, "doctor", "--quick", "--json", proxy.URL)
	var report struct {
		URL    string
		OK     bool
		Checks []finding
	}
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil || got.code != 1 || report.OK || report.URL != proxy.URL || len(report.Checks) != len(checks)+1 {
		t.Errorf("an open admin API, as JSON: %+v (%v)", got, err)
	}
	got = run(t, env, "doctor", "http://127.0.0.1:1")
	if got.code != 1 || !strings.Contains(got.stdout, "FAIL  reachable") || !strings.Contains(got.stderr, "1 of ") {
		t.Errorf("nobody there: %+v", got)
	}
	for _, args := range []string{"one two", "--hold -1s", "ftp://x", "/longpoll"} {
		if got := run(t, env, append([]string{"doctor"}, strings.Fields(args)...)...); got.code == 0 {
			t.Errorf("doctor %s: %+v", args, got)
		}
	}
	if got := run(t, env, "doctor", "--ca-file", filepath.Join(t.TempDir(), "none"), public); got.code != 1 {
		t.Errorf("no such file: %+v", got)
	}
}
