package main

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/hub"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

// The manual is made from the configuration, so it cannot say anything else.
func TestConfigurationManual(t *testing.T) {
	const path = "../../docs/configuration.md"
	page, err := manual()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != page {
		t.Errorf("%s is not what the configuration says; run go test ./cmd/shaveet -run Manual -update", path)
	}
}

// chapters divide the settings, in their order: each begins with a key.
var chapters = []struct{ key, title, text string }{
	{"listen", "Doors", "Where the server is reached, and who may call the admin API. Point proxies and the world at the public door only:\n" +
		"behind a proxy on the same machine, every visitor of the main door looks like your backend.\n\n" +
		"An origin is written as browsers do: `https://app.example.org`, `http://localhost:3000`, without a path; of\n" +
		"`https://*.example.org` the `*` stands for anything. With an empty list no web page of another host may use\n" +
		"`/longpoll` but by JSONP, which has no origin. An origin is no credential, and programs can send any: it is the key that lets readers in."},
	{"poll_timeout", "Polls and idle clients", ""},
	{"socketio", "Socket.IO", "What Socket.IO is here, and what it takes, says [socketio.md](socketio.md). Namespaces beside `/` are [tables](#namespaces)."},
	{"handler_timeout", "Handlers", "Who answers what pages say, see [handlers.md](handlers.md): [webhooks](#webhooks), or the backend's own WebSocket."},
	{"drain_delay", "Shutdown", "Together, the two times should be less than what a supervisor waits before it kills: unless told otherwise, Docker\n" +
		"waits 10 s, Kubernetes 30 s and systemd 90 s."},
	{"header_timeout", "Slow peers", ""},
	{"max_connections", "Size of requests", "What is larger is refused; connections beyond their number wait."},
	{"log_level", "Log", "The log goes to standard error. It never has a key, a token or a query string in it. [operations.md](operations.md)\n" +
		"says what its lines mean."},
	{"window", "What channels keep", "A message is kept until one of these is reached."},
	{"channels", "How much there may be", ""},
	{"batch_messages", "Batches", "How much of what is waiting a reader is given in one piece."},
}

const preface = `# Configuration

<!-- Made from server/config.go by go test ./cmd/shaveet -run Manual -update. Do not edit. -->

Shaveet runs without any configuration. What you want to change can be said in four places; of these, the later one
counts:

1. the defaults, below
2. a TOML file, named by ` + "`--config FILE` or `SHAVEET_CONFIG`" + `
3. environment variables: ` + "`SHAVEET_POLL_TIMEOUT=30s`" + `
4. flags: ` + "`--poll-timeout 30s`" + `

` + "```" + `toml
# /etc/shaveet.toml
listen           = "127.0.0.1:8082"
public_listen    = "127.0.0.1:8083"
admin_token_file = "/etc/shaveet.token"
window           = "10m"
allowed_hosts    = ["push.internal"]
` + "```" + `

` + "`shaveet config`" + ` prints the configuration in force, with the same flags and variables, as such a file. A key, variable
or flag that does not exist, and a value that makes no sense, are errors: the server says which, and does not start.

Durations are written ` + "`90s`, `5m` or `1h30m`" + `, sizes as a number of bytes, lists in variables and flags with commas. Every
limit can be changed, but none can be switched off, except where 0 is said to do so.

What has a yes under *Live* can be changed while the server runs: on SIGHUP or at the admin API's ` + "`reload()`" + ` all four places
are read again. If all is well, what is live is in force at once, and the log names what else has changed and waits for
a restart; if anything is wrong, nothing changes, and the log says what. What a file no longer says has its default again.

Beside the settings there are ` + "`-p PORT`, short for `--listen 127.0.0.1:PORT`, and `-d`" + `, which explains how to run Shaveet as
a service. Secrets are best given as a file (` + "`admin_token_file`" + `): other users of the machine can see flags. The variables that
Kubernetes sets beside a service called shaveet (` + "`SHAVEET_SERVICE_HOST`, `SHAVEET_PORT=tcp://…`" + `) are passed over.
`

// manual makes docs/configuration.md.
func manual() (string, error) {
	var b strings.Builder
	b.WriteString(preface)
	cfg := server.DefaultConfig()
	next := 0
	for _, s := range settings(&cfg) {
		if next < len(chapters) && chapters[next].key == s.name {
			c := chapters[next]
			next++
			fmt.Fprintf(&b, "\n## %s\n\n", c.title)
			if c.text != "" {
				fmt.Fprintf(&b, "%s\n\n", c.text)
			}
			b.WriteString("| Key | Default | Meaning | Live | Variable | Flag |\n| --- | --- | --- | --- | --- | --- |\n")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | `%s` | `--%s` |\n", s.name, inTable(s), s.help, yes(s.live), s.env(), s.flag())
	}
	if next < len(chapters) {
		return "", fmt.Errorf("there is no key %s for a chapter to begin with", chapters[next].key)
	}
	b.WriteString(channelChapter)
	all := hub.DefaultChannelSettings()
	for _, s := range fieldSettings(&all) {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.name, inChannelTable(s), s.help)
	}
	b.WriteString(namespaceChapter)
	for _, s := range fieldSettings(new(server.NamespaceSettings)) {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", s.name, s, s.help)
	}
	b.WriteString(webhookChapter)
	for _, s := range fieldSettings(new(server.WebhookSettings)) {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", s.name, s, s.help)
	}
	b.WriteString(socketChapter)
	for _, row := range socketRows() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", row.name, row.types, inTable(row.setting), row.help)
	}
	return b.String(), nil
}

// A socketRow is a key of tables for ZeroMQ sockets, and of which types.
type socketRow struct {
	setting
	types string
}

// socketRows lists the keys of all types, in the order of their fields.
func socketRows() (all []socketRow) {
	c := server.DefaultSocketConfig()
	fields := reflect.TypeOf(c)
	for i := range fields.NumField() {
		name := server.Key(fields.Field(i).Name)
		var types []string
		for _, kind := range socketTypes {
			c.Type = kind
			some := socketSettings(&c)
			if at := slices.IndexFunc(some, func(s setting) bool { return s.name == name }); at >= 0 {
				if len(types) == 0 {
					all = append(all, socketRow{setting: some[at]})
				}
				types = append(types, kind)
			}
		}
		c.Type = "" // which has no default
		if len(types) == len(socketTypes) {
			types = []string{"all"}
		}
		all[len(all)-1].types = strings.Join(types, ", ")
	}
	return all
}

const socketChapter = `
## ZeroMQ sockets

In a file, each table ` + "`[[zeromq]]`" + ` is a socket. [zeromq.md](zeromq.md) says what they are for, and what not.

` + "```" + `toml
[[zeromq]]
type    = "pull"                       # what is pushed here is published
bind    = "tcp://127.0.0.1:5555"
channel = "sensors.{topic}"

[[zeromq]]
type     = "pub"                       # what is said on these channels is sent to subscribers
bind     = "ipc:///run/shaveet/out"
channels = ["chat.*", "news"]
` + "```" + `

A key of another type than the socket's is an error. Patterns are written as those of channels. Sockets are not live: a
reload names ` + "`zeromq`" + ` among what waits for a restart. Variables and flags cannot set them.

| Key | Of | Default | Meaning |
| --- | --- | --- | --- |
`

const namespaceChapter = `
## Namespaces

In a file, a table makes a namespace of [Socket.IO](socketio.md#namespaces). There is always ` + "`/`" + `, which a table can make
different; all others are refused unless they have one, if only an empty one.

` + "```" + `toml
[namespace."/chat"]                    # who connects shows a client and its key, as in /

[namespace."/news"]
open = true                            # everybody may listen

[namespace."/game-*"]                  # all that have such a name
handler = "game"                       # is asked who may join, and what pages say
events  = ["move", "resign"]           # and nothing else

[namespace."/"]
relay = { "typing" = "*" }             # said to the room that the first argument names, by who is in it
` + "```" + `

A name begins with ` + "`/`" + ` and has no ` + "`#`, `?`" + ` or comma. In a pattern ` + "`*`" + ` stands for any characters; a table with the name itself
counts before one with a pattern, and of several patterns the one with the most plain characters. The backend can declare
more while the server runs, by ` + "[`declare_namespace`](api.md#declare_namespace)" + `. There may be 100 tables. They are live, for who connects from then on.
Variables and flags cannot set them.

| Key | Default | Meaning |
| --- | --- | --- |
`

const webhookChapter = `
## Webhooks

In a file, a table makes a handler that is asked by HTTP, see [handlers.md](handlers.md#webhooks). Namespaces and
` + "`client_handler`" + ` name it.

` + "```" + `toml
[webhook."game"]
url         = "http://127.0.0.1:8000/push"
secret_file = "/etc/shaveet.webhook"
` + "```" + `

The tables are live. Variables and flags cannot set them.

| Key | Default | Meaning |
| --- | --- | --- |
`

const channelChapter = `
## Channels that differ

In a file, a table gives settings of their own to the channels whose names match a pattern. In it ` + "`*`" + ` stands for any
characters, also none, and ` + "`\\`" + ` makes the next one plain. Of several patterns that match, the one with the most plain
characters counts, and no other: what its table leaves out is as for all channels.

` + "```" + `toml
[channel."ticker.*"]
messages = 1                           # only the last price
notices  = false

[channel."chat.*"]
window         = "1h"
notice_members = 200

[channel."chat.vip"]                   # nothing of chat.* holds here
members = 50
` + "```" + `

There may be 100 tables. They are live: a reload also changes channels that exist. Variables and flags cannot set them.

| Key | Default | Meaning |
| --- | --- | --- |
`

// inChannelTable writes what holds if a table does not say.
func inChannelTable(s setting) string {
	limits := map[string]string{
		"window": "window", "messages": "channel_messages", "bytes": "channel_bytes", "notice_members": "notice_members",
	}
	switch limit := limits[s.name]; {
	case limit != "":
		return "the setting `" + limit + "`"
	case s.value.CanInt():
		return fmt.Sprintf("`%d`", s.value.Int())
	}
	return "`" + s.String() + "`"
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// inTable writes a default for people.
func inTable(s setting) string {
	text := strings.Trim(s.String(), `"`)
	if text == "" || text == "[]" {
		return "none"
	}
	text = "`" + text + "`"
	if !s.value.CanInt() || !strings.HasSuffix(s.name, "_bytes") {
		return text
	}
	switch n := s.value.Int(); {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%s (%d MiB)", text, n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%s (%d KiB)", text, n>>10)
	}
	return text
}
