package deploy

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// startHAProxy runs HAProxy with our file, as Debian does but in the foreground:
// a master with a worker, which logs every request.
func startHAProxy(t *testing.T, to behind) *site {
	t.Helper()
	addr := live.FreeAddr(t)
	edits := map[string]string{
		"local0 notice":                       "local0 info",
		"    user haproxy\n":                  "", // only root can become somebody else
		"    group haproxy\n":                 "",
		"maxconn 20000":                       "maxconn 1000",
		"hard-stop-after 10s":                 "hard-stop-after 1s",
		"bind :80\n":                          "bind " + addr + "\n",
		"server backend 127.0.0.1:5000":       "server backend " + to.backendAddr(),
		"\n    server shaveet 127.0.0.1:8083": "\n    server shaveet " + hostPort(to.shaveet),
	}
	scheme := "http://"
	if to.tls != "" {
		scheme = "https://"
		edits["bind :80\n"] = "\n"
		edits["# bind :443 ssl crt /etc/haproxy/site.pem"] = "bind " + addr + " ssl crt " + to.tls
	}
	conf := write(t, inFolder(temporary(t))("haproxy.cfg"), to.conf(t, "haproxy.cfg", edits))
	haproxy := mortal(live.Tool(t, "haproxy"), "-W", "-f", conf)
	output := live.Run(t, haproxy)
	reload := func() {
		t.Helper()
		const gone = "exited with code 0"
		before := strings.Count(output(), gone)
		if err := haproxy.Process.Signal(syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		live.Until(t, "the old worker's end", 10*time.Second, func() bool { return strings.Count(output(), gone) > before })
	}
	return (&site{base: scheme + addr, reload: reload, output: output}).answers(t)
}

// TestHAProxyCompression has HAProxy compress everything. It would not hold
// streams back, but their Cache-Control keeps it from changing them at all.
func TestHAProxyCompression(t *testing.T) {
	t.Parallel()
	srv := live.Start(t, "--public-listen", "127.0.0.1:0")
	there := to(srv)
	there.change = func(conf string) string {
		return strings.Replace(conf, "\ndefaults\n", "\ndefaults\n    compression algo gzip\n", 1)
	}
	s := startHAProxy(t, there)
	for _, w := range []way{sse, stream} {
		r := newReader(t, srv, s.base, w, w.name)
		hearsAtOnce(t, srv, r, w.name)
		if r.compressed.Load() {
			t.Errorf("%s: compressed", w.name)
		}
	}
}

// TestHTTP2Behind has HAProxy speak HTTP/2 to the server, by the lines of the
// file that are for this. Every reader hears at once and is missed when it has
// left.
func TestHTTP2Behind(t *testing.T) {
	t.Parallel()
	const tabs = 12
	srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--http2")
	there := to(srv)
	there.change = func(conf string) string {
		lines := regexp.MustCompile(`    # http-reuse always\n    # server shaveet 127.0.0.1:8083 (.*)\n`)
		words := lines.FindStringSubmatch(conf)
		if words == nil {
			t.Fatal("haproxy.cfg has no lines for HTTP/2")
		}
		plain := regexp.MustCompile(`(\n    server shaveet \S+ ).*\n`)
		return plain.ReplaceAllString(lines.ReplaceAllString(conf, ""), "\n    http-reuse always${1}"+words[1]+"\n")
	}
	s := startHAProxy(t, there)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			hearsAtOnce(t, srv, newReader(t, srv, s.base, w, w.name), w.name)
		})
	}
	untilNobodyReads(t, srv)
	for range tabs {
		r := newReader(t, srv, s.base, sse, "news").read(t)
		if b := r.next(t, atOnce); b.err != nil {
			t.Error(b.err)
		}
	}
	if n := metric(t, srv, `shaveet_connections{door="public"}`); n > tabs/2 {
		t.Errorf("%v connections for %d readers", n, tabs)
	}
}
