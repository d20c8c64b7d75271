package deploy

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// nginxConf stands for /etc/nginx/nginx.conf: one worker, and nothing outside
// its own folder.
const nginxConf = `daemon off;
worker_processes 1;
worker_shutdown_timeout 1s;
pid %[1]s/pid;
error_log %[1]s/error.log info;
events { worker_connections 1024; }
http {
    access_log %[1]s/access.log;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    include %[1]s/site.conf;
}
`

// startNginx runs nginx with our file.
func startNginx(t *testing.T, to behind) *site {
	t.Helper()
	addr := live.FreeAddr(t)
	edits := map[string]string{
		"server 127.0.0.1:5000;": "server " + to.backendAddr() + ";",
		"server 127.0.0.1:8083;": "server " + hostPort(to.shaveet) + ";",
	}
	scheme := "http://"
	if to.tls == "" {
		edits["listen 80;"] = "listen " + addr + ";"
	} else {
		scheme = "https://"
		edits["listen 80;"] = ""
		edits["# listen 443 ssl http2;"] = "listen " + addr + " ssl http2;"
		edits["# ssl_certificate     /etc/ssl/site.crt;"] = "ssl_certificate " + to.tls + ";"
		edits["# ssl_certificate_key /etc/ssl/site.key;"] = "ssl_certificate_key " + to.tls + ";"
	}
	return runNginx(t, scheme+addr, to.conf(t, "nginx.conf", edits))
}

// runNginx runs nginx with conf as one of its sites, at the URL base.
func runNginx(t *testing.T, base, conf string) *site {
	t.Helper()
	dir := temporary(t)
	at := inFolder(dir)
	write(t, at("site.conf"), conf)
	write(t, at("nginx.conf"), fmt.Sprintf(nginxConf, dir))
	nginx := mortal(live.Tool(t, "nginx"), "-e", at("error.log"), "-p", dir, "-c", at("nginx.conf"))
	printed := live.Run(t, nginx)
	output := func() string {
		text := printed()
		for _, name := range []string{"access.log", "error.log"} {
			log, _ := os.ReadFile(filepath.Join(dir, name))
			text += string(log)
		}
		return text
	}
	t.Cleanup(func() {
		if log, _ := os.ReadFile(at("error.log")); t.Failed() {
			t.Logf("nginx: %s", log)
		}
	})
	reload := func() {
		t.Helper()
		const gone = " exited with code 0"
		before := strings.Count(output(), gone)
		if err := nginx.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		live.Until(t, "the old worker's end", 10*time.Second, func() bool { return strings.Count(output(), gone) > before })
	}
	return (&site{base: base, reload: reload, output: output}).answers(t)
}

// startStock runs nginx with the least that one can write, and perhaps more.
func startStock(t *testing.T, srv *live.Server, more string) *site {
	t.Helper()
	addr := live.FreeAddr(t)
	return runNginx(t, "http://"+addr, "server { listen "+addr+"; "+more+" location / { proxy_pass "+srv.Public+"; } }\n")
}

// TestStockNginx is what an operator has who has read nothing: nginx asks by
// HTTP/1.0, closes each connection and buffers. A header of Shaveet's answers
// keeps it from buffering streams, also where it compresses everything. What no
// header can do is to have it pass on the wish for a WebSocket, which HTTP/1.0
// does not know; then the page has to hear of it at once.
func TestStockNginx(t *testing.T) {
	t.Parallel()
	srv := live.Start(t, "--public-listen", "127.0.0.1:0")
	s := startStock(t, srv, "")
	for _, w := range append(polls[:len(polls):len(polls)], sse, stream) {
		hearsAtOnce(t, srv, newReader(t, srv, s.base, w, w.name), w.name)
	}
	for more, status := range map[string]int{"": http.StatusBadRequest, "proxy_http_version 1.1;": http.StatusUpgradeRequired} {
		r := newReader(t, srv, startStock(t, srv, more).base, webSocket, "websocket").read(t)
		if b := r.next(t, atOnce); b.status != status {
			t.Errorf("%s: told %+v, want status %d", more, b, status)
		}
	}

	s = startStock(t, srv, "gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any; gzip_http_version 1.0;")
	for _, w := range []way{longpollPOST, sse, stream} {
		r := newReader(t, srv, s.base, w, "compressed")
		hearsAtOnce(t, srv, r, "compressed")
		if !r.compressed.Load() {
			t.Errorf("%s: not compressed", w.name)
		}
		rpc[int](t, srv, "kill_client", r.id)
	}
}

// TestDeafNginx is nginx that does not listen to that header: of a stream it
// passes on nothing, not even that there is one.
func TestDeafNginx(t *testing.T) {
	t.Parallel()
	srv := live.Start(t, "--public-listen", "127.0.0.1:0")
	s := startStock(t, srv, "proxy_ignore_headers X-Accel-Buffering;")
	readers := []*reader{newReader(t, srv, s.base, sse, "news").read(t), newReader(t, srv, s.base, stream, "news").read(t)}
	live.Until(t, "two readers", 10*time.Second, func() bool { return rpc[info](t, srv, "info").Counts.Sessions == 2 })
	say(t, srv, "news", 1, 1, "")
	silence := time.After(time.Second)
	for _, r := range readers {
		select {
		case b := <-r.told:
			t.Errorf("%s: told %+v: then our header is of no use", r.way.name, b)
		case <-silence:
			silence = time.After(0)
		}
	}
}
