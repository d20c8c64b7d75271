package livegraph_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shaveet/shaveet/examples/live-graph/go/producer"
	"github.com/shaveet/shaveet/tests/live"
	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

// A maker is a producer that runs until it is told to end.
type maker struct {
	made func() []producer.Point // so far
	end  func()
}

// makers are the two producers.
var makers = map[string]func(t *testing.T, endpoint string) maker{
	"go": func(t *testing.T, endpoint string) maker {
		var mu sync.Mutex
		var all []producer.Point
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- producer.Run(ctx, producer.Config{Endpoint: endpoint, Logger: slog.New(slog.DiscardHandler), Made: func(p producer.Point) {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, p)
			}})
		}()
		end := sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(end)
		return maker{func() []producer.Point {
			mu.Lock()
			defer mu.Unlock()
			return all[:len(all):len(all)]
		}, end}
	},
	"python": func(t *testing.T, endpoint string) maker {
		// Debian's own Python has pyzmq; another one in the PATH does not see it.
		cmd := exec.Command("/usr/bin/python3", "python/producer.py", "--print", "--endpoint", endpoint)
		output := live.Run(t, cmd)
		return maker{func() (all []producer.Point) {
			for line := range strings.Lines(output()) {
				var p producer.Point
				if strings.HasSuffix(line, "\n") && json.Unmarshal([]byte(line), &p) == nil {
					all = append(all, p)
				}
			}
			return all
		}, func() { _ = cmd.Process.Signal(syscall.SIGTERM) }}
	},
}

// TestPages has both pages in real browsers, while the network is cut, the
// server is killed, and the producer loses it: browser/page.mjs tells the
// story. All that was made is on the pages, once and in order, or in a hole that
// they announce. With PICTURES set to a folder it leaves screenshots there.
func TestPages(t *testing.T) {
	t.Parallel()
	live.Track(t, sources...)
	live.Track(t, "browser/page.mjs", "../../client-js/test/browser/browser.mjs", "../../client-js/dist/shaveet.js")
	for name, make := range makers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, backends[name], make)
			before, after := w.letsTheBrowserTell(t, name)
			made := w.maker.made()
			for page, seen := range after {
				t.Logf("%s: %d points of %d; holes: %v", page, len(seen.Points), len(made), seen.Holes)
				if len(before[page].Holes) > 0 {
					t.Errorf("%s: holes after a cut that lost nothing: %v", page, before[page].Holes)
				}
				if seen.isAllThatWas(t, page, made); t.Failed() {
					continue
				}
				// What has come to the second server is on the pages, down to the last point.
				if got, want := seen.since(seen.Holes[0].To), w.received(t); got != want {
					t.Errorf("%s: %d points behind the first hole, and the server has received %d", page, got, want)
				}
			}
		})
	}
}

// world is all that a page stands on, with the wires in between.
type world struct {
	srv   *live.Server
	site  *site
	maker maker

	toPages, toMaker *faultproxy.Proxy
	public, socket   string // where they lead
}

func newWorld(t *testing.T, backend func(t *testing.T) *exec.Cmd, make func(t *testing.T, endpoint string) maker) *world {
	t.Helper()
	w := &world{socket: live.FreeAddr(t)}
	config, err := os.ReadFile("shaveet.toml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(config), `"tcp://127.0.0.1:5555"`, `"tcp://`+w.socket+`"`, 1)
	path := filepath.Join(t.TempDir(), "shaveet.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil || text == string(config) {
		t.Fatalf("%v; the configuration:\n%s", err, text)
	}
	w.srv = live.Start(t, "--public-listen", "127.0.0.1:0", "--config", path)
	w.public = strings.TrimPrefix(w.srv.Public, "http://")
	w.toPages = faultproxy.Start(t, w.public, 1, faultproxy.Faults{})
	w.toMaker = faultproxy.Start(t, w.socket, 1, faultproxy.Faults{})
	w.site = start(t, backend(t), w.srv.Main+"/", "http://"+w.toPages.Addr())
	w.site.srv = w.srv
	w.maker = make(t, "tcp://"+w.toMaker.Addr())
	return w
}

// more waits until the producer has made two seconds of points, whatever
// becomes of them.
func (w *world) more(t *testing.T) {
	t.Helper()
	begun := len(w.maker.made())
	live.Until(t, "20 more points", 30*time.Second, func() bool { return len(w.maker.made()) >= begun+20 })
}

// metric is the server's, of its socket.
func (w *world) metric(t *testing.T, name string) int {
	t.Helper()
	resp, err := http.Get(w.srv.Main + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name+"{") {
			value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " "):]), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(value)
		}
	}
	t.Fatalf("no metric %s: status %d", name, resp.StatusCode)
	return 0
}

func (w *world) received(t *testing.T) int { return w.metric(t, "shaveet_zeromq_received_total") }

// rest ends the producer and returns the time of the last point that has come
// to the server.
func (w *world) rest(t *testing.T) string {
	t.Helper()
	w.maker.end()
	live.Until(t, "the producer is gone", 30*time.Second, func() bool { return w.metric(t, "shaveet_zeromq_peers") == 0 })
	var history struct {
		Messages []struct{ Data producer.Point }
	}
	if err := json.Unmarshal(w.site.call(t, "history", map[string]any{"channel": "graph", "limit": 1, "reverse": true}), &history); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(history.Messages[0].Data.X)
}

// letsTheBrowserTell does what the browser wishes for, and returns what the
// pages had seen after the network was cut, and at the end.
func (w *world) letsTheBrowserTell(t *testing.T, name string) (before, after map[string]*seen) {
	t.Helper()
	wishes := map[string]func() string{
		"more":   func() string { w.more(t); return "" },
		"cut":    func() string { w.toPages.Retarget(""); w.toPages.Sever(); return "" },
		"mend":   func() string { w.toPages.Retarget(w.public); return "" },
		"stop":   func() string { w.srv.Kill(); return "" },
		"start":  func() string { w.srv.Restart(); return "" },
		"mute":   func() string { w.toMaker.Retarget(""); w.toMaker.Sever(); return "" },
		"unmute": func() string { w.toMaker.Retarget(w.socket); return "" },
		"rest":   func() string { return w.rest(t) },
	}
	cmd := exec.CommandContext(t.Context(), live.Tool(t, "node"), "browser/page.mjs")
	cmd.Env = append(os.Environ(), "PAGE="+w.site.url+"/", "NAME="+name)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		wish, text, _ := strings.Cut(lines.Text(), " ")
		switch grant, ok := wishes[wish]; {
		case ok:
			fmt.Fprintln(in, grant())
		case wish == "before":
			err = json.Unmarshal([]byte(text), &before)
		case wish == "after":
			err = json.Unmarshal([]byte(text), &after)
		default:
			t.Log(lines.Text())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil || len(before) != 2 || len(after) != 2 {
		t.Fatalf("the browser: %v; seen by %d and %d pages", err, len(before), len(after))
	}
	return before, after
}

// seen is what a page has shown.
type seen struct {
	Points [][2]float64 // in the order in which it drew them
	Holes  []hole       // the oldest first
}

type hole struct{ From, To int64 }

func (h hole) String() string { return fmt.Sprintf("%d ms behind %d", h.To-h.From, h.From) }

func (s *seen) since(x int64) (n int) {
	for _, p := range s.Points {
		if int64(p[0]) >= x {
			n++
		}
	}
	return n
}

// isAllThatWas wants each point that was made to be seen, or to be in a hole;
// what is seen to have been made; and nothing to be seen in a hole.
func (s *seen) isAllThatWas(t *testing.T, page string, made []producer.Point) {
	t.Helper()
	ys := map[int64]float64{}
	for i, p := range s.Points {
		x := int64(p[0])
		if i > 0 && x <= int64(s.Points[i-1][0]) {
			t.Errorf("%s: %d comes after %v", page, x, s.Points[i-1])
		}
		ys[x] = p[1]
		if s.inHole(x) {
			t.Errorf("%s: %d is in a hole", page, x)
		}
	}
	first, last := int64(s.Points[0][0]), int64(s.Points[len(s.Points)-1][0])
	missing := 0
	for _, p := range made {
		y, ok := ys[p.X]
		delete(ys, p.X)
		switch {
		case p.X < first || p.X > last:
		case !ok && s.inHole(p.X):
			missing++
		case !ok:
			t.Errorf("%s: %d is missing", page, p.X)
		case math.Abs(y-p.Y) > 1e-9:
			t.Errorf("%s: %d is %v, and was made as %v", page, p.X, y, p.Y)
		}
	}
	for x := range ys {
		t.Errorf("%s: %d was never made", page, x)
	}
	if len(s.Holes) != 2 || missing < 20 {
		t.Errorf("%s: %d points are in holes %v, want two holes and more points", page, missing, s.Holes)
	}
	// A hole is as long as the loss and no longer: of what the server could get
	// nothing is in one.
	for _, h := range s.Holes {
		if h.To-h.From > 20_000 {
			t.Errorf("%s: a hole of %d ms", page, h.To-h.From)
		}
	}
}

func (s *seen) inHole(x int64) bool {
	for _, h := range s.Holes {
		if h.From < x && x < h.To {
			return true
		}
	}
	return false
}
