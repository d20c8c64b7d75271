package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// listening is `shaveet listen` once it is held by the server.
func listening(t *testing.T, base string, args ...string) *running {
	t.Helper()
	before := sessions(t, base)
	r := begin(t, nil, append([]string{"listen", "--url", base + "/"}, args...)...)
	live.Until(t, "somebody listens", patience, func() bool { return r.ended() || sessions(t, base) > before })
	return r
}

// prints waits until a program has printed something.
func prints(t *testing.T, o *output, text string) {
	t.Helper()
	live.Until(t, fmt.Sprintf("it prints %q", text), patience, func() bool { return strings.Contains(o.String(), text) })
}

func noClients(t *testing.T, base string) {
	t.Helper()
	if left := rpc(t, base, "clients"); string(left) != `{"clients":[]}` {
		t.Errorf("left behind: %s", left)
	}
}

func TestListen(t *testing.T) {
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	human := listening(t, base, "room", "news", "room")
	asJSON := listening(t, base, "--json", "news", "-n", "2")
	rpc(t, base, "publish", "news", json.RawMessage(`{"text": "hello"}`), "bob")
	rpc(t, base, "publish", "room", "a\x1b[31m\nb\u202e", nil)
	rpc(t, base, "publish", "news", 7)
	<-asJSON.done
	if asJSON.code != 0 || asJSON.stderr.String() != "" {
		t.Errorf("after two messages: %d %s", asJSON.code, &asJSON.stderr)
	}
	lines := strings.Split(strings.TrimSpace(asJSON.stdout.String()), "\n")
	want := regexp.MustCompile(`^\{"channel":"news","id":\d+,"pos":"[0-9a-f]{16}\.\d+","sender":"bob","data":\{"text":"hello"\},"time":\d+\}$`)
	if len(lines) != 2 || !want.MatchString(lines[0]) || !strings.Contains(lines[1], `"data":7`) {
		t.Errorf("as JSON: %q", lines)
	}
	prints(t, &human.stdout, " 7\n")
	wanted := regexp.MustCompile(`^\d\d:\d\d:\d\d news #\d+ bob \{"text":"hello"\}
\d\d:\d\d:\d\d room #\d+ - a\\x1b\[31m\\nb\\u202e
\d\d:\d\d:\d\d news #\d+ - 7
$`)
	if got := human.stdout.String(); !wanted.MatchString(got) {
		t.Errorf("for people: %q", got)
	}
	if code := human.stop(); code != 0 || human.stderr.String() != "" {
		t.Errorf("interrupted: %d %s", code, &human.stderr)
	}
	noClients(t, base)
}

// Events are written as calls, in which a string is no other value.
func TestListenToEvents(t *testing.T) {
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	human := listening(t, base, "room")
	asJSON := listening(t, base, "room", "--json", "-n", "1")
	rpc(t, base, "emit", "typing", json.RawMessage(`["b\u202eob", {"since": 3}, null]`), "room", nil, "/", "bob")
	<-asJSON.done
	want := regexp.MustCompile(`^\{"channel":"room","id":\d+,"pos":"[0-9a-f]{16}\.\d+","sender":"bob","data":null,"event":"typing","args":\["b\\u202eob",\{"since":3\},null\],"time":\d+\}\n$`)
	if got := asJSON.stdout.String(); !want.MatchString(got) {
		t.Errorf("as JSON: %q", got)
	}
	live.Until(t, "a volatile event comes when it is waited for", patience, func() bool {
		rpc(t, base, "emit", "moved\u202e", []int{}, []string{"room"}, nil, nil, nil, true)
		return strings.Contains(human.stdout.String(), "moved")
	})
	wanted := regexp.MustCompile(`^\d\d:\d\d:\d\d room #\d+ bob typing\("b\\u202eob", \{"since":3\}, null\)
(\d\d:\d\d:\d\d room #- - moved\\u202e\(\)
)+$`)
	if got := human.stdout.String(); !wanted.MatchString(got) {
		t.Errorf("for people: %q", got)
	}
	if code := human.stop(); code != 0 || human.stderr.String() != "" {
		t.Errorf("interrupted: %d %s", code, &human.stderr)
	}
	kept := run(t, nil, "listen", "--url", base, "room", "--since", "all", "-n", "1")
	if !strings.Contains(kept.stdout, ` bob typing("`) {
		t.Errorf("of what is kept: %+v", kept)
	}
	noClients(t, base)
}

// What is kept comes first, in one order over all channels, and nothing is
// told twice or left out between the two.
func TestListenSince(t *testing.T) {
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	var after [4]struct{ Position string }
	for i := range 4 {
		if err := json.Unmarshal(rpc(t, base, "publish", []string{"a", "b"}[i%2], i), &after[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		since string
		want  string
	}{{"all", "01234"}, {after[1].Position, "234"}, {after[3].Position, "4"}} {
		r := listening(t, base, "a", "b", "--json", "--since", tt.since, "-n", fmt.Sprint(len(tt.want)))
		rpc(t, base, "publish", "a", 4, nil, "four") // said once
		<-r.done
		said := ""
		for _, m := range regexp.MustCompile(`"data":(\d)`).FindAllStringSubmatch(r.stdout.String(), -1) {
			said += m[1]
		}
		// The message said last is part of the history from the second turn on.
		if said != tt.want || r.code != 0 {
			t.Errorf("since %s: %s (%d, %s), want %s", tt.since, said, r.code, &r.stderr, tt.want)
		}
	}
	gone := listening(t, base, "a", "--since", "00000000000000aa.3", "-n", "1")
	<-gone.done
	if !strings.Contains(gone.stderr.String(), "reset:") || !strings.Contains(gone.stdout.String(), " a #1 - 0\n") {
		t.Errorf("a position of another life: %s%s", &gone.stdout, &gone.stderr)
	}
	for _, since := range []string{"yesterday", "now"} {
		if got := run(t, nil, "listen", "--url", base, "a", "--since", since); got.code != 1 || !strings.Contains(got.stderr, "position") {
			t.Errorf("since %s: %+v", since, got)
		}
	}
	noClients(t, base)
}

// Who joins and leaves, but not we ourselves.
func TestListenPresence(t *testing.T) {
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	human := listening(t, base, "room", "--presence")
	asJSON := listening(t, base, "room", "--presence", "--json")
	without := listening(t, base, "room")
	rpc(t, base, "create_client", "ada")
	rpc(t, base, "subscribe", "ada", "room")
	rpc(t, base, "kill_client", "ada")
	rpc(t, base, "publish", "room", "end")
	for _, r := range []*running{human, asJSON, without} {
		prints(t, &r.stdout, "end")
		if r.stop() != 0 {
			t.Errorf("%s", &r.stderr)
		}
	}
	if got := human.stdout.String(); !regexp.MustCompile(`:\d\d room \+ ada\n\S+ room - ada \(killed\)\n`).MatchString(got) {
		t.Errorf("for people: %q", got)
	}
	if got := asJSON.stdout.String(); !strings.Contains(got, `{"type":"presence","channel":"room","joined":"ada"`) {
		t.Errorf("as JSON: %q", got)
	}
	if got := without.stdout.String(); strings.Count(got, "\n") != 1 {
		t.Errorf("without --presence: %q", got)
	}
}

// The server is killed and comes back: its listeners do too, and say that
// there is a hole.
func TestListenThroughRestart(t *testing.T) {
	srv := live.Start(t)
	r := listening(t, srv.Main, "room")
	rpc(t, srv.Main, "publish", "room", "before")
	prints(t, &r.stdout, "before")
	srv.Restart()
	live.Until(t, "it listens again", patience, func() bool { return sessions(t, srv.Main) == 1 })
	rpc(t, srv.Main, "publish", "room", "after")
	prints(t, &r.stdout, "after")
	if errs := r.stderr.String(); !strings.Contains(errs, "does not know") || !strings.Contains(errs, "reset:") {
		t.Errorf("it says: %s", errs)
	}
	if r.stop() != 0 {
		t.Errorf("%s", &r.stderr)
	}
	noClients(t, srv.Main)
}

// A killed client is made again, and what was said meanwhile is not lost.
func TestListenAfterKill(t *testing.T) {
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	r := listening(t, base, "room")
	var all struct{ Clients []struct{ ID string } }
	if err := json.Unmarshal(rpc(t, base, "clients"), &all); err != nil || len(all.Clients) != 1 {
		t.Fatal(all, err)
	}
	id := all.Clients[0].ID
	if !strings.HasPrefix(id, "cli-") {
		t.Errorf("the client is called %s", id)
	}
	rpc(t, base, "kill_client", id)
	for i := range 10 {
		rpc(t, base, "publish", "room", i)
	}
	prints(t, &r.stdout, " 9\n")
	for i := range 10 {
		if strings.Count(r.stdout.String(), fmt.Sprintf(" - %d\n", i)) != 1 {
			t.Errorf("%d is not there once: %s", i, &r.stdout)
		}
	}
	if r.stop() != 0 || !strings.Contains(r.stderr.String(), "does not know "+id) {
		t.Errorf("%s", &r.stderr)
	}
}

// A deleted channel is listened to again.
func TestListenToDeletedChannel(t *testing.T) {
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	r := listening(t, base, "room")
	rpc(t, base, "delete_channel", "room")
	prints(t, &r.stderr, "taken off room")
	live.Until(t, "it is on the channel", patience, func() bool { return strings.Contains(string(rpc(t, base, "get_channel_clients", "room")), "cli-") })
	rpc(t, base, "publish", "room", "again")
	prints(t, &r.stdout, "again")
	if r.stop() != 0 {
		t.Errorf("%s", &r.stderr)
	}
	if help := run(t, nil, "help", "listen").stdout; !strings.Contains(help, "deletes that, which is then made anew") {
		t.Errorf("the help does not say so: %s", help)
	}
}

// scripted answers polls by a script, and passes on everything else. When the
// script has ended, it passes on polls too.
func scripted(next http.Handler, script ...func(w http.ResponseWriter)) http.Handler {
	var mu sync.Mutex // guards script
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/longpoll" {
			next.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		var act func(http.ResponseWriter)
		if len(script) > 0 {
			act, script = script[0], script[1:]
		}
		mu.Unlock()
		if act == nil {
			next.ServeHTTP(w, r)
			return
		}
		act(w)
	})
}

func says(status int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// More is kept than history gives at once.
func TestListenSinceLongAgo(t *testing.T) {
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	const n = historyPage + 100
	var all []map[string]any
	for i := range n {
		if all = append(all, map[string]any{"channel": "room", "data": i}); len(all) == 100 {
			if said := rpc(t, base, "publish_many", all); strings.Contains(string(said), "error") {
				t.Fatalf("not all is said: %s", said)
			}
			all = nil
		}
	}
	r := begin(t, nil, "listen", "--url", base, "room", "--since", "all", "-n", fmt.Sprint(n))
	select {
	case <-r.done:
	case <-time.After(patience):
		r.stop()
	}
	lines := strings.Split(strings.TrimSpace(r.stdout.String()), "\n")
	if r.code != 0 || r.stderr.String() != "" || len(lines) != n {
		t.Fatalf("%d lines, the last %q: %d %s", len(lines), lines[len(lines)-1], r.code, &r.stderr)
	}
	for i, line := range lines {
		if !strings.HasSuffix(line, fmt.Sprintf(" - %d", i)) {
			t.Fatalf("line %d is %q", i+1, line)
		}
	}
}

// A batch that sends its reader away may carry messages. They come out at once,
// and are not taken for what history tells.
func TestListenToLastWords(t *testing.T) {
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	var p struct{ Position string }
	if err := json.Unmarshal(rpc(t, base, "publish", "room", "earlier"), &p); err != nil {
		t.Fatal(err)
	}
	for status, signal := range map[int]string{200: `{"type": "drain", "retry_ms": 3600000}`, 404: `{"type": "gone"}`} {
		site := httptest.NewServer(scripted(proxyTo(t, base), says(status, fmt.Sprintf(
			`{"cursor": %q, "signals": [%s], "messages": [{"channel": "room", "id": 1, "pos": %[1]q, "data": "last words"}]}`, p.Position, signal))))
		r := begin(t, nil, "listen", "room", "--transport", "longpoll", "--url", base, "--public-url", site.URL)
		prints(t, &r.stdout, " - last words\n")
		if r.stop() != 0 || strings.Count(r.stdout.String(), "\n") != 1 {
			t.Errorf("%s: %s%s", signal, &r.stdout, &r.stderr)
		}
		site.Close()
	}
}

// Who has been superseded reads on under another name, or it would supersede
// the other in turn.
func TestListenBesideAnother(t *testing.T) {
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	next := scripted(proxyTo(t, base), says(200, `{"signals": [], "messages": []}`),
		says(200, `{"signals": [{"type": "superseded"}], "messages": []}`), says(200, `{"signals": [], "messages": []}`))
	names := make(chan string, 100)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var said struct{ Session string }
		json.Unmarshal(body, &said)
		names <- said.Session
		next.ServeHTTP(w, r)
	}))
	defer site.Close()
	r := begin(t, nil, "listen", "room", "--transport", "longpoll", "--url", base, "--public-url", site.URL)
	defer r.stop() // before the site closes, which waits for its polls
	var got [4]string
	for i := range got {
		select {
		case got[i] = <-names:
		case <-time.After(patience):
			t.Fatalf("it polls no more: %q %s", got, &r.stderr)
		}
	}
	if got[0] == "" || got[0] != got[1] || got[1] == got[2] || got[2] != got[3] {
		t.Errorf("the sessions of its polls: %q", got)
	}
}

// Signals that a server seldom gives, and answers that are none.
func TestListenToTrouble(t *testing.T) {
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	for _, tt := range []struct {
		name   string
		answer func(http.ResponseWriter)
		says   string
	}{
		{"busy", says(503, `{"error": {"code": 503, "type": "unavailable", "message": "not now", "retry_ms": 1}}`), "not now; trying again\nshaveet: the server is back"},
		{"a bad gateway", says(502, "<h1>Bad Gateway</h1>"), "502 Bad Gateway"},
		{"cut off", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, "EOF; trying again"},
		{"a drain", says(200, `{"signals": [{"type": "drain", "retry_ms": 1}], "messages": []}`), "leave for a moment"},
		{"superseded", says(200, `{"signals": [{"type": "superseded"}], "messages": []}`), "reading on as another"},
		{"a gap", says(200, `{"signals": [{"type": "gap", "channel": "room", "from": "1.2", "to": "1.3", "reason": "bytes"}], "messages": []}`), "gap in room: what was said between 1.2 and 1.3 is not kept any more (bytes)"},
		{"a reset", says(200, `{"signals": [{"type": "reset", "cursor": "1.2"}], "messages": []}`), "begun anew"},
		{"unknown", says(200, `{"signals": [{"type": "weather"}], "messages": []}`), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			site := httptest.NewServer(scripted(proxyTo(t, base), tt.answer))
			defer site.Close()
			r := listening(t, base, "room", "-n", "1", "--transport", "longpoll", "--public-url", site.URL)
			rpc(t, base, "publish", "room", tt.name)
			<-r.done
			if r.code != 0 || !strings.Contains(r.stderr.String(), tt.says) || tt.says == "" && r.stderr.String() != "" {
				t.Errorf("it ended with %d and said %q, want %q", r.code, &r.stderr, tt.says)
			}
			if !strings.HasSuffix(r.stdout.String(), " - "+tt.name+"\n") {
				t.Errorf("it printed %q", &r.stdout)
			}
		})
	}
	noClients(t, base)
}

// What cannot be mended by waiting ends it, and the client goes all the same.
func TestListenInVain(t *testing.T) {
	_, addr := serving(t, nil, "--public-listen", "127.0.0.1:0")
	base, public := "http://"+addr("main"), "http://"+addr("public")
	nowhere := httptest.NewServer(http.NotFoundHandler())
	defer nowhere.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<title>Shop</title>") }))
	defer page.Close()
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"listen", 2, "Usage"},
		{"listen room -n -1", 2, "Usage"},
		{"listen room --url " + public + "/", 1, "404"},
		{"listen room --url http://127.0.0.1:1/", 1, "refused"},
		{"listen room --url " + base + " --public-url " + nowhere.URL, 1, "--public-url"},
		{"listen room --url " + base + " --public-url " + page.URL, 1, "--public-url"},
		{"listen room --url unix:/nowhere", 1, "--public-url"},
	} {
		got := run(t, nil, strings.Fields(tt.args)...)
		if got.code != tt.code || !strings.Contains(got.stderr, tt.says) {
			t.Errorf("shaveet %s: %+v, want %d and %q", tt.args, got, tt.code, tt.says)
		}
	}
	noClients(t, base)
}

func TestPublicURL(t *testing.T) {
	for _, tt := range []struct{ said, admin, want string }{
		{"", "http://h:1/", "http://h:1"}, {"", "http://h:1", "http://h:1"}, {"", "http://h:1/rpc", "http://h:1"},
		{"https://p/push/", "http://h:1/", "https://p/push"}, {"https://p", "unix:/s", "https://p"},
	} {
		if got, err := publicURL(tt.said, tt.admin); got != tt.want || err != nil {
			t.Errorf("%+v: %s, %v", tt, got, err)
		}
	}
}
