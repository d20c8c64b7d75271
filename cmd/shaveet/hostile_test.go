package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// run runs the program with these arguments and returns what it prints.
func runProgram(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	p := program{args: args, stdout: &out, stderr: &err}
	status = p.run(t.Context())
	return status, out.String(), err.String()
}

// The admin token goes to the address that was given, and nowhere else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	stolen := make(chan string, 10)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stolen <- r.Header.Get("Authorization")
	}))
	defer thief.Close()
	server := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret-token-1234567"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"call", "--url", server.URL, "--admin-token-file", token, "info"},
		{"publish", "--retry", "0s", "--url", server.URL, "--admin-token-file", token, "c", "x"},
	} {
		if status, _, stderr := runProgram(t, args...); status != 1 || !strings.Contains(stderr, "307") {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
	for _, name := range transportNames() {
		f := newFollower(newSite(server.URL, nil), []string{name}, t.Logf)
		f.begin("a", "key", "")
		if _, err := f.next(t.Context()); err == nil || mayPass(err) {
			t.Errorf("%s follows: %v", name, err)
		}
		f.close()
	}
	if n := len(stolen); n > 0 {
		t.Errorf("%d requests went astray, the first with %q", n, <-stolen)
	}
}

// endless is a body that never ends.
type endless struct{ read int64 }

func (e *endless) Read(b []byte) (int, error) {
	e.read += int64(len(b))
	return len(b), nil
}

func TestEndlessAnswer(t *testing.T) {
	body := &endless{}
	if _, err := readAnswer(body); err == nil || body.read > 2*maxAnswer {
		t.Errorf("read %d bytes, %v", body.read, err)
	}
	if text, err := readAnswer(io.LimitReader(body, 1000)); err != nil || len(text) != 1000 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// What a server says cannot take over the terminal.
func TestHostileAnswers(t *testing.T) {
	answers := `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"\u001b]0;pwned\u0007\u009b31m"}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answers) }))
	defer server.Close()
	unsafe := func(text string) bool { return strings.ContainsAny(text, "\x1b\a\u009b\u202e") }
	for _, args := range [][]string{{"call", "--url", server.URL, "info"}, {"publish", "--url", server.URL, "c", "x"}} {
		if status, stdout, stderr := runProgram(t, args...); status != 1 || unsafe(stdout+stderr) || !strings.Contains(stderr, "pwned") {
			t.Errorf("%v: status %d, %q, %q", args, status, stdout, stderr)
		}
	}
	answers = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\u009b31m\u202e\"}"
	if status, stdout, _ := runProgram(t, "call", "--url", server.URL, "info"); status != 0 || unsafe(stdout) || !strings.Contains(stdout, `"\u009b31m\u202e"`) {
		t.Errorf("status %d, %q", status, stdout)
	}
}

// Wrong arguments are answered by what is wrong with them, in a few lines.
func TestMisuse(t *testing.T) {
	for want, args := range map[string][]string{
		"--ttl must not be negative":                       {"publish", "--ttl", "-5s", "c", "x"},
		"--batch must be 1 or more":                        {"publish", "--batch", "0", "c", "x"},
		"more than CHANNEL and DATA":                       {"publish", "c", "a", "b"},
		"-n must not be negative":                          {"listen", "-n", "-1", "c"},
		"which CHANNEL?":                                   {"listen"},
		"must be auto, websocket, sse, stream or longpoll": {"listen", "--transport", "smoke", "c"},
		"which METHOD?":                                    {"call"},
		"more than one URL":                                {"doctor", "http://a", "http://b"},
		"flag provided but not defined: -x":                {"serve", "-x"},
	} {
		status, _, stderr := runProgram(t, args...)
		if status != 2 || !strings.Contains(stderr, want) || !strings.Contains(stderr, "shaveet help "+args[0]) || strings.Count(stderr, "\n") > 4 {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
	if status, stdout, _ := runProgram(t, "--version"); status != 0 || !strings.HasPrefix(stdout, "shaveet ") {
		t.Errorf("--version: %d, %q", status, stdout)
	}
}
