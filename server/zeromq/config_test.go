package zeromq

import (
	"reflect"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
)

func TestCheckNamesEveryFault(t *testing.T) {
	for name, tt := range map[string]struct {
		kind   string
		change func(*Config)
		want   []string // none: it is all right
	}{
		"sub":                      {"sub", nil, nil},
		"pull":                     {"pull", nil, nil},
		"pub":                      {"pub", nil, nil},
		"rep":                      {"rep", nil, nil},
		"no type":                  {"sub", func(c *Config) { c.Type = "" }, []string{`type: must be sub, pull, pub or rep, not ""`}},
		"another type":             {"sub", func(c *Config) { c.Type = "push" }, []string{`type: must be sub, pull, pub or rep, not "push"`}},
		"a type in capitals":       {"sub", func(c *Config) { c.Type = "SUB" }, []string{"type: "}},
		"nowhere":                  {"pull", func(c *Config) { c.Bind = "" }, []string{"bind, connect: one of them must be given"}},
		"connect alone":            {"sub", func(c *Config) { c.Bind, c.Connect = "", []string{"tcp://example.test:1", "ipc:///p"} }, nil},
		"both":                     {"sub", func(c *Config) { c.Connect = []string{"tcp://example.test:1"} }, nil},
		"no endpoint":              {"pull", func(c *Config) { c.Bind = "127.0.0.1:5555" }, []string{"bind: "}},
		"no port":                  {"pull", func(c *Config) { c.Bind = "tcp://127.0.0.1" }, []string{"bind: "}},
		"another scheme":           {"pull", func(c *Config) { c.Bind = "udp://127.0.0.1:1" }, []string{"bind: "}},
		"remote":                   {"pull", func(c *Config) { c.Bind = "tcp://192.0.2.1:1" }, []string{"bind: ", "allow_remote = true"}},
		"all addresses":            {"pub", func(c *Config) { c.Bind = "tcp://*:5555" }, []string{"bind: ", "allow_remote = true"}},
		"all addresses, as a zero": {"pub", func(c *Config) { c.Bind = "tcp://0.0.0.0:5555" }, []string{"bind: ", "allow_remote = true"}},
		"a name":                   {"pub", func(c *Config) { c.Bind = "tcp://push.internal:5555" }, []string{"bind: ", "allow_remote = true"}},
		"localhost":                {"pub", func(c *Config) { c.Bind = "tcp://localhost:5555" }, nil},
		"::1":                      {"pub", func(c *Config) { c.Bind = "tcp://[::1]:5555" }, nil},
		"remote, allowed":          {"pull", func(c *Config) { c.Bind, c.AllowRemote = "tcp://*:5555", true }, nil},
		"rep, remote":              {"rep", func(c *Config) { c.Bind = "tcp://*:5555" }, []string{"bind: ", "a rep socket never may"}},
		"rep, remote, allowed":     {"rep", func(c *Config) { c.Bind, c.AllowRemote = "tcp://192.0.2.1:1", true }, []string{"a rep socket never may"}},
		"rep to a remote peer":     {"rep", func(c *Config) { c.Connect = []string{"tcp://192.0.2.1:1"} }, []string{"connect: ", "this machine alone"}},
		"rep to a local peer":      {"rep", func(c *Config) { c.Connect = []string{"tcp://127.0.0.1:1"} }, nil},
		"connect to no endpoint":   {"sub", func(c *Config) { c.Connect = []string{"ipc:///a", "b"} }, []string{`connect: "b"`}},
		"connect to all":           {"sub", func(c *Config) { c.Connect = []string{"tcp://*:1"} }, []string{`connect: "tcp://*:1": must name a host`}},
		"no channel":               {"sub", func(c *Config) { c.Channel = "" }, []string{"channel: must be given"}},
		"a channel that is none":   {"sub", func(c *Config) { c.Channel = "a\nb" }, []string{"channel: "}},
		"around a field, too":      {"sub", func(c *Config) { c.Channel = "a\xff{topic}" }, []string{"channel: "}},
		"a broken template":        {"pull", func(c *Config) { c.Channel = "{topics}" }, []string{"channel: ", "{topics}"}},
		"no format":                {"pull", func(c *Config) { c.Format = "xml" }, []string{"format: must be json, text or base64"}},
		"text":                     {"pull", func(c *Config) { c.Format = "text" }, nil},
		"base64":                   {"pull", func(c *Config) { c.Format = "base64" }, nil},
		"a field of text":          {"pull", func(c *Config) { c.Format, c.Channel = "text", "{data.x}" }, []string{"channel: {data.NAME} needs the format json"}},
		"a topic of text":          {"pull", func(c *Config) { c.Format, c.Channel = "text", "{topic}" }, nil},
		"allow":                    {"pull", func(c *Config) { c.Channel, c.Allow = "{topic}", []string{"a"} }, nil},
		"allow for nothing":        {"pull", func(c *Config) { c.Allow = []string{"a"} }, []string{`allow: is for channels that messages choose, and "room" is fixed`}},
		"no channels":              {"pub", func(c *Config) { c.Channels = nil }, []string{`channels: must be given`}},
		"a name that is no text":   {"pub", func(c *Config) { c.Name = "\xff" }, []string{"name: must be valid UTF-8"}},
		"a negative size":          {"pub", func(c *Config) { c.MaxMessageBytes = -1 }, []string{"max_message_bytes: must not be negative"}},
		"no frames":                {"pub", func(c *Config) { c.MaxFrames = 0 }, []string{"max_frames: must be"}},
		"no peers":                 {"pub", func(c *Config) { c.MaxPeers = 0 }, []string{"max_peers: must be"}},
		"no subscriptions":         {"pub", func(c *Config) { c.MaxSubscriptions = 0 }, []string{"max_subscriptions: must be"}},
		"no backlog":               {"pub", func(c *Config) { c.BacklogBytes = -1 }, []string{"backlog_bytes: must be"}},
		"several": {"pub", func(c *Config) { c.Bind, c.Channels, c.MaxPeers = "x", nil, 0 },
			[]string{"zeromq 1: bind: ", "zeromq 1: channels: ", "zeromq 1: max_peers: "}},
	} {
		t.Run(name, func(t *testing.T) {
			c := socketOf(tt.kind)
			if tt.change != nil {
				tt.change(&c)
			}
			err := Check([]Config{c})
			if (err != nil) != (len(tt.want) > 0) {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not tell %q", err, want)
				}
			}
		})
	}
}

// Sockets are told apart by names, and faults by places.
func TestCheckNamesAndPlaces(t *testing.T) {
	named := func(name string) Config { return socketOf("pub", func(c *Config) { c.Name = name }) }
	for name, tt := range map[string]struct {
		all  []Config
		want string
	}{
		"none":                      {nil, ""},
		"one type at two places":    {[]Config{socketOf("sub"), socketOf("sub", func(c *Config) { c.Bind = "ipc:///b" })}, ""},
		"two types at one":          {[]Config{socketOf("sub"), socketOf("pull", func(c *Config) { c.Bind = socketOf("sub").Bind })}, ""},
		"two names":                 {[]Config{named("a"), named("b")}, ""},
		"one name":                  {[]Config{named("a"), named("b"), named("a")}, `zeromq 3: name: there is a socket "a" already`},
		"one type at one place":     {[]Config{socketOf("sub"), socketOf("sub")}, `zeromq 2: name: there is a socket "sub ipc:///in/memory/sub" already`},
		"a name like another's":     {[]Config{socketOf("sub"), named("sub ipc:///in/memory/sub")}, `zeromq 2: name: `},
		"a fault of the second":     {[]Config{named("a"), named("b"), {Name: "c"}}, "zeromq 3: type: "},
		"connect is part of a name": {[]Config{{Type: "sub", Connect: []string{"ipc:///a", "ipc:///b"}}, {Type: "sub", Connect: []string{"ipc:///a", "ipc:///b"}}}, `"sub ipc:///a ipc:///b"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(tt.all)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestDefaultsFollowTheRest(t *testing.T) {
	h := newHub(t, hub.Limits{MessageBytes: 1000})
	for kind, want := range map[string]int{"sub": 1000 + 4096, "pull": 1000 + 4096, "pub": 8192, "rep": 7000 + 4096} {
		k := New(h, []Config{socketOf(kind)}, Options{MaxAsk: 7000}).all[0]
		if got := k.options().MaxMessageBytes; got != want || k.Name != kind+" ipc:///in/memory/"+kind {
			t.Errorf("%s: %d bytes and the name %q, want %d", kind, got, k.Name, want)
		}
		own := New(h, []Config{socketOf(kind, func(c *Config) { c.MaxMessageBytes, c.Name = 5, "mine" })}, Options{}).all[0]
		if own.options().MaxMessageBytes != 5 || own.Name != "mine" {
			t.Errorf("%s: %d bytes and the name %q are not what was said", kind, own.options().MaxMessageBytes, own.Name)
		}
	}
	k := New(h, []Config{socketOf("pull")}, Options{}).all[0]
	limits := h.Limits()
	limits.MessageBytes = 2000 // by a reload
	if err := h.Configure(limits, nil); err != nil || k.options().MaxMessageBytes != 2000+4096 {
		t.Errorf("after a reload %d bytes are allowed (%v)", k.options().MaxMessageBytes, err)
	}
}

// Every field says what it is, and of which sockets it is.
func TestFieldsConcernTypes(t *testing.T) {
	of := map[string]string{
		"Topics": "sub", "Channel": "sub pull", "Allow": "sub pull", "Format": "sub pull", "Sender": "sub pull",
		"Channels": "pub", "MaxSubscriptions": "pub", "BacklogBytes": "pub",
	}
	fields := reflect.TypeFor[Config]()
	for i := range fields.NumField() {
		f := fields.Field(i)
		if f.Tag.Get("help") == "" {
			t.Errorf("%s has no help", f.Name)
		}
		for _, kind := range []string{"sub", "pull", "pub", "rep"} {
			want := of[f.Name] == "" || strings.Contains(of[f.Name], kind)
			if kind == "sub" { // which is no part of another name here
				want = of[f.Name] == "" || strings.HasPrefix(of[f.Name], "sub")
			}
			if got := Concerns(f.Tag, kind); got != want {
				t.Errorf("%s concerns %s: %t, want %t", f.Name, kind, got, want)
			}
		}
	}
}
