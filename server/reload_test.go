package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// changed returns a configuration that differs from DefaultConfig by one key.
func changed(t *testing.T, key string) Config {
	t.Helper()
	cfg := DefaultConfig()
	for _, s := range cfg.Settings() {
		if s.Key != key {
			continue
		}
		switch s.Value.Interface().(type) {
		case string:
			s.Value.SetString(map[string]string{
				"listen": "127.0.0.1:1", "public_listen": "127.0.0.1:2", "admin_listen": "127.0.0.1:3", "admin_token": rightToken,
				"admin_token_file": "token", "log_level": "warn", "log_format": "json", "client_handler": BackendHandler,
				"redis": "redis://host", "redis_prefix": "other", "node_listen": "127.0.0.1:4", "node_advertise": "host:5", "node_name": "name",
			}[key])
		case []string:
			s.Value.Set(reflect.ValueOf([]string{map[string]string{"allowed_hosts": "push.internal", "allowed_origins": page}[key]}))
		case time.Duration:
			s.Value.SetInt(s.Value.Int() + int64(time.Second))
		case bool:
			s.Value.SetBool(!s.Value.Bool())
		default:
			s.Value.SetInt(s.Value.Int() + 1)
		}
	}
	if err := cfg.Validate(); err != nil {
		t.Fatalf("%s cannot be changed so: %v", key, err)
	}
	return cfg
}

// No key is forgotten: a new value is in force, or named as waiting for a
// restart.
func TestReloadOfEveryKey(t *testing.T) {
	base := DefaultConfig()
	for _, s := range base.Settings() {
		t.Run(s.Key, func(t *testing.T) {
			r := prepare(t, DefaultConfig())
			next := changed(t, s.Key)
			r.reload = func() (Config, error) { return next, nil }
			want, inForce := Reloaded{Changed: []string{s.Key}, Restart: []string{}}, next
			if !s.Live {
				want, inForce = Reloaded{Changed: []string{}, Restart: []string{s.Key}}, DefaultConfig()
			}
			done, err := r.srv.Reload(t.Context())
			if err != nil || !reflect.DeepEqual(done, want) {
				t.Errorf("%+v, %v; want %+v", done, err, want)
			}
			if got := r.srv.Config(); !reflect.DeepEqual(got, inForce) {
				t.Errorf("in force is %+v, want %+v", got, inForce)
			}
			if got := r.srv.hub.Limits(); got != inForce.Limits {
				t.Errorf("the hub has %+v, want %+v", got, inForce.Limits)
			}
			if _, tested := effects[s.Key]; s.Live && !tested && !isLimit(s.Key) {
				t.Error("no test sees whether the new value has an effect: give it a line in effects")
			}
			want.Changed = []string{} // the second time it is no news; what waits still waits
			if done, err := r.srv.Reload(t.Context()); err != nil || !reflect.DeepEqual(done, want) {
				t.Errorf("again: %+v, %v; want %+v", done, err, want)
			}
		})
	}
}

// isLimit reports whether a key is one of the hub's, which are handed over as
// a whole.
func isLimit(key string) bool {
	limits := reflect.TypeFor[hub.Limits]()
	for i := range limits.NumField() {
		if Key(limits.Field(i).Name) == key {
			return true
		}
	}
	return false
}

// An effect is what is to be seen of a live key's new value by who uses the
// server.
type effect struct {
	change func(*Config)
	seen   func(t *testing.T, r *running) bool
}

// effects are those of all live keys.
var effects = map[string]effect{
	"admin_token": {func(c *Config) { c.AdminToken = rightToken }, func(t *testing.T, r *running) bool {
		req, _ := http.NewRequest("POST", "http://"+r.adm+"/", strings.NewReader(rpcBody("info")))
		status, _ := do(t, req)
		return status == 404
	}},
	"admin_token_file": {func(c *Config) { c.AdminTokenFile, c.AdminToken = "token", rightToken }, func(_ *testing.T, r *running) bool {
		return r.srv.Config().AdminTokenFile == "token" // who reads it is the program
	}},
	"allowed_hosts": {func(c *Config) { c.AllowedHosts = []string{"Push.internal"} }, func(t *testing.T, r *running) bool {
		req, _ := http.NewRequest("POST", "http://"+r.adm+"/", strings.NewReader(rpcBody("info")))
		req.Host = "push.internal"
		status, _ := do(t, req)
		return status == 200
	}},
	"allowed_origins": {func(c *Config) { c.AllowedOrigins = []string{page} }, func(t *testing.T, r *running) bool {
		req, _ := http.NewRequest("GET", "http://"+r.pub+"/longpoll", nil)
		req.Header.Set("Origin", "https://evil.test")
		status, _ := do(t, req)
		return status == 403
	}},
	"poll_timeout": {func(c *Config) { c.PollTimeout = time.Millisecond }, func(t *testing.T, r *running) bool {
		key := r.client("alice") // without a channel there is nothing to hear
		began := time.Now()
		get(t, "http://"+r.pub+pollPath("alice", key))
		get(t, "http://"+r.pub+longpollPath("alice", key)+"&cursor="+r.srv.hub.Position().String())
		return time.Since(began) < DefaultConfig().PollTimeout
	}},
	"heartbeat_time": {func(c *Config) { c.HeartbeatTime = 10 * time.Millisecond }, func(t *testing.T, r *running) bool {
		resp, err := http.Get("http://" + r.pub + strings.Replace(longpollPath("alice", r.client("alice")), "/longpoll", "/stream", 1))
		if err != nil {
			t.Error(err)
			return false
		}
		defer resp.Body.Close()
		began, lines := time.Now(), bufio.NewReader(resp.Body)
		for range 4 {
			if _, err := lines.ReadString('\n'); err != nil {
				t.Error(err)
				return false
			}
		}
		return time.Since(began) < DefaultConfig().HeartbeatTime
	}},
	"websocket_compression": {func(c *Config) { c.WebsocketCompression = true }, func(t *testing.T, r *running) bool {
		_, agreed := upgraded(t, r.pub, "Sec-WebSocket-Extensions: permessage-deflate\r\n")
		return strings.Contains(agreed.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	}},
	"max_reader_frames": {func(c *Config) { c.MaxReaderFrames = 1 }, func(t *testing.T, r *running) bool {
		conn, _ := upgraded(t, r.pub, "")
		pings := bytes.Repeat(ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame(nil))), 10)
		conn.Write(pings)
		for {
			head, err := ws.ReadHeader(conn)
			if err != nil || head.Length > 125 {
				t.Errorf("%+v, %v", head, err)
				return false
			}
			payload := make([]byte, head.Length)
			io.ReadFull(conn, payload)
			if head.OpCode == ws.OpClose {
				code, _ := ws.ParseCloseFrameData(payload)
				return code == ws.StatusPolicyViolation
			}
		}
	}},
	"retry_time": {func(c *Config) { c.RetryTime = 1000 * time.Second }, func(t *testing.T, r *running) bool {
		answer := make(chan string, 1)
		key := r.client("alice")
		path := longpollPath("alice", key) + "&cursor=" + r.srv.hub.Position().String()
		go func() {
			resp, err := oneShot.Get("http://" + r.pub + path)
			if err != nil {
				answer <- err.Error()
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			answer <- string(body)
		}()
		spin(t, func() bool { return r.srv.hub.Stats().Sessions == 1 })
		r.stop()
		return regexp.MustCompile(`"type":"drain","retry_ms":1\d{6}\}`).MatchString(<-answer)
	}},
	"drain_delay": {func(c *Config) { c.DrainDelay = time.Millisecond }, func(_ *testing.T, r *running) bool {
		r.stop()
		<-r.done
		return r.log.lines("draining")[0]["delay"] == float64(time.Millisecond)
	}},
	"drain_timeout": {func(c *Config) { c.DrainTimeout = time.Hour }, func(_ *testing.T, r *running) bool {
		r.stop()
		<-r.done
		return r.log.lines("draining")[0]["timeout"] == float64(time.Hour)
	}},
	"max_hello_bytes": {func(c *Config) { c.MaxHelloBytes = 10 }, func(t *testing.T, r *running) bool {
		req, _ := http.NewRequest("POST", "http://"+r.pub+"/longpoll", strings.NewReader(`{"clients":[]}`))
		status, _ := do(t, req)
		return status == 413
	}},
	"max_poll_clients": {func(c *Config) { c.MaxPollClients = 1 }, func(t *testing.T, r *running) bool {
		old, _ := get(t, "http://"+r.pub+pollPath("a", "k")+"&client_id=b_!!_k")
		now, _ := get(t, "http://"+r.pub+longpollPath("a", "k")+"&client_id=b_!!_k")
		return old == 400 && now == 400
	}},
	"log_level": {func(c *Config) { c.LogLevel = "error" }, func(_ *testing.T, r *running) bool {
		return r.level.Level() == slog.LevelError
	}},
	"access_log": {func(c *Config) { c.AccessLog = 1 }, func(t *testing.T, r *running) bool {
		get(t, "http://"+r.pub+"/healthz")
		spin(t, func() bool { return len(r.log.lines("request")) > 0 }) // it is written after the answer
		return true
	}},
	"channel": {func(c *Config) {
		c.Channel = []hub.ChannelRule{{Pattern: "short.*", ChannelSettings: hub.ChannelSettings{Messages: 2}}}
	}, func(t *testing.T, r *running) bool {
		for range 5 {
			r.call("new_message", "x", "hello", "short.news", false)
			r.call("new_message", "x", "hello", "news", false)
		}
		channels, _ := r.srv.hub.ListChannels(hub.Listing{Limit: 10})
		kept := make(map[string]int)
		for _, c := range channels {
			kept[c.Name] = c.Messages
		}
		return kept["short.news"] == 2 && kept["news"] == 5
	}},
}

func longpollPath(id, key string) string {
	return "/longpoll?client_id=" + url.QueryEscape(id+"_!!_"+key)
}

// spin waits for what happens at once.
func spin(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen in time")
		}
	}
}

func TestReloadHasAnEffect(t *testing.T) {
	t.Parallel()
	for key, e := range effects {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			r.reload = func() (Config, error) {
				cfg := DefaultConfig()
				cfg.DrainDelay = 0
				e.change(&cfg)
				return cfg, nil
			}
			if _, err := r.srv.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !e.seen(t, r) {
				t.Error("the new value has no effect")
			}
		})
	}
}

// Tables for channels are named by their patterns.
func TestReloadNamesTables(t *testing.T) {
	rule := func(pattern string, messages int) hub.ChannelRule {
		return hub.ChannelRule{Pattern: pattern, ChannelSettings: hub.ChannelSettings{Messages: messages}}
	}
	cfg := DefaultConfig()
	cfg.Channel = []hub.ChannelRule{rule("same", 1), rule("other", 1), rule("less", 1)}
	r := prepare(t, cfg)
	r.reload = func() (Config, error) {
		next := cfg
		next.Channel = []hub.ChannelRule{rule("more", 1), rule("other", 2), rule("same", 1)}
		return next, nil
	}
	done, err := r.srv.Reload(t.Context())
	if want := []string{`channel."less"`, `channel."more"`, `channel."other"`}; err != nil || !slices.Equal(done.Changed, want) {
		t.Errorf("%v, %v; want %v", done.Changed, err, want)
	}
}

// What is bad in any part changes nothing, and says why.
func TestBadReload(t *testing.T) {
	for name, tt := range map[string]struct {
		begin  func(*Config)
		reload func(*Config) error
		why    string
	}{
		"it cannot be read":      {nil, func(*Config) error { return errors.New("unknown key \"windw\"") }, "windw"},
		"a value":                {nil, func(c *Config) error { c.PollTimeout = 0; return nil }, "poll_timeout"},
		"a value that must wait": {nil, func(c *Config) error { c.KeepAlive = 0; return nil }, "keep_alive"},
		"a limit":                {nil, func(c *Config) error { c.Limits.Clients = -1; return nil }, "clients"},
		"an origin":              {nil, func(c *Config) error { c.AllowedOrigins = []string{"x"}; return nil }, "allowed_origins"},
		"a table": {nil, func(c *Config) error {
			c.Channel = []hub.ChannelRule{{Pattern: "x", ChannelSettings: hub.ChannelSettings{Window: -1}}}
			return nil
		}, `"x"`},
		"two values": {nil, func(c *Config) error { c.PollTimeout, c.LogLevel = 0, "loud"; return nil }, "log_level"},
		"an admin door that would stay open": {
			func(c *Config) { c.AdminListen, c.AdminToken = "0.0.0.0:0", rightToken },
			func(c *Config) error { c.AdminListen, c.AdminToken = "127.0.0.1:0", ""; return nil }, "restart",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			if tt.begin != nil {
				tt.begin(&cfg)
			}
			r := prepare(t, cfg)
			r.reload = func() (Config, error) {
				next := cfg
				next.AccessLog, next.Limits.Channels = 7, 7 // which are fine
				err := tt.reload(&next)
				return next, err
			}
			_, err := r.srv.Reload(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Fatalf("%v, want it to name %s", err, tt.why)
			}
			if got := r.srv.Config(); !reflect.DeepEqual(got, cfg) || r.srv.hub.Limits() != cfg.Limits {
				t.Errorf("something has changed: %+v", got)
			}
			lines := r.log.lines("the configuration was not reloaded: nothing has changed")
			if len(lines) != 1 || lines[0]["level"] != "ERROR" || !strings.Contains(fmt.Sprint(lines[0]["error"]), tt.why) {
				t.Errorf("the log says %v", lines)
			}
			if r.srv.metric(t, "shaveet_config_last_reload_successful") != 0 {
				t.Error("the metrics say that all is well")
			}
		})
	}
}

// The backend can have it reloaded, and hears what came of it.
func TestReloadMethod(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.reload = func() (Config, error) {
		cfg := DefaultConfig()
		cfg.DrainDelay, cfg.KeepAlive, cfg.RetryTime = 0, time.Second, time.Second
		return cfg, nil
	}
	if got := string(r.call("reload")); got != `{"changed":["retry_time"],"restart":["keep_alive"]}` {
		t.Errorf("%s", got)
	}
	r.reload = func() (Config, error) { return Config{}, errors.New("line 1\nline 2") }
	if _, fault := r.try("reload"); fault != "line 1; line 2" {
		t.Errorf("%q", fault)
	}
	if lines := r.log.lines("reloaded the configuration"); len(lines) != 1 || fmt.Sprint(lines[0]["changed"]) != "[retry_time]" {
		t.Errorf("the log says %v", lines)
	}
}

// A server that was not told how cannot reload, and does not say it could.
func TestNoReload(t *testing.T) {
	s, err := New(DefaultConfig(), memory.New(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reload(t.Context()); !errors.Is(err, ErrNoReload) {
		t.Errorf("%v", err)
	}
	w := answerOf(s.admin, httptest.NewRequest("POST", "/", strings.NewReader(rpcBody("reload"))))
	if !strings.Contains(w.Body.String(), "not found") {
		t.Errorf("%s", w.Body)
	}
}

// Requests go on through reloads, each with one configuration or another.
func TestConcurrentReload(t *testing.T) {
	t.Parallel()
	r := start(t)
	var flip sync.Mutex
	n := 0
	r.reload = func() (Config, error) {
		flip.Lock()
		n++
		mine := n
		flip.Unlock()
		time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond) // others may overtake, if they can
		cfg := DefaultConfig()
		cfg.DrainDelay = 0
		cfg.Limits.Channels += mine
		cfg.AllowedOrigins = []string{fmt.Sprintf("https://%d.test", mine)}
		return cfg, nil
	}
	var all sync.WaitGroup
	all.Go(func() {
		for round := range 20 {
			var atOnce sync.WaitGroup
			for range 3 {
				atOnce.Go(func() {
					if _, err := r.srv.Reload(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			atOnce.Wait()
			got, want := r.srv.hub.Limits(), DefaultConfig().Limits.Channels+3*(round+1)
			if got.Channels != want || r.srv.Config().Limits != got {
				t.Errorf("the hub has %d, the server %d, want the last: %d", got.Channels, r.srv.Config().Limits.Channels, want)
			}
		}
	})
	for i := range 3 {
		all.Go(func() {
			for j := range 20 {
				req, _ := http.NewRequest("GET", "http://"+r.pub+"/longpoll", nil)
				req.Header.Set("Origin", fmt.Sprintf("https://%d.test", i*20+j))
				resp, err := oneShot.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != 400 && resp.StatusCode != 403 {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
		})
	}
	all.Wait()
}

// upgraded opens a WebSocket, with these lines of header.
func upgraded(t *testing.T, address, lines string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", lines)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil) // nothing follows before the hello
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v, %v", resp, err)
	}
	return conn, resp
}
