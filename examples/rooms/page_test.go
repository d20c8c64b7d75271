package rooms_test

import (
	"bufio"
	"io"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

func TestPage(t *testing.T) {
	t.Parallel()
	live.Track(t, sources...)
	live.Track(t, "browser/page.mjs", "../../client-js/test/browser/browser.mjs")
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			if b.name != "go" && os.Getenv("SHAVEET_LONG") == "" {
				t.Skip("the page sees no difference between the back ends; SHAVEET_LONG=1 tries all")
			}
			srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--config", "shaveet.toml")
			start(t, b.command, srv).letsTheBrowserTell(t)
		})
	}
}

func (s *site) letsTheBrowserTell(t *testing.T) {
	front, swap := startFront(t, s)
	cmd := exec.CommandContext(t.Context(), live.Tool(t, "node"), "browser/page.mjs")
	cmd.Env = append(os.Environ(), "PAGE="+front)
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
	wishes := map[string]func(){
		"stop":     s.srv.Kill,
		"start":    s.srv.Restart,
		"back end": swap,
		"done":     func() {},
	}
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		last = lines.Text()
		grant, ok := wishes[last]
		if !ok {
			t.Errorf("the browser says: %s", last)
			continue
		}
		grant()
		if last == "done" {
			continue // nobody waits for an answer
		}
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); err != nil || last != "done" {
		t.Errorf("the browser's last word was %q: %v", last, err)
	}
}

// startFront serves the back end below the path /rooms/, as inside a larger
// site, at an address that stays; swap puts another process behind it, which
// is what a restart looks like from outside.
func startFront(t *testing.T, s *site) (address string, swap func()) {
	t.Helper()
	var target atomic.Pointer[url.URL]
	point := func(to *site) {
		u, err := url.Parse(to.url)
		if err != nil {
			t.Fatal(err)
		}
		target.Store(u)
	}
	point(s)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Path = "/" + trimFirst(r.In.URL.Path)
		r.Out.URL.RawPath = ""
		r.SetURL(target.Load())
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL + "/rooms/", func() { point(start(t, s.command, s.srv)) }
}

// trimFirst takes off the first part of a path and the slashes around it.
func trimFirst(path string) string {
	for i, c := range path[1:] {
		if c == '/' {
			return path[i+2:]
		}
	}
	return ""
}
