package deploy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// site is a running nginx with our nginx.conf.
type site struct {
	addr string
	dir  string // has its logs
}

// mainConf stands for /etc/nginx/nginx.conf: one process, and nothing outside
// its own folder.
const mainConf = `daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/error.log info;
events { worker_connections 256; }
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

// startSite runs nginx with conf, which is our file or a little less of it,
// with only the addresses replaced.
func startSite(t *testing.T, conf, backend, shaveet string) site {
	t.Helper()
	s := site{addr: freeAddr(t), dir: t.TempDir()}
	for old, now := range map[string]string{
		"listen 80;":             "listen " + s.addr + ";",
		"server 127.0.0.1:5000;": "server " + hostPort(backend) + ";",
		"server 127.0.0.1:8083;": "server " + hostPort(shaveet) + ";",
	} {
		if strings.Count(conf, old) != 1 {
			t.Fatalf("nginx.conf has not exactly one %q", old)
		}
		conf = strings.Replace(conf, old, now, 1)
	}
	write(t, filepath.Join(s.dir, "site.conf"), conf)
	write(t, filepath.Join(s.dir, "nginx.conf"), fmt.Sprintf(mainConf, s.dir))

	nginx := exec.Command(live.Tool(t, "nginx"), "-e", s.log("error"), "-p", s.dir, "-c", filepath.Join(s.dir, "nginx.conf"))
	output := live.Run(t, nginx)
	t.Cleanup(func() {
		if t.Failed() {
			errors, _ := os.ReadFile(s.log("error"))
			t.Logf("nginx: %s%s", output(), errors)
		}
	})
	live.Until(t, "nginx", 20*time.Second, func() bool { return live.Answers("http://" + s.addr + "/") })
	return s
}

func (s site) log(name string) string { return filepath.Join(s.dir, name+".log") }

func hostPort(url string) string { return strings.TrimPrefix(url, "http://") }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// freeAddr is an address nobody listens at now; nginx cannot choose a port
// and tell which.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// TestSite looks at a whole site as a visitor does: the page's server, the
// script, a long poll that hears at once, and no key in any log.
func TestSite(t *testing.T) {
	t.Parallel()
	srv := live.Start(t, "--public-listen", "127.0.0.1:0")
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "the backend's page at ", r.URL.Path)
	}))
	defer backend.Close()
	s := startSite(t, read(t, "nginx.conf"), backend.URL, srv.Public)

	if _, body := get(t, "http://"+s.addr+"/news"); body != "the backend's page at /news" {
		t.Errorf("GET /news: %q", body)
	}
	if resp, body := get(t, "http://"+s.addr+"/static/shaveet.js"); resp.StatusCode != 200 || !strings.Contains(body, "Shaveet") {
		t.Errorf("shaveet.js: status %d, %.80q", resp.StatusCode, body)
	}

	key := rpc[string](t, srv, "create_client", "ada")
	rpc[int](t, srv, "subscribe", "ada", "news")
	pollURL := "http://" + s.addr + "/message_updates?callback=noop&client_id=ada_!!_" + key
	if _, body := get(t, pollURL); !strings.Contains(body, "subscribe") {
		t.Errorf("first poll: %q", body)
	}
	hearsAtOnce(t, srv, pollURL)
	longpollURL := "http://" + s.addr + "/longpoll?cursor=now&client_id=ada_!!_" + key
	resp, body := get(t, longpollURL)
	var first struct{ Cursor string }
	if err := json.Unmarshal([]byte(body), &first); err != nil || resp.StatusCode != 200 || first.Cursor == "" {
		t.Errorf("/longpoll: status %d, %q", resp.StatusCode, body)
	}
	hearsAtOnce(t, srv, strings.Replace(longpollURL, "cursor=now", "cursor="+first.Cursor, 1))

	// Now nginx has something to complain about.
	srv.Kill()
	if resp, _ := get(t, pollURL); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("a poll without Shaveet: status %d, want 502", resp.StatusCode)
	}
	for _, name := range []string{"access", "error"} {
		if strings.Contains(read(t, s.log(name)), key) {
			t.Errorf("the key is in nginx's %s log", name)
		}
	}
}

// hearsAtOnce publishes while a poll is held.
func hearsAtOnce(t *testing.T, srv *live.Server, pollURL string) {
	t.Helper()
	const limit = time.Second
	type answer struct {
		body string
		at   time.Time
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		body, err := fetch(pollURL)
		answers <- answer{body, time.Now(), err}
	}()
	live.Until(t, "a held poll", 10*time.Second, func() bool {
		return rpc[info](t, srv, "info").Counts.Sessions == 1
	})
	published := time.Now()
	rpc[int](t, srv, "new_message", "bob", "fresh news", "news", false)
	a := <-answers
	took := a.at.Sub(published)
	if a.err != nil || !strings.Contains(a.body, "fresh news") || took > limit {
		t.Errorf("after %v: %q, %v", took, a.body, a.err)
	}
	t.Logf("from publish to the answer through nginx: %v", took)
}

// TestNoAdminThroughNginx asks for the admin API in every spelling there is.
// For the worst case, nginx sends all that it does not know to the public
// door, where a backend would be, and sends no forwarding header, which the
// main door would take for a reason to refuse.
func TestNoAdminThroughNginx(t *testing.T) {
	t.Parallel()
	srv := live.Start(t, "--public-listen", "127.0.0.1:0")
	conf := regexp.MustCompile(`(?m)^.*X-Forwarded.*\n`).ReplaceAllString(read(t, "nginx.conf"), "")
	s := startSite(t, conf, srv.Public, srv.Public)

	const body = `{"jsonrpc":"2.0","id":1,"method":"create_client","params":["intruder"]}`
	for _, target := range []string{
		"/", "/rpc", "//", "//rpc", "/rpc/", "/./", "/./rpc", "/%2e/rpc", "/%2frpc", "/r%70c", "/?rpc", "/rpc?callback=x",
		"/RPC", "/rpc;x", "/rpc%00", "/x/../rpc", "/static/../rpc", "/static/shaveet.js/../../rpc", "/static/shaveet.%2f..%2f..%2frpc",
		"/message_updates/../rpc", "/message_updates/..", "/message_updates/%2e%2e/rpc",
		"http://127.0.0.1:8082/", "http://127.0.0.1:8082/rpc", "http://localhost/rpc", "http://" + hostPort(srv.Main) + "/rpc",
	} {
		for _, host := range []string{s.addr, "localhost", "127.0.0.1:8082", hostPort(srv.Main)} {
			// nginx itself refuses some spellings as malformed.
			if status := rawPost(t, s.addr, target, host, body); status != 404 && !(status == 400 && strings.Contains(target, "%00")) {
				t.Errorf("POST %s with Host %s: status %d, want 404", target, host, status)
			}
		}
	}
	if n := rpc[info](t, srv, "info").Counts.Clients; n != 0 {
		t.Errorf("%d clients were created from outside", n)
	}
}

// rawPost sends exactly this request target, which an HTTP library would
// clean up first.
func rawPost(t *testing.T, addr, target, host, body string) (status int) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", target, host, len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("POST %s: %v", target, err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// info is what these tests read of the method of that name.
type info struct {
	Counts struct{ Clients, Sessions int }
}

// rpc calls a method at the main door, as the backend does.
func rpc[T any](t *testing.T, srv *live.Server, method string, params ...any) T {
	t.Helper()
	request, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Post(srv.Main+"/", "application/json", bytes.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Result T
		Error  json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != nil {
		t.Fatalf("%s: %v %s", method, err, answer.Error)
	}
	return answer.Result
}

// client waits longer than a poll is held.
var client = http.Client{Timeout: 40 * time.Second}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func fetch(url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
