package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// ways are the values of --transport.
func ways() []string { return append([]string{auto}, transportNames()...) }

// nobodyReads waits until the sessions of before have ended.
func nobodyReads(t *testing.T, base string) {
	t.Helper()
	live.Until(t, "nobody reads", patience, func() bool { return sessions(t, base) == 0 })
}

// printedNumbers are the messages that a listener has printed, which all are
// numbers.
func printedNumbers(r *running) (all []string) {
	for _, m := range regexp.MustCompile(`(?m) - (\d+)$`).FindAllStringSubmatch(r.stdout.String(), -1) {
		all = append(all, m[1])
	}
	return all
}

func numbers(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// sayNumbers publishes the numbers from begin to end.
func sayNumbers(t *testing.T, base string, begin, end int) {
	t.Helper()
	for i := begin; i < end; i++ {
		rpc(t, base, "publish", "room", i)
	}
}

// countsTo waits until the listener has printed so many numbers, and checks that
// each is there once and in order.
func countsTo(t *testing.T, r *running, n int) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("it says: %s", &r.stderr)
		}
	}()
	live.Until(t, fmt.Sprintf("%d messages are printed", n), 2*patience, func() bool { return r.ended() || len(printedNumbers(r)) >= n })
	if got := printedNumbers(r); !slices.Equal(got, numbers(n)) {
		t.Errorf("it printed %v", got)
	}
}

// requestsAt reports whether somebody is served at a path.
func requestsAt(t *testing.T, base, path string) bool {
	t.Helper()
	_, page := get(t, base+"/metrics")
	return regexp.MustCompile(`(?m)^shaveet_http_requests_in_flight\{route="` + path + `"\} [1-9]`).MatchString(page)
}

// Each transport tells the same, and is the one that was asked for.
func TestListenByEachTransport(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil, "--websocket-compression")
	base := "http://" + addr("main")
	for _, name := range ways() {
		r := listening(t, base, "room", "--presence", "--transport", name)
		path := "/" + name
		if name == auto {
			path = "/websocket"
		}
		live.Until(t, "it reads by "+path, patience, func() bool { return requestsAt(t, base, path) })
		sayNumbers(t, base, 0, 50)
		rpc(t, base, "create_client", "ada")
		rpc(t, base, "subscribe", "ada", "room")
		rpc(t, base, "kill_client", "ada")
		countsTo(t, r, 50)
		prints(t, &r.stdout, " room - ada (killed)\n")
		if r.stop() != 0 || r.stderr.String() != "" || strings.Count(r.stdout.String(), "+ ada\n") != 1 {
			t.Errorf("%s: %s%s", name, &r.stdout, &r.stderr)
		}
		noClients(t, base)
		rpc(t, base, "delete_channel", "room")
		nobodyReads(t, base)
	}
}

// Every message is printed once and in order over restarts of the server.
func TestListenByEachTransportThroughRestarts(t *testing.T) {
	for _, name := range ways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := live.Start(t)
			r := listening(t, srv.Main, "room", "--transport", name)
			n := 0
			for range 3 {
				sayNumbers(t, srv.Main, n, n+20)
				n += 20
				countsTo(t, r, n)
				srv.Restart()
				sayNumbers(t, srv.Main, n, n+5) // before it is back
				n += 5
			}
			countsTo(t, r, n)
			if errs := r.stderr.String(); r.stop() != 0 || strings.Count(errs, "reset:") != 3 {
				t.Errorf("it says: %s", errs)
			}
			noClients(t, srv.Main)
		})
	}
}

// What the backend does to the client, each transport tells.
func TestListenByEachTransportToSignals(t *testing.T) {
	t.Parallel()
	for _, name := range ways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, addr := serving(t, nil, "--retry-time", "1ms")
			base := "http://" + addr("main")
			r := listening(t, base, "room", "--transport", name)
			var all struct{ Clients []struct{ ID string } }
			if err := json.Unmarshal(rpc(t, base, "clients"), &all); err != nil || len(all.Clients) != 1 {
				t.Fatal(all, err)
			}
			rpc(t, base, "disconnect", all.Clients[0].ID)
			prints(t, &r.stderr, "leave for a moment")
			sayNumbers(t, base, 0, 5)
			countsTo(t, r, 5)
			rpc(t, base, "kill_client", all.Clients[0].ID)
			sayNumbers(t, base, 5, 10)
			countsTo(t, r, 10)
			rpc(t, base, "delete_channel", "room")
			prints(t, &r.stderr, "taken off room")
			live.Until(t, "it is on the channel", patience, func() bool { return strings.Contains(string(rpc(t, base, "get_channel_clients", "room")), "cli-") })
			sayNumbers(t, base, 10, 15)
			countsTo(t, r, 15)
			if r.stop() != 0 {
				t.Errorf("%s", &r.stderr)
			}
			noClients(t, base)
		})
	}
}

// A network that cuts connections anywhere loses nothing, and doubles nothing.
func TestListenByEachTransportThroughCuts(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	cuts := []int64{700, 999, 40, 850} // the head of an answer has some 400 bytes
	for _, name := range ways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var cut atomic.Int32
			site := between(t, addr("main"), func(n int, near, far net.Conn) {
				if n < len(cuts) {
					io.CopyN(near, far, cuts[n])
					cut.Add(1)
				} else {
					io.Copy(near, far)
				}
			})
			channel := "room-" + name
			r := begin(t, nil, "listen", channel, "--url", base, "--public-url", "http://"+site, "--transport", name)
			live.Until(t, "it is on the channel", patience, func() bool { return strings.Contains(string(rpc(t, base, "channels")), `"`+channel+`"`) })
			for i := range 60 {
				rpc(t, base, "publish", channel, i)
			}
			countsTo(t, r, 60)
			if r.stop() != 0 || int(cut.Load()) < len(cuts) {
				t.Errorf("%d cuts: %s", cut.Load(), &r.stderr)
			}
		})
	}
}

// refusing answers some paths with a status, and passes on the others.
func refusing(status int, paths ...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if slices.Contains(paths, r.URL.Path) {
				w.WriteHeader(status)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// gathering begins to answer some paths, and holds back what is to follow for
// good. So does what upgrades and then passes on no frames.
func gathering(paths ...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !slices.Contains(paths, r.URL.Path) {
				next.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(&miser{ResponseWriter: w}, r)
		})
	}
}

// A miser writes the head of an answer, and keeps its body.
type miser struct{ http.ResponseWriter }

func (m *miser) Write(p []byte) (int, error) { return len(p), nil }
func (m *miser) Flush()                      { http.NewResponseController(m.ResponseWriter).Flush() }

func (m *miser) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(m.ResponseWriter).Hijack()
	if err != nil {
		return c, rw, err
	}
	// The head of the answer still has to pass.
	return &miserly{Conn: c}, bufio.NewReadWriter(rw.Reader, bufio.NewWriter(c)), nil
}

// A miserly connection swallows what is written to it directly, as frames are.
type miserly struct{ net.Conn }

func (m *miserly) Write(p []byte) (int, error) { return len(p), nil }

// What some proxies do not let through goes by another way, which is said once.
func TestListenFallsBack(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	for name, tt := range map[string]struct {
		front func(http.Handler) http.Handler
		by    string
		why   string
	}{
		"refuses by 400":   {refusing(400, "/websocket"), "sse", "400 Bad Request"},
		"refuses by 502":   {refusing(502, "/websocket"), "sse", "502 Bad Gateway"},
		"knows no streams": {refusing(404, "/websocket", "/sse", "/stream"), "longpoll", "404 Not Found"},
		"knows no sockets": {refusing(200, "/websocket", "/sse"), "stream", "200 OK"},
		"swallows frames":  {gathering("/websocket"), "sse", "nothing has come"},
		"gathers all streams": {func(next http.Handler) http.Handler {
			return refusing(426, "/websocket")(gathering("/sse", "/stream")(next))
		}, "longpoll", "426 Upgrade Required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := httptest.NewServer(tt.front(proxyTo(t, base)))
			defer site.Close()
			r := begin(t, nil, "listen", name, "--url", base, "--public-url", site.URL)
			defer r.stop() // before the site closes, which waits for its requests
			live.Until(t, "it is on the channel", patience, func() bool { return strings.Contains(string(rpc(t, base, "channels")), `"`+name+`"`) })
			rpc(t, base, "publish", name, "hello")
			prints(t, &r.stdout, " - hello\n")
			rpc(t, base, "publish", name, "hello again")
			prints(t, &r.stdout, " - hello again\n")
			want := "shaveet: websocket does not work here ("
			if said := r.stderr.String(); !strings.HasPrefix(said, want) || strings.Count(said, "\n") != 1 ||
				!strings.Contains(said, tt.why) || !strings.HasSuffix(said, "; reading by "+tt.by+"\n") {
				t.Errorf("it says %q", said)
			}
		})
	}
}

// One that was asked for is not replaced by another: what cannot be mended ends
// it, and for what can it waits.
func TestListenByOneTransportInVain(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	for _, name := range transportNames() {
		t.Run(name, func(t *testing.T) {
			site := httptest.NewServer(refusing(404, "/"+name)(proxyTo(t, base)))
			defer site.Close()
			got := run(t, nil, "listen", "room", "--transport", name, "--url", base, "--public-url", site.URL)
			if got.code != 1 || !strings.Contains(got.stderr, "404 Not Found for /"+name) {
				t.Errorf("%+v", got)
			}
			first := refusing(502, "/"+name)(proxyTo(t, base))
			then := proxyTo(t, base)
			var once sync.Once
			busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next := then
				once.Do(func() { next = first })
				next.ServeHTTP(w, r)
			}))
			defer busy.Close()
			nobodyReads(t, base)
			r := listening(t, base, "room", "-n", "1", "--transport", name, "--public-url", busy.URL)
			rpc(t, base, "publish", "room", "hello")
			<-r.done
			if said := r.stderr.String(); r.code != 0 || !strings.Contains(said, "502 Bad Gateway") || !strings.HasSuffix(said, "the server is back\n") {
				t.Errorf("%d %s", r.code, said)
			}
		})
	}
	noClients(t, base)
}

// What a hostile server says, by any transport, does not take over the terminal.
func TestListenToHostileStreams(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	const evil = "\x1b]0;pwned\x07\u009b31m\u202e"
	quoted, _ := json.Marshal(evil)
	message := fmt.Sprintf(`{"channel":%s,"id":1,"pos":"00000000000000aa.1","sender":%[1]s,"data":%[1]s}`, quoted)
	raw := strings.ReplaceAll(message, `\u001b`, "\u009b")
	signal := fmt.Sprintf(`{"type":"gap","channel":%s,"from":%[1]s,"to":%[1]s,"reason":%[1]s}`, quoted)
	whole := fmt.Sprintf(`{"cursor":%s,"signals":[%s],"messages":[%s]}`, quoted, signal, raw)
	play := map[string]*httptest.Server{
		"sse": streaming(t, "text/event-stream", func(w io.Writer, _ func()) {
			fmt.Fprintf(w, "id: %s\nevent: gap\ndata: %s\n\nevent: %s\ndata: %s\n\ndata: %s\n\n", "x", signal, evil, signal, raw)
		}),
		"stream": streaming(t, "application/x-ndjson", func(w io.Writer, _ func()) { io.WriteString(w, whole+"\n") }),
		"websocket": upgraded(t, func(c net.Conn) {
			c.Write(textFrame(whole))
			c.Write(append([]byte{0x88, byte(2 + len(evil)), 0x0f, 0xa0}, evil...))
		}),
	}
	for name, site := range play {
		for _, as := range []string{"--json", "--presence"} {
			r := begin(t, nil, "listen", "room", as, "--transport", name, "--url", base, "--public-url", site.URL)
			prints(t, &r.stdout, "pwned")
			prints(t, &r.stderr, "trying again")
			if text := r.stdout.String() + r.stderr.String(); r.stop() != 0 || strings.ContainsAny(text, "\x1b\a\u009b\u202e") {
				t.Errorf("%s %s: %q", name, as, text)
			}
		}
	}
	noClients(t, base)
}

// Keys are in no address: proxies write those down.
func TestListenKeepsKeysToItself(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	seen := make(chan *url.URL, 100)
	next := proxyTo(t, base)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("Sec-WebSocket-Protocol") != "" {
			t.Errorf("%s: credentials in a header", r.URL)
		}
		seen <- r.URL
		next.ServeHTTP(w, r)
	}))
	defer site.Close()
	for _, name := range transportNames() {
		r := listening(t, base, "room", "--transport", name, "--public-url", site.URL)
		select {
		case u := <-seen:
			if u.RequestURI() != "/"+name {
				t.Errorf("it asks for %s", u)
			}
		case <-time.After(patience):
			t.Fatal("nothing comes")
		}
		r.stop()
		nobodyReads(t, base)
	}
}
