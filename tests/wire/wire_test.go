// Package wire holds the program to its oldest promise: back ends written for
// the Shaveet of 2010 work unchanged. Two clients, in PHP and in Python, are
// written from the bytes that the old ones sent, and know nothing of ours;
// they call all ten methods of a running server, and the tests here say what
// must come back.
package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) { live.Main(m) }

// call is one line of what a client is asked to do; want looks at the answer.
type call struct {
	Method string `json:"method"`
	Params []any  `json:"params"`
	want   check
}

// answer is what a client reports of one call.
type answer struct {
	Sent           string
	Status         int
	ContentType    string `json:"content_type"`
	Body           string
	Complaint      *string
	TransportError string `json:"transport_error"`
}

type dialect struct {
	name, tool, script string
	echoesID           bool // the client sends an id, and must get it back
}

var dialects = []dialect{
	{name: "php", tool: "php", script: "client.php", echoesID: true},
	{name: "python", tool: "python3", script: "client.py"},
}

const (
	room  = "room/1"
	alice = "alice & co"
	bob   = "bób"
	carol = "carol"
)

// talk holds what needs care on its way: a slash and an accent (which PHP
// escapes), a line separator, and characters outside the basic plane.
const talk = "hé/llo \u2028 \"quoted\" \U0001F600"

func TestOldClients(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			srv := live.Start(t)

			answers := d.run(t, srv.Main+"/", joining)
			key := resultOf[string](t, answers[0])
			if again := resultOf[string](t, answers[1]); again != key {
				t.Errorf("create_client twice gave the keys %q and %q", key, again)
			}
			wantSeen(t, srv.Main, alice, key, room, []seen{
				{alice, `{"type": "subscribe"}`},
				{bob, `{"type": "subscribe"}`},
				{carol, `{"type": "subscribe"}`},
				{bob, talk},
				{alice, anyForm + `{"a": "b/c"}`},
				{"nobody we know", "5"},
			})

			d.run(t, srv.Main+"/", leaving)
			wantSeen(t, srv.Main, alice, key, room, []seen{
				{carol, `{"type": "unsubscribe", "gc": false}`},
				{bob, `{"type": "unsubscribe", "gc": false}`},
				{bob, `{"type": "subscribe"}`},
				{bob, `{"type": "unsubscribe", "gc": false}`},
				{carol, `{"type": "subscribe"}`},
				{carol, `{"type": "unsubscribe", "gc": true}`},
			})

			d.run(t, srv.Main+"/", failing)
			d.run(t, srv.Main+"/", []call{{"kill_client", []any{alice}, result("200")}})
			if status, _ := poll(t, srv.Main, alice, key); status != 404 {
				t.Errorf("a poll after kill_client: status %d, want 404", status)
			}
		})
	}
}

var joining = []call{
	{"create_client", []any{alice}, key},
	{"create_client", []any{alice}, key},
	{"create_client", []any{bob}, key},
	{"create_client", []any{carol}, key},
	{"subscribe", []any{alice, room}, result("1")},
	{"subscribe", []any{alice, room}, result("1")}, // once more changes nothing
	{"subscribe_many", []any{map[string][]string{room: {bob, carol}}}, result("200")},
	{"get_channel_clients", []any{room}, names(alice, bob, carol)},
	{"get_client_channels", []any{bob}, names(room)},
	{"get_channel_clients", []any{"a room nobody opened"}, names()},
	{"new_message", []any{bob, talk, room, false}, result("1")},
	{"new_message", []any{alice, map[string]string{"a": "b/c"}, room, true}, result("1")},
	{"new_message", []any{"nobody we know", 5, room, false}, result("1")},
}

var leaving = []call{
	{"unsubscribe", []any{carol, room}, result("1")},
	{"unsubscribe", []any{carol, room}, result("1")}, // not a member: no notice
	{"unsubscribe_many", []any{map[string][]string{room: {bob}}}, result("200")},
	{"subscribe", []any{bob, room}, result("1")},
	{"unsubscribe_all_channel", []any{room, []string{alice}}, result("200")},
	{"get_channel_clients", []any{room}, names(alice)},
	{"subscribe", []any{carol, room}, result("1")},
	{"kill_client", []any{carol}, result("200")},
	{"get_client_channels", []any{carol}, failure("unknown_client")},
}

var failing = []call{
	{"subscribe", []any{"ghost", room}, failure("unknown_client")},
	{"subscribe_many", []any{map[string][]string{room: {alice, "ghost"}}}, failure("unknown_client")},
	{"create_client", []any{}, failure("")},
	{"create_client", []any{"a_!!_b"}, failure("")},
	{"new_message", []any{alice, "three parameters only", room}, failure("")},
	{"no_such_method", []any{alice}, failure("")},
	{"system.list_methods", []any{}, mentions("get_channel_clients")},
}

// run hands calls to the client and checks each answer.
func (d dialect) run(t *testing.T, url string, calls []call) []answer {
	t.Helper()
	script := filepath.Join("clients", d.script)
	live.Track(t, script)
	stdin, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), live.Tool(t, d.tool), script, url)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, stderr.String(), out)
	}
	var answers []answer
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(calls) {
		t.Fatalf("%s: %d answers to %d calls, %v\n%s", script, len(answers), len(calls), err, out)
	}
	for i, c := range calls {
		if err := d.check(c, answers[i]); err != nil {
			t.Errorf("%s: %v\nsent %s\ngot  %d %s", c.Method, err, answers[i].Sent, answers[i].Status, answers[i].Body)
		}
	}
	return answers
}

// check holds an answer to the envelope, and then to what the call expects.
func (d dialect) check(c call, a answer) error {
	if a.Status != 200 {
		return fmt.Errorf("the old clients know no status but 200")
	}
	if media, _, _ := strings.Cut(a.ContentType, ";"); media != "application/json" {
		return fmt.Errorf("Content-Type %q", a.ContentType)
	}
	var e envelope
	if err := json.Unmarshal([]byte(a.Body), &e); err != nil {
		return err
	}
	if id, ok := e["id"]; ok != d.echoesID || ok && string(id) != "1" {
		return fmt.Errorf("id = %s, present %t", id, ok)
	}
	if _, ok := e["jsonrpc"]; ok {
		return fmt.Errorf("a jsonrpc member")
	}
	return c.want(e, a.Complaint)
}
