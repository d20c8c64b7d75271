package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// fed runs the program with something on its standard input.
func fed(t *testing.T, stdin string, env []string, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout, stderr output
	p := &program{args: args, env: env, stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr}
	code := p.run(ctx)
	if ctx.Err() != nil {
		t.Fatalf("shaveet %v does not end:\n%s", args, &stderr)
	}
	return ran{code, stdout.String(), stderr.String()}
}

// kept is what a channel keeps: each message's sender and data as JSON.
func kept(t *testing.T, base, channel string) (said []string) {
	t.Helper()
	var h struct{ Messages []message }
	if err := json.Unmarshal(rpc(t, base, "history", channel, nil, 1000), &h); err != nil {
		t.Fatal(err)
	}
	for _, m := range h.Messages {
		said = append(said, string(m.Sender)+" "+string(m.Data))
	}
	return said
}

func TestPublish(t *testing.T) {
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	env := []string{"SHAVEET_URL=" + base + "/"}
	for i, tt := range []struct {
		args  []string
		stdin string
		code  int
		said  []string // afterwards, in a channel of its own
		err   string
	}{
		{[]string{"CHANNEL", "hello"}, "", 0, []string{`null "hello"`}, ""},
		{[]string{"CHANNEL", `{"a": 1}`}, "", 0, []string{`null {"a":1}`}, ""},
		{[]string{"CHANNEL", "12", "--sender", "bob"}, "", 0, []string{`"bob" 12`}, ""},
		{[]string{"--string", "CHANNEL", "12"}, "", 0, []string{`null "12"`}, ""},
		{[]string{"--json", "CHANNEL", "[12]"}, "", 0, []string{`null [12]`}, ""},
		{[]string{"--json", "CHANNEL", "twelve"}, "", 1, nil, "not JSON"},
		{[]string{"--json", "--string", "CHANNEL", "1"}, "", 2, nil, "Usage"},
		{[]string{"CHANNEL", "--", "-5"}, "", 0, []string{`null -5`}, ""},
		{[]string{"CHANNEL", ""}, "", 0, []string{`null ""`}, ""},
		{[]string{"CHANNEL", "--exclude", "a,b", "--exclude", "c", "--ttl", "1m", "x"}, "", 0, []string{`null "x"`}, ""},
		{[]string{"CHANNEL"}, "one\ntwo\r\n\n  \n{\"three\":3}", 0, []string{`null "one"`, `null "two"`, `null {"three":3}`}, ""},
		{[]string{"CHANNEL", "-", "--batch", "2"}, "1\n2\n3\n4\n5\n", 0, []string{`null 1`, `null 2`, `null 3`, `null 4`, `null 5`}, ""},
		{[]string{"CHANNEL", "-"}, "", 0, nil, ""},
		{[]string{"CHANNEL", "--json"}, "1\ntwo\n3\n", 1, []string{`null 1`, `null 3`}, "line 2: this is not JSON"},
		{[]string{"CHANNEL"}, "1\n\"" + strings.Repeat("x", 300<<10) + "\"\n3\n", 1, []string{`null 1`, `null 3`}, "line 2:"},
		{[]string{"CHANNEL", "--batch", "10"}, "1\n\"" + strings.Repeat("x", 300<<10) + "\"\n3\n", 1, []string{`null 1`, `null 3`}, "line 2:"},
		{[]string{"CHANNEL", strings.Repeat("x", 300<<10)}, "", 1, nil, "message_bytes"},
		{[]string{"", "x"}, "", 1, nil, "channel"},
		{[]string{"CHANNEL", "x", "y"}, "", 2, nil, "Usage"},
		{nil, "", 2, nil, "Usage"},
		{[]string{"CHANNEL", "x", "--batch", "0"}, "", 2, nil, "Usage"},
		{[]string{"CHANNEL", "x", "--url", "127.0.0.1:1"}, "", 1, nil, "http://"},
		{[]string{"CHANNEL", "x", "--url", "http://127.0.0.1:1/", "--retry", "0s"}, "", 1, nil, "refused"},
	} {
		channel := fmt.Sprint("room", i)
		args := []string{"publish"}
		for _, a := range tt.args {
			args = append(args, strings.ReplaceAll(a, "CHANNEL", channel))
		}
		got := fed(t, tt.stdin, env, args...)
		if got.code != tt.code || !strings.Contains(got.stderr, tt.err) || tt.err == "" && got.stderr != "" {
			t.Errorf("shaveet %.200q: %+.500v, want %d and %q", args, got, tt.code, tt.err)
		}
		if lines := strings.Count(got.stdout, "\n"); lines != len(tt.said) {
			t.Errorf("shaveet %.200q: %d lines of positions, want %d", args, lines, len(tt.said))
		}
		said := []string(nil)
		if live.Answers(base) && strings.Contains(string(rpc(t, base, "channels", channel)), channel) {
			said = kept(t, base, channel)
		}
		if fmt.Sprint(said) != fmt.Sprint(tt.said) {
			t.Errorf("shaveet %.200q has said %.200q, want %q", args, said, tt.said)
		}
	}
}

// A repeat of the same command says nothing twice; --quiet prints nothing.
func TestPublishTwice(t *testing.T) {
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	env := []string{"SHAVEET_URL=" + base + "/"}
	first := fed(t, "a\nb\n", env, "publish", "room", "--id", "import-7")
	again := fed(t, "a\nb\n", env, "publish", "room", "--id", "import-7", "--batch", "2")
	if first.code != 0 || first != again {
		t.Errorf("%+v, then %+v", first, again)
	}
	if said := kept(t, base, "room"); len(said) != 2 {
		t.Errorf("said: %q", said)
	}
	if got := fed(t, "", env, "publish", "room", "--id", "import-7-1", "other"); got.code != 1 || !strings.Contains(got.stderr, "-32004") {
		t.Errorf("the same id with something else: %+v", got)
	}
	if got := fed(t, "", env, "publish", "--quiet", "room", "c"); got != (ran{}) {
		t.Errorf("quiet: %+v", got)
	}
}

// unsteady loses every request's answer the first time: the server has done
// what was asked, and nobody heard. Then it is away for a moment, too.
func unsteady(target http.Handler) http.Handler {
	turn := 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		turn++
		switch turn % 3 {
		case 1:
			target.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			target.ServeHTTP(w, r)
		}
	})
}

// Nothing is lost and nothing is said twice while the way to the server is bad.
func TestPublishRetries(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil)
	base := "http://" + addr("main")
	for _, batch := range []string{"1", "3"} {
		way := httptest.NewServer(unsteady(proxyTo(t, base)))
		got := fed(t, "a\nb\n", nil, "publish", "--url", way.URL, "--batch", batch, "room"+batch)
		way.Close()
		if got.code != 0 || got.stderr != "" {
			t.Errorf("%+v", got)
		}
		if said := kept(t, base, "room"+batch); fmt.Sprint(said) != `[null "a" null "b"]` {
			t.Errorf("said: %q", said)
		}
	}
}

// A server that cannot now says so for each message of a call. Those are said
// again, and what has been said ends the waiting: the next time is short, and
// --retry begins anew.
func TestPublishRetriesWhatWasUnavailable(t *testing.T) {
	t.Parallel()
	const lines = 6
	said := 0
	var again bool // the message that is due has been refused once
	answer := func(m publication) any {
		if m.PublishID != fmt.Sprintf("x-%d", said+1) || !again {
			return map[string]any{"error": rpcError{rpcUnavailable, "not now"}}
		}
		said, again = said+1, false
		return published{Position: fmt.Sprint("1.", said), ID: uint64(said)}
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			Method string
			Params struct {
				publication
				Messages []publication
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
			t.Error(err)
		}
		a := answer(call.Params.publication)
		if call.Method == "publish_many" {
			all := make([]any, len(call.Params.Messages))
			for i, m := range call.Params.Messages {
				all[i] = answer(m)
			}
			a = all
		}
		again = true
		if refusal, ok := a.(map[string]any); ok {
			json.NewEncoder(w).Encode(refusal)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"result": a})
	}))
	defer site.Close()
	feed := ""
	want := ""
	for i := range lines {
		feed += fmt.Sprintln(i)
		want += fmt.Sprintf("1.%d %[1]d\n", i+1)
	}
	got := fed(t, feed, nil, "publish", "--url", site.URL, "--batch", fmt.Sprint(lines), "--id", "x", "--retry", "1s", "room")
	if got != (ran{stdout: want}) {
		t.Errorf("%+v, want %q", got, want)
	}
}

// A server that stays away ends it, and the first line that was not said is
// named.
func TestPublishGivesUp(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil)
	in, feed := io.Pipe()
	var stdout, stderr output
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	way := &httptest.Server{Listener: l, Config: &http.Server{Handler: proxyTo(t, "http://"+addr("main"))}}
	way.Start()
	p := &program{args: []string{"publish", "room", "--retry", "1s", "--url", way.URL}, stdin: in, stdout: &stdout, stderr: &stderr}
	done := make(chan int)
	go func() { done <- p.run(t.Context()) }()
	fmt.Fprintln(feed, "one")
	live.Until(t, "the first line is said", patience, func() bool { return strings.Contains(stdout.String(), "\n") })
	way.Close()
	fmt.Fprintln(feed, "two")
	if code := <-done; code != 1 || !strings.Contains(stderr.String(), "line 2 and what follows") {
		t.Errorf("%d %s", code, &stderr)
	}
	feed.Close()
}

// Interrupted, it ends at once, and does not wait for more to read.
func TestPublishInterrupted(t *testing.T) {
	t.Parallel()
	_, addr := serving(t, nil)
	in, feed := io.Pipe()
	defer feed.Close()
	var stdout, stderr output
	ctx, interrupt := context.WithCancel(t.Context())
	p := &program{args: []string{"publish", "room", "--url", "http://" + addr("main")}, stdin: in, stdout: &stdout, stderr: &stderr}
	done := make(chan int)
	go func() { done <- p.run(ctx) }()
	fmt.Fprintln(feed, "one")
	live.Until(t, "the first line is said", patience, func() bool { return strings.Contains(stdout.String(), "\n") })
	interrupt()
	if code := <-done; code != 1 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("%d %s", code, &stderr)
	}
}

// A batch is what is there, and does not wait to be full.
func TestGather(t *testing.T) {
	lines, failed := readLines(t.Context(), bufio.NewReader(strings.NewReader("1\n2\n3\n4\n5")), 10)
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{2, 2, 1, 0} {
		if got := gather(t.Context(), lines, 2); len(got) != want {
			t.Errorf("%d lines, want %d", len(got), want)
		}
	}
}
