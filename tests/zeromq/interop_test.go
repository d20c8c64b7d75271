package zeromq_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// What a program publishes or pushes by libzmq, a page reads: by a socket of
// the machine's network and by a file, bound or connected.
func TestLibzmqToPages(t *testing.T) {
	file := "ipc://" + filepath.Join(t.TempDir(), "pull")
	theirs := newLibzmq(t, "PUSH", nil)
	var bound string
	theirs.do(&bound, "bind", "tcp://127.0.0.1:*")
	s := start(t, "",
		table("pull", "pull", anyPort, `channel = "{topic}"`, `allow = ["room*"]`),
		table("sub", "sub", anyPort, `channel = "room"`, `topics = ["yes"]`, `format = "text"`, `sender = "them"`),
		table("file", "pull", file, `channel = "room.{data.to}"`),
		fmt.Sprintf("name = \"out\"\ntype = \"pull\"\nconnect = [%q]\nchannel = \"room\"\nformat = \"base64\"", bound))
	r := s.read("page", "room", "room.1")
	wants := func(n int, data string) {
		t.Helper()
		r.until(t, n)
		if got := r.texts()[n-1]; got != data {
			t.Errorf("message %d is %s, want %s", n, got, data)
		}
	}

	push := connected(t, "PUSH", s.at[0], nil)
	push.send("room", `{"from":"push"}`)
	wants(1, `{"from":"push"}`)
	push.send("hall", `1`)
	push.send("no topic")
	push.send("room", "no JSON")
	push.send("room", "a", "b")
	push.send("room.1", `2`)
	wants(2, `2`)
	for _, reason := range []string{"channel", "shape", "data"} {
		want := map[string]int{"shape": 2}[reason]
		if n := s.dropped("pull", reason); n != max(want, 1) {
			t.Errorf("dropped by %s: %d", reason, n)
		}
	}

	pub := connected(t, "PUB", s.at[1], nil)
	// When a publisher has heard of a subscription it does not tell.
	live.Until(t, "it is subscribed to", patience, func() bool { pub.send("yes", "begin"); return s.received("sub") > 0 })
	live.Until(t, "all of it is read", patience, func() bool { return r.count() == 2+s.received("sub") })
	n := r.count()
	pub.send("no", "x")
	pub.send("yes, too", "grüße")
	wants(n+1, `"grüße"`)

	connected(t, "PUSH", file, nil).send(`{"to":"1"}`)
	wants(n+2, `{"to":"1"}`)
	if info, err := os.Stat(strings.TrimPrefix(file, "ipc://")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	theirs.send("\x00")
	wants(n+3, `"AA=="`)
	for _, socket := range []string{"pull", "sub", "file", "out"} {
		if peers := s.metric("peers", fmt.Sprintf("socket=%q", socket)); peers != 1 {
			t.Errorf("%s has %d peers", socket, peers)
		}
	}
	s.Stop() // with peers that stay
}

// Which limit refuses a message: above the socket's max_message_bytes, its own;
// above message_bytes, which counts the sender too, the hub's.
func TestLargeMessages(t *testing.T) {
	const messageBytes, sender = 10_000, len(`"zeromq"`)
	s := start(t, fmt.Sprintf("message_bytes = %d\n", messageBytes),
		table("default", "pull", anyPort, `channel = "room"`),
		table("own", "pull", anyPort, `channel = "room"`, `max_message_bytes = 5000`))
	r := s.read("page", "room")
	byDefault, own := connected(t, "PUSH", s.at[0], nil), connected(t, "PUSH", s.at[1], nil)
	heard := 0
	for _, tt := range []struct {
		z       *libzmq
		socket  string
		size    int
		dropped string // by which reason; "": it is published
		inAll   int
	}{
		{own, "own", 5000, "", 0},
		{own, "own", 5001, "limit", 1},
		{byDefault, "default", messageBytes - sender, "", 0},
		{byDefault, "default", messageBytes - sender + 1, "hub", 1},
		{byDefault, "default", messageBytes + 4096, "hub", 2},
		{byDefault, "default", messageBytes + 4097, "limit", 1},
		{byDefault, "default", 10_000_000, "limit", 2},
		{byDefault, "default", 100, "", 0}, // the connection has stayed
		{own, "own", 100, "", 0},
	} {
		tt.z.do(nil, "send_size", tt.size)
		if tt.dropped != "" {
			s.until("dropped_total", fmt.Sprintf("reason=%q,socket=%q", tt.dropped, tt.socket), tt.inAll)
			continue
		}
		heard++
		r.until(t, heard)
		if got := len(r.texts()[heard-1]); got != tt.size {
			t.Errorf("%d bytes have come as %d", tt.size, got)
		}
	}
	if n := r.count(); n != heard {
		t.Errorf("%d messages were read, want %d", n, heard)
	}
	for _, socket := range []string{"default", "own"} {
		if peers := s.metric("peers", fmt.Sprintf("socket=%q", socket)); peers != 1 {
			t.Errorf("%s has %d peers", socket, peers)
		}
	}
}

// What is said on channels reaches subscribers of libzmq: the channel, and the
// message as streams have it.
func TestChannelsToLibzmq(t *testing.T) {
	s := start(t, "", table("pub", "pub", anyPort, `channels = ["room*"]`))
	sub := connected(t, "SUB", s.at[0], map[string]any{"SUBSCRIBE": "room.1"})
	live.Until(t, "the subscription is heard of", patience, func() bool {
		s.call(nil, "new_message", []any{"bob", "begin", "room.1", false})
		return s.metric("sent_total", `socket="pub"`) > 0
	})
	say := func(channel string, data any) { s.call(nil, "new_message", []any{"bob", data, channel, false}) }
	say("hall", 1)
	say("room.2", 2)
	say("room.12", map[string]any{"text": "grüße\n"})
	for {
		frames := sub.receive()
		var m struct {
			Channel, Sender, Pos string
			ID, Time             int64
			Data                 any
		}
		if len(frames) != 2 || json.Unmarshal([]byte(frames[1]), &m) != nil || m.Channel != frames[0] || m.Sender != "bob" || m.Pos == "" || m.ID == 0 || m.Time == 0 {
			t.Fatalf("received %q", frames)
		}
		if m.Data == "begin" {
			continue
		}
		if got := fmt.Sprint(m.Data); frames[0] != "room.12" || got != "map[text:grüße\n]" {
			t.Errorf("received %q", frames)
		}
		break
	}
}

// A program calls the admin API by REQ and REP; with an admin token, that is a
// frame in front.
func TestLibzmqAsks(t *testing.T) {
	const token = "a-token-of-many-letters"
	for name, token := range map[string]string{"without a token": "", "with a token": token} {
		t.Run(name, func(t *testing.T) {
			more := ""
			if token != "" {
				more = fmt.Sprintf("admin_token = %q\n", token)
			}
			file := "ipc://" + filepath.Join(t.TempDir(), "rep")
			s := start(t, more, table("rep", "rep", file, "max_message_bytes = 1000"))
			req := connected(t, "REQ", file, nil)
			ask := func(want string, frames ...string) {
				t.Helper()
				req.send(frames...)
				if got := req.receive(); len(got) != 1 || !strings.Contains(got[0], want) || want == "" && got[0] != "" {
					t.Errorf("%.100q is answered %q, want %q", frames, got, want)
				}
			}
			call := func(method, more string) string {
				return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":["room"]%s}`, method, more)
			}
			if token != "" {
				for _, frames := range [][]string{{call("history", `,"id":1`)}, {"wrong", call("history", `,"id":1`)}, {"", call("history", "")}} {
					ask(`the admin token must be a frame in front`, frames...)
				}
			}
			with := func(request string) []string {
				if token == "" {
					return []string{request}
				}
				return []string{token, request}
			}
			ask(`"id":7`, with(`{"jsonrpc":"2.0","method":"new_message","params":["bob","hello","room",false],"id":7}`)...)
			ask(`"data":"hello"`, with(call("history", `,"id":1`))...)
			ask(``, with(call("history", ""))...) // a notification: an empty frame
			ask(`,{"jsonrpc"`, with(`[`+call("history", `,"id":1`)+`,`+call("history", `,"id":2`)+`]`)...)
			ask(`-32700`, with(`{`)...)
			ask(`-32006`, with(strings.Repeat("x", 1000+1))...)
			ask(`-32601`, with(call("nothing", `,"id":1`))...)
			if strings.Contains(s.Log(), "a-token-of") {
				t.Error("the log has the token")
			}
		})
	}
}

// Peers that say nothing keep nobody from work, neither before the handshake
// is over nor behind it.
func TestSilentPeersBesideAWorkingOne(t *testing.T) {
	s := start(t, "", table("pull", "pull", anyPort, `channel = "room"`, "max_peers = 60"))
	for range 50 {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.at[0], "tcp://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	quiet := connected(t, "PUSH", s.at[0], nil)
	r := s.read("page", "room")
	began := time.Now()
	push := connected(t, "PUSH", s.at[0], nil)
	for i := range 10 {
		push.send(fmt.Sprintf(`{"n":%d}`, i))
	}
	r.until(t, 10)
	t.Logf("beside 50 silent connections, 10 messages of a new peer were read after %v", time.Since(began).Round(time.Millisecond))
	s.until("refused_total", `socket="pull"`, 50)
	if n := s.metric("peers", `socket="pull"`); n != 2 {
		t.Errorf("%d peers", n)
	}
	quiet.send(`{"n":10}`)
	r.until(t, 11)
}

// Heartbeats of libzmq are answered, so nobody hangs up who is well.
func TestHeartbeats(t *testing.T) {
	s := start(t, "", table("pull", "pull", anyPort, `channel = "room"`))
	push := connected(t, "PUSH", s.at[0], map[string]any{"HEARTBEAT_IVL": 100, "HEARTBEAT_TIMEOUT": 5000, "HEARTBEAT_TTL": 5000})
	var names []string
	push.do(&names, "events", []string{"DISCONNECTED"}, 8000)
	if len(names) > 0 {
		t.Errorf("libzmq sees %q", names)
	}
	r := s.read("page", "room")
	push.send(`{"n":1}`)
	r.until(t, 1)
}
