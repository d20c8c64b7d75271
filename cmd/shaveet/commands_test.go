package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/tests/live"
	"github.com/shaveet/shaveet/tests/redistest"
)

func TestHelp(t *testing.T) {
	for _, tt := range []struct {
		args   string
		code   int
		stdout string // what standard output has; standard error if it begins with !
	}{
		{"help", 0, "Usage: shaveet [COMMAND]"},
		{"help help", 0, "Usage: shaveet [COMMAND]"},
		{"help serve", 0, "--poll-timeout"},
		{"help demo", 0, "--page-listen"},
		{"help call", 0, "METHOD"},
		{"help config", 0, "Prints the configuration"},
		{"help healthcheck", 0, "Exits with 0"},
		{"help publish", 0, "--batch"},
		{"help listen", 0, "--since"},
		{"help doctor", 0, "--admin-url"},
		{"help completion", 0, "bash|zsh|fish"},
		{"help nonsense", 2, "no such command"},
		{"version", 0, "shaveet "},
		{"--help", 0, "--poll-timeout"},
		{"serve -h", 0, "--poll-timeout"},
		{"bench --help", 0, "--transport"},
		{"nonsense", 2, "!no such command: nonsense"},
		{"serve nonsense", 1, "!nonsense"},
		{"call", 2, "!METHOD"},
		{"-d", 2, "!systemd"},
		{"serve --daemon", 2, "!systemd"},
	} {
		got := run(t, nil, strings.Fields(tt.args)...)
		text, inErr := strings.CutPrefix(tt.stdout, "!")
		where := got.stdout
		if inErr {
			where = got.stderr
		}
		if got.code != tt.code || !strings.Contains(where, text) || got.code == 0 && got.stderr != "" {
			t.Errorf("shaveet %s: exit status %d, %q and %q; want %d and %q", tt.args, got.code, got.stdout, got.stderr, tt.code, tt.stdout)
		}
	}
}

// The usage has a line for every command, and every command has its own help.
func TestUsage(t *testing.T) {
	for _, c := range commands() {
		if !strings.Contains(usage(), "\n  "+c.name+" ") {
			t.Errorf("the usage has no %s", c.name)
		}
		if c.name != "version" && c.name != "help" && synopsis[c.name] == "" {
			t.Errorf("%s has no synopsis", c.name)
		}
	}
}

// The help of serve has every setting, and what it is by default.
func TestHelpHasEverySetting(t *testing.T) {
	help := run(t, nil, "help", "serve").stdout
	cfg := server.DefaultConfig()
	for _, s := range settings(&cfg) {
		line := regexp.MustCompile(`(?m)^ +--` + s.flag() + ` +` + regexp.QuoteMeta(s.help+defaultText(s)) + `$`)
		if !line.MatchString(help) {
			t.Errorf("help serve does not have the line %v", line)
		}
	}
}

func TestCall(t *testing.T) {
	token := "0123456789abcdef0123"
	open, atOpen := serving(t, nil)
	_, atLocked := serving(t, []string{"SHAVEET_ADMIN_TOKEN=" + token})
	openURL, lockedURL := "http://"+atOpen("main")+"/", "http://"+atLocked("main")+"/"
	tokenFile := file(t, "token", token+"\n")
	for _, tt := range []struct {
		env  []string
		args []string
		code int
		want string // in the result, or in the complaint
	}{
		{nil, []string{"call", "--url", openURL, "create_client", "a"}, 0, `"`},
		{[]string{"SHAVEET_URL=" + openURL}, []string{"call", "subscribe", "a", "room"}, 0, "1"},
		{[]string{"SHAVEET_URL=" + openURL}, []string{"call", "new_message", "a", `{"x": 1}`, "room", "false"}, 0, "1"},
		{[]string{"SHAVEET_URL=" + openURL}, []string{"call", "get_channel_clients", "room"}, 0, `["a"]`},
		{[]string{"SHAVEET_URL=" + openURL}, []string{"call", "subscribe", "nobody", "room"}, 1, "nobody"},
		{[]string{"SHAVEET_URL=" + openURL}, []string{"call", "no_such_method"}, 1, "no_such_method"},
		{[]string{"SHAVEET_URL=" + openURL}, []string{"call", "create_client"}, 1, "client_id"},
		{nil, []string{"call", "--url", openURL + "nothing", "info"}, 1, "404"},
		{nil, []string{"call", "--url", openURL + "healthz", "info"}, 1, "400"},
		{nil, []string{"call", "--url", "http://127.0.0.1:1/", "info"}, 1, "refused"},
		{nil, []string{"call", "--url", lockedURL, "info"}, 1, "token"},
		{[]string{"SHAVEET_ADMIN_TOKEN=wrong"}, []string{"call", "--url", lockedURL, "info"}, 1, "token"},
		{[]string{"SHAVEET_ADMIN_TOKEN=" + token}, []string{"call", "--url", lockedURL, "info"}, 0, "{"},
		{[]string{"SHAVEET_ADMIN_TOKEN_FILE=" + tokenFile}, []string{"call", "--url", lockedURL, "info"}, 0, "{"},
		{nil, []string{"call", "--url", lockedURL, "--admin-token-file", tokenFile, "info"}, 0, "{"},
		{nil, []string{"call", "--url", lockedURL, "--admin-token-file", "/nowhere", "info"}, 1, "/nowhere"},
	} {
		got := run(t, tt.env, tt.args...)
		where := got.stdout
		if tt.code != 0 {
			where = got.stderr
		}
		if got.code != tt.code || !strings.Contains(where, tt.want) {
			t.Errorf("%v shaveet %v: %+v, want %d and %q", tt.env, tt.args, got, tt.code, tt.want)
		}
	}
	if code := open.stop(); code != 0 {
		t.Errorf("the server ended with %d:\n%s", code, &open.stderr)
	}
}

func TestHealthcheck(t *testing.T) {
	r, addr := serving(t, nil)
	main := addr("main")
	for _, tt := range []struct {
		env  []string
		args []string
	}{
		{nil, []string{"healthcheck", "http://" + main}},
		{nil, []string{"healthcheck", "http://" + main + "/"}},
		{nil, []string{"healthcheck", "--listen", main}},
		{[]string{"SHAVEET_LISTEN=" + main}, []string{"healthcheck"}},
	} {
		if got := run(t, tt.env, tt.args...); got.code != 0 || got.stdout != "healthy\n" {
			t.Errorf("%v shaveet %v: %+v, want healthy", tt.env, tt.args, got)
		}
	}
	if got := run(t, nil, "healthcheck", "http://"+main+"/nothing"); got.code != 1 || !strings.Contains(got.stderr, "404") {
		t.Errorf("somewhere else: %+v", got)
	}
	if got := run(t, nil, "healthcheck", "one", "two"); got.code != 1 || !strings.Contains(got.stderr, "one URL") {
		t.Errorf("two URLs: %+v", got)
	}
	r.stop()
	if got := run(t, nil, "healthcheck", "http://"+main); got.code != 1 || got.stdout != "" {
		t.Errorf("without a server: %+v", got)
	}
}

func TestDoorURL(t *testing.T) {
	for listen, want := range map[string]string{
		":9": "http://127.0.0.1:9", "0.0.0.0:9": "http://127.0.0.1:9", "[::]:9": "http://127.0.0.1:9",
		"127.0.0.1:9": "http://127.0.0.1:9", "[::1]:9": "http://[::1]:9", "unix:/a": "unix:/a",
	} {
		if got := doorURL(listen); got != want {
			t.Errorf("listening on %q: %s, want %s", listen, got, want)
		}
	}
}

// A main door that others can reach is allowed, and warned of where only their
// address keeps them from the admin API.
func TestWarningOffLoopback(t *testing.T) {
	for _, tt := range []struct {
		args string
		warn bool
	}{
		{"--listen 127.0.0.1:8082", false},
		{"--listen [::1]:8082", false},
		{"--listen localhost:8082", false},
		{"--listen 0.0.0.0:8082", true},
		{"--listen :8082", true},
		{"--listen [::]:8082", true},
		{"--listen 192.168.1.2:8082", true},
		{"--listen example.com:8082", true},
		{"--listen :8082 --admin-token 0123456789abcdef", false},
		{"--listen :8082 --admin-listen 127.0.0.1:8084", false},
		{"--public-listen :8083", false},
	} {
		cfg, err := configured(nil, strings.Fields(tt.args)...)
		if err != nil {
			t.Errorf("%s: %v, want it allowed", tt.args, err)
		}
		if got := adminIsHalfOpen(cfg); got != tt.warn {
			t.Errorf("%s: a warning: %v, want %v", tt.args, got, tt.warn)
		}
	}
	quiet, _ := serving(t, nil)
	quiet.stop()
	if strings.Contains(quiet.stderr.String(), "level=WARN") {
		t.Errorf("a warning on loopback:\n%s", &quiet.stderr)
	}
}

// An admin door that others can reach needs a token; nothing is opened without.
func TestAdminDoorOffLoopback(t *testing.T) {
	got := run(t, nil, "--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0")
	if got.code != 1 || !strings.Contains(got.stderr, "admin_listen") || strings.Contains(got.stderr, "listening") {
		t.Errorf("%+v", got)
	}
}

func TestAddressTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := run(t, nil, "--listen", "127.0.0.1:0", "--public-listen", l.Addr().String())
	if got.code != 1 || !strings.Contains(got.stderr, l.Addr().String()) {
		t.Errorf("%+v", got)
	}
}

// socketPath is short: the name of a Unix socket has little room.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "admin.sock")
}

func callBySocket(t *testing.T, path, method string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	resp, err := client.Post("http://localhost/", "", strings.NewReader(`{"method": "`+method+`", "params": []}`))
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

// The admin API on a Unix socket is for the owner alone, and nowhere else.
func TestAdminSocket(t *testing.T) {
	path := socketPath(t)
	r, addr := serving(t, nil, "--admin-listen", "unix:"+path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode(); mode.Type() != os.ModeSocket || mode.Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, want 0600", mode)
	}
	if status, body := callBySocket(t, path, "info"); status != 200 || !strings.Contains(body, `"result"`) {
		t.Errorf("a call by the socket: %d %s", status, body)
	}
	if got := run(t, nil, "call", "--url", "unix:"+path, "info"); got.code != 0 || !strings.Contains(got.stdout, `"epoch"`) {
		t.Errorf("shaveet call by the socket: %+v", got)
	}
	if got := run(t, nil, "healthcheck", "unix:"+path); got.code != 0 {
		t.Errorf("shaveet healthcheck by the socket: %+v", got)
	}
	if got := run(t, nil, "call", "--url", "http://"+addr("main")+"/", "info"); got.code != 1 {
		t.Errorf("the main door still has the admin API: %+v", got)
	}

	second := run(t, nil, "--listen", "127.0.0.1:0", "--admin-listen", "unix:"+path)
	if second.code != 1 || !strings.Contains(second.stderr, "another process serves it") {
		t.Errorf("a second server on the socket: %+v", second)
	}
	if status, _ := callBySocket(t, path, "info"); status != 200 {
		t.Error("the second server broke the first one's socket")
	}

	r.stop()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// What a killed process left is replaced; what is no socket is left alone.
func TestStaleAdminSocket(t *testing.T) {
	path := socketPath(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	r, _ := serving(t, nil, "--admin-listen", "unix:"+path)
	if status, _ := callBySocket(t, path, "info"); status != 200 {
		t.Errorf("%d", status)
	}
	r.stop()

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, nil, "--listen", "127.0.0.1:0", "--admin-listen", "unix:"+path); got.code != 1 {
		t.Errorf("on a file: %+v", got)
	}
	if content, _ := os.ReadFile(path); string(content) != "precious" {
		t.Errorf("the file now has %q", content)
	}
}

// Flags may stand before status and behind it.
func TestClusterStatus(t *testing.T) {
	_, alone := serving(t, nil)
	url := redistest.Start(t).URL()
	_, node := serving(t, nil, "--redis", url)
	live.Until(t, "the node is ready", patience, func() bool { return live.Ready("http://" + node("main")) })
	for _, tt := range []struct {
		args   string
		code   int
		stdout string // a pattern; of standard error where the status is not 0
	}{
		{"status --url http://" + alone("main") + "/", 0, `has a log of its own`},
		{"--url http://" + node("main") + "/ status", 0, `(?s)NODE .*1 node`},
		{"status --json --url http://" + node("main") + "/", 0, `"shared": ?true`},
		{"--url http://" + node("main") + "/", 2, `there is only: cluster status`},
		{"status status --url http://" + node("main") + "/", 2, `there is only: cluster status`},
		{"status --nonsense", 2, `nonsense`},
	} {
		got := run(t, nil, append([]string{"cluster"}, strings.Fields(tt.args)...)...)
		where := got.stdout
		if tt.code != 0 {
			where = got.stderr
		}
		if got.code != tt.code || !regexp.MustCompile(tt.stdout).MatchString(where) {
			t.Errorf("shaveet cluster %s: exit status %d, %q and %q; want %d and %q", tt.args, got.code, got.stdout, got.stderr, tt.code, tt.stdout)
		}
	}
}
