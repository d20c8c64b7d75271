package socketiochat_test

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) { live.Main(m) }

var sources = []string{
	"shaveet.toml", "go/main.go", "go/talkapp/talk.go", "go/talkapp/page.go", "python/talk.py",
	"page/index.html", "page/talk.css", "page/talk.js",
}

// A site is a running chat: its page, and Shaveet behind a wire that can be cut.
type site struct {
	page string
	wire *wire

	restart func() // of Shaveet, which forgets everybody
	backend func() // of the back end alone; nil: there is none but Shaveet's
	kill    func() // the back end does not answer any more; nil as well
	webhook string // where it is asked; "": it is not
}

// forms are the two forms of this example. They do the same, so they are held to
// the same story.
var forms = []struct {
	name  string
	start func(*testing.T) *site
}{
	{"go", startGo},
	{"python", startPython},
}

// startGo starts the program that has Shaveet inside.
func startGo(t *testing.T) *site {
	t.Helper()
	path := filepath.Join(t.TempDir(), "talk")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, "./go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	push := live.FreeAddr(t)
	s := &site{wire: newWire(t, push)}
	p := &program{t: t, command: func() *exec.Cmd {
		cmd := exec.Command(path)
		cmd.Env = append(os.Environ(), "PORT="+port(s.page), "SHAVEET_LISTEN="+push, "SHAVEET_PUBLIC=http://"+s.wire.address())
		return cmd
	}}
	t.Cleanup(p.stop)
	s.page = "http://" + live.FreeAddr(t)
	s.restart = func() { p.stop(); p.start(s.page) }
	p.start(s.page)
	return s
}

// startPython starts Shaveet as shaveet.toml wants it, and the back end that it
// asks.
func startPython(t *testing.T) *site {
	t.Helper()
	s := &site{page: "http://" + live.FreeAddr(t)}
	s.webhook = s.page + "/shaveet"
	config, err := os.ReadFile("shaveet.toml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(config), "http://127.0.0.1:5000/shaveet", s.webhook, 1)
	if text == string(config) {
		t.Fatal("shaveet.toml names another address")
	}
	path := filepath.Join(t.TempDir(), "shaveet.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--config", path)
	s.wire = newWire(t, strings.TrimPrefix(srv.Public, "http://"))
	p := &program{t: t, command: func() *exec.Cmd {
		cmd := exec.Command(live.Tool(t, "python3"), "python/talk.py")
		cmd.Env = append(os.Environ(), "PORT="+port(s.page), "SHAVEET_RPC="+srv.Main+"/", "SHAVEET_PUBLIC=http://"+s.wire.address(),
			"SHAVEET_TOKEN=", "CHAT_SECRET=")
		return cmd
	}}
	t.Cleanup(p.stop)
	s.restart, s.kill = srv.Restart, p.stop
	s.backend = func() { p.stop(); p.start(s.page) }
	p.start(s.page)
	return s
}

var portOf = regexp.MustCompile(`\d+$`)

func port(address string) string { return portOf.FindString(address) }

// A program can be ended and started again.
type program struct {
	t       *testing.T
	command func() *exec.Cmd
	cmd     *exec.Cmd // nil: it does not run
	output  strings.Builder
}

// start returns when the program answers at url.
func (p *program) start(url string) {
	p.t.Helper()
	p.cmd = p.command()
	p.output.Reset()
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	live.Until(p.t, "the back end answers", 30*time.Second, func() bool { return live.Answers(url) })
}

func (p *program) stop() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // its status says only that it was killed
	if p.t.Failed() {
		p.t.Logf("the back end has said:\n%s", &p.output)
	}
	if strings.Contains(p.output.String(), "Traceback") || strings.Contains(p.output.String(), "panic") {
		p.t.Errorf("the back end has failed:\n%s", &p.output)
	}
	p.cmd = nil
}

// A wire leads to an address, and can be cut.
type wire struct {
	listener net.Listener

	mu    sync.Mutex // guards both
	conns map[net.Conn]bool
	torn  bool
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, conns: make(map[net.Conn]bool)}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { w.relay(conn, to) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.cut()
		serving.Wait()
	})
	return w
}

func (w *wire) address() string { return w.listener.Addr().String() }

// relay carries bytes both ways until one side is closed.
func (w *wire) relay(conn net.Conn, to string) {
	other, err := net.Dial("tcp", to)
	if err != nil || !w.keep(conn, other) {
		conn.Close()
		return
	}
	var both sync.WaitGroup
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		to.Close()
		from.Close()
	}
	both.Go(func() { carry(conn, other) })
	carry(other, conn)
	both.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, conn)
	delete(w.conns, other)
}

// keep reports whether connections are let through.
func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if w.torn {
			c.Close()
		} else {
			w.conns[c] = true
		}
	}
	return !w.torn
}

// cut ends all connections; new ones are let through.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
}

// tear cuts, and lets none through until it is mended.
func (w *wire) tear() {
	w.mu.Lock()
	w.torn = true
	w.mu.Unlock()
	w.cut()
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.torn = false
}
