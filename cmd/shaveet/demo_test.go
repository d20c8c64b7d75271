package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/examples/gallery"
	"github.com/shaveet/shaveet/tests/live"
)

var anyPorts = []string{"--listen", "127.0.0.1:0", "--public-listen", "127.0.0.1:0", "--page-listen", "127.0.0.1:0"}

// demonstrate runs the demo, and returns the page's address and all that it has
// printed when it has said where to look.
func demonstrate(t *testing.T, args ...string) (r *running, url, said string) {
	t.Helper()
	r = begin(t, nil, append([]string{"demo"}, args...)...)
	live.Until(t, "the demo says where it is", patience, func() bool {
		return r.ended() || strings.Contains(r.stdout.String(), "Ctrl-C")
	})
	said = r.stdout.String()
	url = regexp.MustCompile(`http://[^\s#]+`).FindString(said)
	if url == "" {
		t.Fatalf("no address in %q and %q", said, &r.stderr)
	}
	return r, url, said
}

// The demo says where to look first of all, and all examples are there; what it
// says for a terminal works as it is; and it ends without a word.
func TestDemo(t *testing.T) {
	r, url, said := demonstrate(t, anyPorts...)
	if status, page := get(t, url); status != 200 || !strings.Contains(page, "<title>Shaveet") {
		t.Fatalf("the page: %d %q", status, page)
	}
	for _, name := range gallery.Names() {
		if status, page := get(t, url+name+"/"); status != 200 || !strings.Contains(page, "a Shaveet example") {
			t.Errorf("%s: %d %.300q", name, status, page)
		}
	}
	_, page := get(t, url+"chat/")
	script := regexp.MustCompile(`http://[^"]+/static/shaveet\.js`).FindString(page)
	if script == "" {
		t.Fatalf("the chat loads no library: %s", page)
	}
	if status, library := get(t, script); status != 200 || !strings.Contains(library, "Shaveet") {
		t.Errorf("the library: %d, %d bytes", status, len(library))
	}
	if answer := post(t, url+"chat/join", `{"name": "Ada"}`); !strings.Contains(answer, `"key"`) {
		t.Errorf("joining: %s", answer)
	}
	line := regexp.MustCompile(`curl (\S+) -d '(.*)'`).FindStringSubmatch(said)
	if line == nil {
		t.Fatalf("nothing for a terminal: %q", said)
	}
	if answer := post(t, line[1], line[2]); !strings.Contains(strings.ReplaceAll(answer, " ", ""), `"result":1`) {
		t.Errorf("%s: %s", line[0], answer)
	}
	heard(t, url+"events/live-graph", "message: ") // who is ended while shaking hands says so
	if code := r.stop(); code != 0 || r.stderr.String() != "" {
		t.Errorf("it ended with %d:\n%s", code, &r.stderr)
	}
}

// heard reads what the page is told until it has this text.
func heard(t *testing.T, url, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), text) {
			return
		}
	}
	t.Fatalf("nobody tells of %q", text)
}

func post(t *testing.T, url, body string) (answer string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("POST %s: %d %s, %v", url, resp.StatusCode, text, err)
	}
	return string(text)
}

// Of an example that is named the page is opened, wherever the flags stand.
func TestDemoOfOne(t *testing.T) {
	for _, args := range [][]string{append([]string{"live-graph"}, anyPorts...), append(anyPorts[:len(anyPorts):len(anyPorts)], "live-graph")} {
		_, url, said := demonstrate(t, args...)
		if !strings.Contains(said, url+"#live-graph") || !strings.Contains(said, `"graph"`) {
			t.Errorf("it says %q", said)
		}
	}
	for _, args := range [][]string{{"nothing"}, {"chat", "rooms"}, {"chat", "--open", "rooms"}} {
		if got := run(t, nil, append([]string{"demo"}, args...)...); got.code == 0 || !strings.Contains(got.stderr, "live-graph") {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// Who follows a line that names the server's usual address is told if it is not
// there: also where the public door went, and what to open of all addresses.
func TestDemoElsewhere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	r, url, said := demonstrate(t, "--listen", taken, "--public-listen", taken, "--page-listen", "0.0.0.0:0")
	for _, door := range []string{"server is at", "public door is at"} {
		at := regexp.MustCompile(door + ` +(http://127\.0\.0\.1:\d+/) \(` + regexp.QuoteMeta(taken) + ` is taken\)`).FindStringSubmatch(said)
		if at == nil {
			t.Errorf("it does not say where the %s: %q", door, said)
			continue
		}
		resp, err := http.Get(at[1] + "static/shaveet.js")
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%s %s, but the library there: %v", door, at[1], err)
			continue
		}
		resp.Body.Close()
	}
	if r.ended() {
		t.Errorf("it has ended: %s", &r.stderr)
	}
	if !regexp.MustCompile(`^http://127\.0\.0\.1:\d+/$`).MatchString(url) {
		t.Errorf("the page is said to be at %s", url)
	}
}

func TestVisit(t *testing.T) {
	for at, want := range map[string]string{
		"[::]:80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", "127.0.0.1:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "10.0.0.7:80": "10.0.0.7:80",
	} {
		addr, err := net.ResolveTCPAddr("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		if got := visit(addr); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}

// Two demos at once are no trouble: the second takes other ports.
func TestFreeAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if got := free(l.Addr().String()); got != "127.0.0.1:0" {
		t.Errorf("a taken address: %s, want any port", got)
	}
	l.Close()
	if got := free(l.Addr().String()); got != l.Addr().String() {
		t.Errorf("a free address: %s, want it as it is", got)
	}
}
