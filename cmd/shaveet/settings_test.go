package main

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/hub"
)

// configured is the configuration that serve would use.
func configured(env []string, args ...string) (server.Config, error) {
	p := &program{env: env, stdout: io.Discard, stderr: io.Discard}
	cfg, _, err := p.configure("serve", server.DefaultConfig(), args, nil)
	return cfg, err
}

// The file goes before the defaults, the environment before the file, and the
// flags before all.
func TestSourcesOfSettings(t *testing.T) {
	for _, tt := range []struct {
		key                     string
		file, env, flag         string // each a value as it is written there
		byDefault               string
		inFile, inEnv, fromFlag string
	}{
		{"public_listen", `"127.0.0.1:1"`, "127.0.0.1:2", "127.0.0.1:3",
			`""`, `"127.0.0.1:1"`, `"127.0.0.1:2"`, `"127.0.0.1:3"`},
		{"allowed_hosts", `["a", "b"]`, "c,d", "e, f",
			`[]`, `["a", "b"]`, `["c", "d"]`, `["e", "f"]`},
		{"poll_timeout", `"1m"`, "90s", "1h30m",
			`"25s"`, `"1m"`, `"1m30s"`, `"1h30m"`},
		{"max_batch_calls", `1`, "2", "3",
			`1000`, `1`, `2`, `3`},
		{"max_body_bytes", `4294967296`, "4294967297", "4294967298",
			`2097152`, `4294967296`, `4294967297`, `4294967298`},
		{"window", `"1m"`, "2m", "3m",
			`"5m"`, `"1m"`, `"2m"`, `"3m"`},
		{"log_format", `"json"`, "text", "json",
			`"text"`, `"json"`, `"text"`, `"json"`},
	} {
		for given := range 8 {
			var env, args []string
			want := tt.byDefault
			if given&1 != 0 {
				args = append(args, "--config", file(t, "shaveet.toml", tt.key+" = "+tt.file))
				want = tt.inFile
			}
			if given&2 != 0 {
				env = append(env, "SHAVEET_"+strings.ToUpper(tt.key)+"="+tt.env)
				want = tt.inEnv
			}
			if given&4 != 0 {
				args = append(args, "--"+strings.ReplaceAll(tt.key, "_", "-"), tt.flag)
				want = tt.fromFlag
			}
			cfg, err := configured(env, args...)
			if got := valueOf(&cfg, tt.key); err != nil || got != want {
				t.Errorf("%s with %v and %v: %s, want %s (%v)", tt.key, args, env, got, want, err)
			}
		}
	}
}

func valueOf(cfg *server.Config, key string) string {
	for _, s := range settings(cfg) {
		if s.name == key {
			return s.String()
		}
	}
	return "no such key"
}

// Every setting can be given in every way.
func TestEverySettingFromEverySource(t *testing.T) {
	for i, s := range settings(new(server.Config)) {
		text, inFile := "other", `"other"`
		switch {
		case s.isDuration():
			text, inFile = "42m", `"42m"`
		case s.value.CanInt():
			text, inFile = "42", "42"
		case s.value.Kind() == reflect.Slice:
			inFile = `["other"]`
		case s.value.Kind() == reflect.Bool:
			text, inFile = "true", "true"
		}
		for source, set := range map[string]func(cfg *server.Config, all []setting) error{
			"the file": func(cfg *server.Config, _ []setting) error {
				return applyFile(cfg, file(t, "a.toml", s.name+" = "+inFile))
			},
			"the environment": func(_ *server.Config, all []setting) error {
				return applyEnv(all, []string{s.env() + "=" + text})
			},
			"a flag": func(_ *server.Config, all []setting) error { return all[i].setText(text) },
		} {
			var cfg server.Config
			all := settings(&cfg)
			err := set(&cfg, all)
			want := inFile
			if s.secret {
				want = `"(secret)"`
			}
			if got := all[i].String(); err != nil || got != want {
				t.Errorf("%s from %s: %s, want %s (%v)", s.name, source, got, want, err)
			}
		}
		if s.help == "" {
			t.Errorf("%s has no help", s.name)
		}
	}
}

// What makes no sense is an error that says where.
func TestBadSettings(t *testing.T) {
	for _, tt := range []struct {
		where string // "" and a file's content, or an environment variable, or a flag
		what  string
		names []string // that the error has
	}{
		{"file", `poll_timout = "25s"`, []string{"poll_timout", "shaveet.toml"}},
		{"file", "[limits]\nclients = 5", []string{"limits"}},
		{"file", `poll_timeout = 25`, []string{"poll_timeout", "duration"}},
		{"file", `poll_timeout = "25"`, []string{"poll_timeout", "duration"}},
		{"file", `clients = "5"`, []string{"clients", "whole number"}},
		{"file", `clients = 5.5`, []string{"clients", "whole number"}},
		{"file", `clients = true`, []string{"clients", "whole number"}},
		{"file", `listen = 8082`, []string{"listen", "string"}},
		{"file", `allowed_hosts = "a"`, []string{"allowed_hosts", "list"}},
		{"file", `allowed_hosts = ["a", 5]`, []string{"allowed_hosts", "list"}},
		{"file", `listen = `, []string{"configuration file"}},
		{"file", `nope = 1` + "\n" + `clients = "5"`, []string{"nope", "clients"}},
		{"file", `log_format = "xml"`, []string{"log_format"}},
		{"file", `channel_bytes = 1`, []string{"channel_bytes"}},
		{"file", `allowed_origins = ["example.org"]`, []string{"allowed_origins", "example.org"}},
		{"file", `channel = 5`, []string{"channel", "tables"}},
		{"file", `channel.x = 5`, []string{`channel."x"`, "table"}},
		{"file", "[[channel]]\npattern = \"x\"", []string{"channel", "tables"}},
		{"file", "[channel.\"a.*\"]\nwindw = \"5s\"", []string{"shaveet.toml", `channel."a.*"`, `unknown key "windw"`}},
		{"file", "[channel.\"a.*\"]\nwindow = 5", []string{`channel."a.*"`, "window", "duration"}},
		{"file", "[channel.\"a.*\"]\nmessages = \"5\"", []string{`channel."a.*"`, "messages", "whole number"}},
		{"file", "[channel.\"a.*\"]\nnotices = \"no\"", []string{`channel."a.*"`, "notices", "true or false"}},
		{"file", "[channel.\"a.*\"]\nmessages = -5", []string{`a.*`, "negative"}},
		{"file", "[channel.\"a.*\".more]\nmessages = 5", []string{`channel."a.*"`, "more"}},
		{"file", "[channel.\"a\"]\n[channel.\"a\"]", []string{"configuration file"}},
		{"file", `namespace = 5`, []string{"namespace", "tables"}},
		{"file", `namespace."/x" = 5`, []string{`namespace."/x"`, "table"}},
		{"file", "[[namespace]]\nname = \"/x\"", []string{"namespace", "tables"}},
		{"file", "[namespace.\"/x\"]\nopn = true", []string{"shaveet.toml", `namespace."/x"`, `unknown key "opn"`}},
		{"file", "[namespace.\"/x\"]\nopen = \"yes\"", []string{`namespace."/x"`, "open", "true or false"}},
		{"file", "[namespace.x]", []string{`namespace."x"`, "begin with /"}},
		{"file", "[namespace.\"/x\"]\nrelay = [\"x\"]", []string{`namespace."/x"`, "relay", "a table of strings"}},
		{"file", "[namespace.\"/x\"]\nrelay = { x = 1 }", []string{`namespace."/x"`, "relay", "a table of strings"}},
		{"file", "[namespace.\"/x\"]\nhandler = \"y\"", []string{`namespace."/x"`, "handler", `"y"`, "[rpc]"}},
		{"file", "[webhook.x]\nurl = \"http://a/\"\nsecret_file = \"/does/not/exist\"", []string{`webhook."x"`, "secret_file"}},
		{"file", "[webhook.x]\nurl = \"http://a/\"", []string{`webhook."x"`, "secrets", "secret_file"}},
		{"file", "[namespace.\"/x#y\"]", []string{`namespace."/x#y"`, "#"}},
		{"file", "[namespace.\"/x\".more]\nopen = true", []string{`namespace."/x"`, "more"}},
		{"--socketio-ping-interval", "0s", []string{"socketio_ping_interval", "25s"}},
		{"--socketio-max-payload", "10", []string{"socketio_max_payload"}},
		{"SHAVEET_POLL_TIMOUT", "25s", []string{"SHAVEET_POLL_TIMOUT"}},
		{"SHAVEET_POLL_TIMEOUT", "25", []string{"SHAVEET_POLL_TIMEOUT", "duration"}},
		{"SHAVEET_CLIENTS", "many", []string{"SHAVEET_CLIENTS", "whole number"}},
		{"SHAVEET_CLIENTS", "", []string{"SHAVEET_CLIENTS", "whole number"}},
		{"SHAVEET_PORT", "9000", []string{"SHAVEET_PORT"}},
		{"SHAVEET_LOG_LEVEL", "loud", []string{"log_level"}},
		{"--poll-timeout", "25", []string{"--poll-timeout", "duration"}},
		{"--clients", "1e6", []string{"--clients", "whole number"}},
		{"--clients", "99999999999999999999", []string{"--clients", "whole number"}},
		{"--clients", "0", []string{"clients", "more than 0"}},
		{"--admin-listen", "0.0.0.0:0", []string{"admin_listen", "token"}},
		{"--admin-token", "short", []string{"admin_token"}},
		{"--config", "/nowhere/shaveet.toml", []string{"/nowhere/shaveet.toml"}},
		{"--admin-token-file", "/nowhere/token", []string{"admin_token_file", "/nowhere/token"}},
		{"--no-such-flag", "x", []string{"no-such-flag"}},
		{"--log-level", "loud", []string{"log_level"}},
	} {
		var env []string
		args := []string{"serve"}
		switch {
		case tt.where == "file":
			args = append(args, "--config", file(t, "shaveet.toml", tt.what))
		case strings.HasPrefix(tt.where, "--"):
			args = append(args, tt.where, tt.what)
		default:
			env = append(env, tt.where+"="+tt.what)
		}
		got := run(t, env, args...)
		if got.code == 0 {
			t.Errorf("%s %q: exit status 0", tt.where, tt.what)
		}
		for _, name := range tt.names {
			if !strings.Contains(got.stderr, name) {
				t.Errorf("%s %q: %q, want it to name %s", tt.where, tt.what, got.stderr, name)
			}
		}
	}
}

// A broken file is not a way to read the token in a log.
func TestBadFileKeepsTheToken(t *testing.T) {
	const secret = "canary0123456789canary"
	for _, content := range []string{
		"admin_token = " + secret, "admin_token = '" + secret, `admin_token = "` + secret, "admin_token = [" + secret + "]",
		`admin_token = ["` + secret + `"]`, `admin_tokn = "` + secret + `"`, `admin_token = "` + secret + `" x`,
		"admin_token = \"" + secret + "\"\nadmin_token = \"" + secret + "\"", `admin_token = "\q` + secret + `"`,
	} {
		got := run(t, nil, "serve", "--config", file(t, "shaveet.toml", content))
		if got.code != 1 || strings.Contains(got.stderr, secret) {
			t.Errorf("%q: %d %s", content, got.code, got.stderr)
		}
	}
}

// A table for channels begins with what all channels have; what it says
// counts, for it alone.
func TestTablesForChannels(t *testing.T) {
	cfg, err := configured(nil, "--config", file(t, "shaveet.toml", `
poll_timeout = "20s"

[channel."chat.*"]
window = "10m"
notices = false
members = 50

[channel.empty]

[channel.'back\*slash']
presence = false
bytes = 1048576
`))
	if err != nil {
		t.Fatal(err)
	}
	rule := func(pattern string, change func(*hub.ChannelRule)) hub.ChannelRule {
		r := hub.ChannelRule{Pattern: pattern, ChannelSettings: hub.DefaultChannelSettings()}
		change(&r)
		return r
	}
	want := []hub.ChannelRule{
		rule(`back\*slash`, func(r *hub.ChannelRule) { r.Presence, r.Bytes = false, 1<<20 }),
		rule("chat.*", func(r *hub.ChannelRule) { r.Window, r.Notices, r.Members = 10*time.Minute, false, 50 }),
		rule("empty", func(*hub.ChannelRule) {}),
	}
	if !reflect.DeepEqual(cfg.Channel, want) {
		t.Errorf("%+v, want %+v", cfg.Channel, want)
	}
}

// A table makes a namespace, also an empty one.
func TestTablesForNamespaces(t *testing.T) {
	cfg, err := configured(nil, "--config", file(t, "shaveet.toml", `
socketio_recovery_time = "0s"

[namespace."/news"]
open = true

[namespace."/"]
open = false

[namespace."/chat/hall"]
`))
	open := server.NamespaceSettings{Open: true}
	want := []server.NamespaceRule{{Name: "/"}, {Name: "/chat/hall"}, {Name: "/news", NamespaceSettings: open}}
	if err != nil || !reflect.DeepEqual(cfg.Namespace, want) || cfg.SocketioRecoveryTime != 0 {
		t.Errorf("%+v, %v; %v; want %+v", cfg.Namespace, cfg.SocketioRecoveryTime, err, want)
	}
}

// A table makes a webhook; who prints the configuration does not see its secrets.
func TestTablesForWebhooks(t *testing.T) {
	const first, second = "0123456789abcdef", "fedcba9876543210"
	secrets := file(t, "secrets", first+"\n"+second+"\n")
	for name, lines := range map[string]string{
		"in the file":      `secrets = ["` + first + `", "` + second + `"]`,
		"in one of theirs": fmt.Sprintf("secret_file = %q", secrets),
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, "shaveet.toml", "client_handler = \"chat\"\n[webhook.chat]\nurl = \"http://127.0.0.1:8000/push\"\n"+lines+`
[namespace."/chat"]
handler = "chat"
events = ["join", "say"]
relay = { typing = "*", "a b" = "room" }
`)
			cfg, err := configured(nil, "--config", path)
			if err != nil {
				t.Fatal(err)
			}
			if w := cfg.Webhook; len(w) != 1 || w[0].Name != "chat" || !slices.Equal(w[0].Secrets, []string{first, second}) {
				t.Errorf("%+v", w)
			}
			want := server.NamespaceSettings{Handler: "chat", Events: []string{"join", "say"}, Relay: map[string]string{"typing": "*", "a b": "room"}}
			if n := cfg.Namespace; len(n) != 1 || !reflect.DeepEqual(n[0].NamespaceSettings, want) {
				t.Errorf("%+v, want %+v", n, want)
			}
			printed := run(t, nil, "config", "--config", path)
			if strings.Contains(printed.stdout, first) || !strings.Contains(printed.stdout, `relay = { "a b" = "room", "typing" = "*" }`) {
				t.Errorf("%s", printed.stdout)
			}
		})
	}
}

// Kubernetes gives variables to every container beside a service called shaveet.
func TestVariablesOfKubernetes(t *testing.T) {
	env := []string{
		"SHAVEET_SERVICE_HOST=10.0.0.1", "SHAVEET_SERVICE_PORT=8082", "SHAVEET_SERVICE_PORT_HTTP=8082",
		"SHAVEET_PORT=tcp://10.0.0.1:8082", "SHAVEET_PORT_8082_TCP=tcp://10.0.0.1:8082", "SHAVEET_PORT_8082_TCP_PROTO=tcp",
		"SHAVEET_PORT_8082_TCP_PORT=8082", "SHAVEET_PORT_8082_TCP_ADDR=10.0.0.1",
	}
	if _, err := configured(env); err != nil {
		t.Error(err)
	}
}

func TestPort(t *testing.T) {
	const env = "SHAVEET_LISTEN=127.0.0.1:1"
	for _, tt := range []struct {
		args string
		want string
	}{
		{"", "127.0.0.1:1"},
		{"-p 9000", "127.0.0.1:9000"},
		{"-p=9000", "127.0.0.1:9000"},
		{"--port 9000", "127.0.0.1:9000"},
		{"-p 0", "127.0.0.1:1"},
		{"-p 9000 --listen 127.0.0.1:5", "127.0.0.1:5"},
	} {
		cfg, err := configured([]string{env}, strings.Fields(tt.args)...)
		if err != nil || cfg.Listen != tt.want {
			t.Errorf("%s: listen = %s, want %s (%v)", tt.args, cfg.Listen, tt.want, err)
		}
	}
	if got := run(t, nil, "-p", "http"); got.code != 2 || !strings.Contains(got.stderr, "-p") {
		t.Errorf("-p http: %+v", got)
	}
}

func TestTokenFile(t *testing.T) {
	path := file(t, "token", "0123456789abcdef0123\n")
	cfg, err := configured(nil, "--admin-token-file", path)
	if err != nil || cfg.AdminToken != "0123456789abcdef0123" {
		t.Errorf("%q, %v", cfg.AdminToken, err)
	}
	for what, args := range map[string][]string{
		"only one": {"--admin-token-file", path, "--admin-token", "0123456789abcdef0123"},
		"empty":    {"--admin-token-file", file(t, "empty", "\n")},
		"at least": {"--admin-token-file", file(t, "short", "x")},
	} {
		if _, err := configured(nil, args...); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v: %v, want %q", args, err, what)
		}
	}
}

// What config prints is a file that makes the same configuration.
func TestConfigPrintsWhatItReads(t *testing.T) {
	token := file(t, "token", "0123456789abcdef0123")
	tables := file(t, "tables.toml", "[channel.\"a.*\"]\nwindow = \"90s\"\nnotices = false\n[channel.'back\\\\slash \"quoted\"']\nbytes = 1000000\n")
	namespaces := file(t, "namespaces.toml", "[namespace.\"/news\"]\nopen = true\n[namespace.'/back\\slash \"quoted\"']\n")
	for _, args := range [][]string{
		nil,
		{"--poll-timeout", "1h", "--allowed-hosts", `a.test,b.test`, "--max-body-bytes", "12345", "--channel-messages", "7"},
		{"--public-listen", "127.0.0.1:8083", "--admin-listen", `unix:/tmp/a "quoted" path\x`, "--log-format", "json"},
		{"--admin-token-file", token},
		{"--config", tables},
		{"--config", namespaces},
		{"--socketio=false", "--socketio-allow-eio3", "--socketio-recovery-time", "0s"},
		{"--allowed-origins", "", "--access-log", "7"},
		{"--admin-token", "0123456789abcdef0123"},
	} {
		first := run(t, nil, append([]string{"config"}, args...)...)
		if first.code != 0 || strings.Contains(first.stdout, "0123456789abcdef0123") {
			t.Fatalf("config %v: %d %s\n%s", args, first.code, first.stderr, first.stdout)
		}
		path := file(t, "printed.toml", first.stdout)
		want, err := configured(nil, args...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := configured(nil, "--config", path)
		if err != nil {
			t.Errorf("config %v prints what cannot be read: %v\n%s", args, err, first.stdout)
			continue
		}
		if len(args) > 0 && args[0] == "--admin-token" { // this one is not printed
			want.AdminToken = ""
		}
		if len(got.AllowedHosts) == 0 {
			got.AllowedHosts = nil
		}
		if len(want.AllowedOrigins) == 0 && len(got.AllowedOrigins) == 0 { // none is none
			want.AllowedOrigins = got.AllowedOrigins
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("config %v printed\n%s\nwhich is read as %+v, want %+v", args, first.stdout, got, want)
		}
		for _, s := range settings(&want) {
			if !strings.Contains(first.stdout, "# "+s.help+"\n") {
				t.Errorf("config does not explain %s", s.name)
			}
		}
	}
}

func TestNamesOfSettings(t *testing.T) {
	for field, want := range map[string]string{
		"Listen": "listen", "PollTimeout": "poll_timeout", "MaxJSONDepth": "max_json_depth",
		"SubscriptionsPerClient": "subscriptions_per_client", "ID": "id", "UserID": "user_id",
		"PublishIDs": "publish_ids", "PublishIDAge": "publish_id_age", "IDsPerCall": "ids_per_call", "ASub": "a_sub",
	} {
		if got := server.Key(field); got != want {
			t.Errorf("%s is called %s, want %s", field, got, want)
		}
	}
	seen := map[string]bool{"config": true, "p": true, "port": true, "d": true, "daemon": true, "open": true, "page_listen": true, channelTables.key: true, namespaceTables.key: true, webhookTables.key: true, zeromqKey: true}
	for _, s := range settings(new(server.Config)) {
		if seen[s.name] {
			t.Errorf("%s is the name of two things", s.name)
		}
		seen[s.name] = true
	}
}

func TestShortDurations(t *testing.T) {
	for text, want := range map[string]string{
		"0s": "0s", "25s": "25s", "300s": "5m", "3600s": "1h", "5400s": "1h30m", "3610s": "1h0m10s", "90s": "1m30s",
		"1ms": "1ms", "10m": "10m", "100m": "1h40m", "10h": "10h", "1h0m0.5s": "1h0m0.5s",
	} {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		got := short(d)
		if again, err := time.ParseDuration(got); got != want || again != d {
			t.Errorf("%s is written %s, which is %v (%v); want %s", text, got, again, err, want)
		}
	}
}
