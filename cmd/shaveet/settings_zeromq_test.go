package main

import (
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server"
)

// sockets reads a file of tables as serve does.
func sockets(t *testing.T, text string) ([]server.SocketConfig, error) {
	t.Helper()
	cfg, err := configured(nil, "--config", file(t, "shaveet.toml", text))
	return cfg.ZeroMQ, err
}

func TestTablesOfSockets(t *testing.T) {
	got, err := sockets(t, `
[[zeromq]]
type = "sub"
name = "graph"
connect = ["tcp://example.test:5555", "ipc:///run/x"]
topics = ["a", ""]
channel = "{topic}"
allow = ["a*"]
format = "text"
sender = ""
max_message_bytes = 5
max_frames = 6
max_peers = 7

[[zeromq]]
type = "pub"
bind = "tcp://*:5556"
allow_remote = true
channels = ["*"]
max_subscriptions = 8
backlog_bytes = 9

[[zeromq]]
bind = "ipc:///run/y" # a table's keys have no order
type = "rep"
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []server.SocketConfig{server.DefaultSocketConfig(), server.DefaultSocketConfig(), server.DefaultSocketConfig()}
	a, b, c := &want[0], &want[1], &want[2]
	a.Type, a.Name, a.Connect = "sub", "graph", []string{"tcp://example.test:5555", "ipc:///run/x"}
	a.Topics, a.Channel, a.Allow, a.Format, a.Sender = []string{"a", ""}, "{topic}", []string{"a*"}, "text", ""
	a.MaxMessageBytes, a.MaxFrames, a.MaxPeers = 5, 6, 7
	b.Type, b.Bind, b.AllowRemote, b.Channels = "pub", "tcp://*:5556", true, []string{"*"}
	b.MaxSubscriptions, b.BacklogBytes = 8, 9
	c.Type, c.Bind = "rep", "ipc:///run/y"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

// A socket has the keys of its type, and a wrong one is named with its place.
func TestBadTablesOfSockets(t *testing.T) {
	const good = "[[zeromq]]\ntype = \"pull\"\nbind = \"ipc:///a\"\nchannel = \"a\"\n"
	of := map[string]string{
		"topics = [\"a\"]": "sub", "channel = \"a\"": "sub pull", "allow = [\"a\"]": "sub pull", "format = \"json\"": "sub pull",
		"sender = \"a\"": "sub pull", "channels = [\"a\"]": "pub", "max_subscriptions = 1": "pub", "backlog_bytes = 1": "pub",
		"max_frames = 1": "sub pull pub rep", "max_peers = 1": "sub pull pub rep", "max_message_bytes = 1": "sub pull pub rep",
	}
	for line, types := range of {
		for _, kind := range socketTypes {
			_, err := sockets(t, good+"[[zeromq]]\ntype = \""+kind+"\"\nbind = \"ipc:///b\"\n"+line+"\n")
			key, _, _ := strings.Cut(line, " ")
			unknown := err != nil && strings.Contains(err.Error(), `zeromq 2: unknown key "`+key+`"`)
			concerns := false
			for _, one := range strings.Fields(types) {
				concerns = concerns || one == kind
			}
			if unknown == concerns {
				t.Errorf("%s of %s: %v", line, kind, err)
			}
		}
	}
	for text, want := range map[string]string{
		"[zeromq]\ntype = \"pull\"": "zeromq: must be tables, each of which begins with [[zeromq]]",
		"zeromq = 5":                "zeromq: must be tables",
		"[[zeromq]]\nbind = \"ipc:///a\"\nchannel = \"a\"":    `zeromq 1: type: must be sub, pull, pub or rep, not ""`,
		good + "[[zeromq]]\ntype = \"push\"\nchannel = \"a\"": `zeromq 2: type: must be sub, pull, pub or rep, not "push"`,
		"[[zeromq]]\ntype = 5":                                "zeromq 1: type: ",
		good + "chanel = \"b\"":                               `zeromq 1: unknown key "chanel"`,
		good + "max_frames = \"many\"":                        "zeromq 1: max_frames: ",
		good + "connect = \"ipc:///a\"":                       "zeromq 1: connect: ",
		good + "allow_remote = 1":                             "zeromq 1: allow_remote: ",
		good + "max_frames = 0":                               "zeromq 1: max_frames: ",
		good + good:                                           "zeromq 2: name: ",
	} {
		if _, err := sockets(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for _, env := range []string{"SHAVEET_ZEROMQ=x", "SHAVEET_ZERO_M_Q=x"} {
		if _, err := configured([]string{env}); err == nil {
			t.Errorf("%s is read", env)
		}
	}
	if _, err := configured(nil, "--zeromq", "x"); err == nil {
		t.Error("--zeromq is read")
	}
}

// What shaveet config prints is what it has read.
func TestSocketsArePrinted(t *testing.T) {
	const text = `
[[zeromq]]
type = "pull"
bind = "tcp://127.0.0.1:5555"
channel = "{data.to}"
allow = ["a \"b\"", "c\\*"]
sender = ""
[[zeromq]]
type = "pub"
name = "out"
connect = ["tcp://[::1]:1"]
channels = ["*"]
max_peers = 3
`
	want, err := sockets(t, text)
	if err != nil {
		t.Fatal(err)
	}
	printed := printedSockets(want)
	got, err := sockets(t, printed)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v; %s", err, printed)
	}
	var out strings.Builder
	p := &program{stdout: &out, stderr: io.Discard}
	if err := p.printConfig([]string{"--config", file(t, "shaveet.toml", text)}); err != nil || !strings.Contains(out.String(), printed) {
		t.Errorf("%v; printed\n%s", err, &out)
	}
	if printedSockets(nil) != "" {
		t.Error("something is printed of nothing")
	}
}
