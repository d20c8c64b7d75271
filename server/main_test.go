package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// long returns full with SHAVEET_LONG set, else quick.
func long(quick, full int) int {
	if os.Getenv("SHAVEET_LONG") != "" {
		return full
	}
	return quick
}

// running is a server on loopback, which ends with its test.
type running struct {
	t    testing.TB
	srv  *Server
	log  *logBuffer
	main string // addresses of the doors
	pub  string
	adm  string // the dedicated door, if Config.AdminListen asks for one, else main
	stop context.CancelFunc
	done chan struct{}
	err  error // of Serve; read after done

	level  slog.LevelVar          // that the server sets; the log has every line
	reload func() (Config, error) // what Reload reads
}

// start runs a server whose configuration change has changed. Its drain has no
// delay.
func start(t testing.TB, change ...func(*Config)) *running {
	t.Helper()
	cfg := DefaultConfig()
	cfg.DrainDelay = 0
	for _, f := range change {
		f(&cfg)
	}
	r := prepare(t, cfg)
	r.serve(Doors{Main: listen(t), Public: listen(t)})
	return r
}

// prepare makes a server that does not run yet.
func prepare(t testing.TB, cfg Config) *running {
	t.Helper()
	return prepareOn(t, cfg, memory.New())
}

// prepareOn makes one on this log.
func prepareOn(t testing.TB, cfg Config, log hub.Broker) *running {
	t.Helper()
	r := &running{t: t, log: new(logBuffer), done: make(chan struct{})}
	logger := slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if r.srv, err = New(cfg, log, Options{Logger: logger, LogLevel: &r.level, Reload: func() (Config, error) { return r.reload() }}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *running) serve(doors Doors) {
	r.t.Helper()
	if r.srv.cfg.AdminListen != "" && doors.Admin == nil {
		doors.Admin = listen(r.t)
	}
	r.main = doors.Main.Addr().String()
	r.adm = r.main
	if doors.Public != nil {
		r.pub = doors.Public.Addr().String()
	}
	if doors.Admin != nil {
		r.adm = doors.Admin.Addr().String()
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() {
		r.err = r.srv.Serve(ctx, doors)
		close(r.done)
	}()
	r.t.Cleanup(func() {
		r.stop()
		<-r.done
	})
	<-r.srv.hub.Ready()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// call calls a method of the admin API and returns its result.
func (r *running) call(method string, params ...any) json.RawMessage {
	r.t.Helper()
	result, fault := r.try(method, params...)
	if fault != "" {
		r.t.Fatalf("%s%v: %s", method, params, fault)
	}
	return result
}

// try is call, with the error's message instead of a failed test.
func (r *running) try(method string, params ...any) (result json.RawMessage, fault string) {
	r.t.Helper()
	req, _ := http.NewRequest(http.MethodPost, "http://"+r.adm+"/", strings.NewReader(rpcBody(method, params...)))
	if token := r.srv.Config().AdminToken; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	status, body := do(r.t, req)
	var answer struct {
		Result json.RawMessage
		Error  *struct{ Message string }
	}
	if err := json.Unmarshal([]byte(body), &answer); status != 200 || err != nil {
		r.t.Fatalf("%s: %d %q", method, status, body)
	}
	if answer.Error != nil {
		return nil, answer.Error.Message
	}
	return answer.Result, ""
}

func rpcBody(method string, params ...any) string {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// client makes a client on the channels and returns its key.
func (r *running) client(id string, channels ...string) (key string) {
	r.t.Helper()
	if err := json.Unmarshal(r.call("create_client", id), &key); err != nil {
		r.t.Fatal(err)
	}
	for _, ch := range channels {
		r.call("subscribe", id, ch)
	}
	return key
}

func pollPath(id, key string) string {
	return "/message_updates?callback=cb&client_id=" + url.QueryEscape(id+"_!!_"+key)
}

var oneShot = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       patience,
}

func do(t testing.TB, req *http.Request) (status int, body string) {
	t.Helper()
	resp, err := oneShot.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

// dial connects for at most patience.
func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// refused reports whether nobody listens at addr.
func refused(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err != nil
}

// A logBuffer is a log that a test can read.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
