package browser

import (
	"fmt"
	"os"
	"os/exec"
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
error_log %[1]s/error.log notice;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    include %[1]s/site.conf;
}
`

// nginx runs with the file of deploy.
type nginx struct {
	addr string
	pid  *os.Process
	log  string // its path
}

func startNginx(t *testing.T, shaveet, backend string) *nginx {
	t.Helper()
	dir, err := os.MkdirTemp("", "shaveet-browser-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := &nginx{addr: live.FreeAddr(t), log: filepath.Join(dir, "error.log")}
	conf, err := os.ReadFile(filepath.Join(live.Root(t), "deploy", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	site := string(conf)
	for old, now := range map[string]string{"listen 80;": n.addr, "server 127.0.0.1:5000;": backend, "server 127.0.0.1:8083;": shaveet} {
		if strings.Count(site, old) != 1 {
			t.Fatalf("nginx.conf has not exactly one %q", old)
		}
		word, _, _ := strings.Cut(old, " ")
		site = strings.Replace(site, old, word+" "+now+";", 1)
	}
	for name, text := range map[string]string{"site.conf": site, "nginx.conf": fmt.Sprintf(nginxConf, dir)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil { // its workers are other users
		t.Fatal(err)
	}
	cmd := mortal(live.Tool(t, "nginx"), "-e", n.log, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	live.Run(t, cmd)
	n.pid = cmd.Process
	t.Cleanup(func() {
		if log, _ := os.ReadFile(n.log); t.Failed() {
			t.Logf("nginx: the end of its log:\n%s", log[max(0, len(log)-4096):])
		}
	})
	live.Until(t, "nginx answers", patience, func() bool { return live.Answers("http://" + n.addr) })
	return n
}

// reload has it read its file again, and returns when the old worker is gone:
// with all connections that it had.
func (n *nginx) reload(t *testing.T) {
	t.Helper()
	gone := func() int {
		log, _ := os.ReadFile(n.log)
		return strings.Count(string(log), " exited with code 0")
	}
	before := gone()
	if err := n.pid.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	live.Until(t, "the end of nginx's old worker", patience, func() bool { return gone() > before })
}

// mortal is a command of a program with children, which it takes with it when
// the kernel ends it because the test process was killed.
func mortal(name string, args ...string) *exec.Cmd {
	if setpriv, err := exec.LookPath("setpriv"); err == nil {
		return exec.Command(setpriv, append([]string{"--pdeathsig", "TERM", name}, args...)...)
	}
	return exec.Command(name, args...)
}

// patience is for what may take long on a busy machine; where all is well
// nobody waits for it.
const patience = 90 * time.Second
