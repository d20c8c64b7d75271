package chatterbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/zmtp"
	"github.com/shaveet/shaveet/tests/live"
)

func (s *site) servesThePage(t *testing.T, w *world) {
	shaveet := "http://" + w.toPages.Addr()
	status, header, page := get(t, s.url+"/")
	for _, want := range []string{
		`<script src="` + shaveet + `/socket.io/socket.io.min.js"`, `data-shaveet="` + shaveet + `"`, "&lt;" + strings.Trim(s.name, "<>") + "&gt;",
	} {
		if status != 200 || !strings.Contains(page, want) {
			t.Errorf("status %d, and no %s in\n%s", status, want, page)
		}
	}
	policy := header.Get("Content-Security-Policy")
	for _, want := range []string{
		"default-src 'self';", "script-src 'self' " + shaveet + ";", "frame-ancestors 'self'",
		"connect-src 'self' " + shaveet + strings.Replace(" "+shaveet, "http", "ws", 1) + ";",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("Content-Security-Policy: %q lacks %q", policy, want)
		}
	}
	for path, media := range map[string]string{"/chatterbox.css": "text/css", "/chatterbox.js": "text/javascript", "/say.js": "text/javascript"} {
		if status, header, _ := get(t, s.url+path); status != 200 || !strings.HasPrefix(header.Get("Content-Type"), media) {
			t.Errorf("%s: status %d, Content-Type %q", path, status, header.Get("Content-Type"))
		}
	}
	for _, path := range []string{"/nothing", "/index.html", "/../go/main.go", "/%2e%2e/python/bus.py", "/say", "/join"} {
		if status, _, body := get(t, s.url+path); status != 404 && status != 405 {
			t.Errorf("GET %s: status %d\n%.200s", path, status, body)
		}
	}
}

// refusesBadInput: each is told what is wrong, and nothing of it is said.
func (s *site) refusesBadInput(t *testing.T) {
	long := strings.Repeat("é", 2001)
	for _, tt := range []struct {
		body   string
		status int
		why    string
	}{
		{"", 400, "a JSON object is expected"},
		{"u=ada&m=hello", 400, "a JSON object is expected"},
		{`{"u": "bad", "m": "hello"`, 400, "a JSON object is expected"},
		{`{"u": "bad", "m": "hello"} {}`, 400, "a JSON object is expected"},
		{`["bad", "hello"]`, 400, "a JSON object is expected"},
		{"null", 400, "a JSON object is expected"},
		{strings.Repeat("[", 9000), 400, "a JSON object is expected"},
		{`{"m": "bad"}`, 400, "u: 1 to 40 printable characters"},
		{`{"u": "bad"}`, 400, "m: 1 to 2000 printable characters"},
		{`{"u": "", "m": "bad"}`, 400, "u: 1 to 40 printable characters"},
		{`{"u": "bad", "m": " \n\t "}`, 400, "m: 1 to 2000 printable characters"},
		{`{"u": "bad", "m": 5}`, 400, "m must be a string"},
		{`{"u": null, "m": "bad"}`, 400, "u must be a string"},
		{`{"u": ["bad"], "m": "bad"}`, 400, "u must be a string"},
		{`{"u": "bad", "m": {"$binary": "AAEC"}}`, 400, "m must be a string"},
		{`{"u": "bad\nname", "m": "bad"}`, 400, "u: 1 to 40 printable characters"},
		{`{"u": "bad\u0000", "m": "bad"}`, 400, "u: 1 to 40 printable characters"},
		{`{"u": "bad", "m": "bad\u001b[2J"}`, 400, "m: 1 to 2000 printable characters"},
		{`{"u": "bad", "m": "bad\u0085"}`, 400, "m: 1 to 2000 printable characters"},
		{`{"u": "bad", "m": "bad", "id": 0}`, 400, "id must be a string"},
		{`{"u": "bad", "m": "bad", "id": "` + strings.Repeat("x", 65) + `"}`, 400, "id: 1 to 64 printable characters"},
		{`{"u": "bad` + long[:80] + `", "m": "bad"}`, 400, "u: 1 to 40 printable characters"},
		{`{"u": "bad", "m": "` + long + `"}`, 400, "m: 1 to 2000 printable characters"},
		{`{"u": "bad", "m": "` + strings.Repeat("x", 33<<10) + `"}`, 413, "a JSON object of 32768 bytes at most is expected"},
		{`{"u": "bad", "m": "` + strings.Repeat("x", 200<<10) + `"}`, 413, "a JSON object of 32768 bytes at most is expected"},
	} {
		if status, why := s.post(t, "/say", tt.body, nil); status != tt.status || why != tt.why {
			t.Errorf("%.60q: status %d, %q, want %d, %q", tt.body, status, why, tt.status, tt.why)
		}
	}
	if status, _ := s.post(t, "/say", `{"u": "half", "m": "\ud800"}`, nil); status >= 500 {
		t.Errorf("half a character: status %d", status)
	}
	if status, _ := s.post(t, "/join", `{"token": 5}`, nil); status != 400 {
		t.Errorf("a token that is none: status %d", status)
	}
	for _, said := range s.told(t) {
		if strings.Contains(said, "bad") {
			t.Errorf("it was said: %.200s", said)
		}
	}
}

func (s *site) refusesOtherSites(t *testing.T) {
	line := map[string]string{"u": "site", "m": "of our own"}
	for _, tt := range []struct {
		header []string
		status int
	}{
		{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Sec-Fetch-Site", "same-site"}, 403},
		{[]string{"Origin", "http://evil.example"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Origin", s.url}, 204},
		{[]string{"Sec-Fetch-Site", "same-origin"}, 204},
		{nil, 204}, // no browser
	} {
		if status, why := s.post(t, "/say", line, nil, tt.header...); status != tt.status {
			t.Errorf("%q: status %d, want %d: %s", tt.header, status, tt.status, why)
		}
	}
}

// knowsWhoComesBack: they stay the client they were, if they can prove it.
func (s *site) knowsWhoComesBack(t *testing.T) {
	j := s.join(t, "", "")
	if !regexp.MustCompile(`^chatterbox-[0-9a-z]{26,32}$`).MatchString(j.Auth.ClientID) || j.Auth.Key == "" || j.Auth.Cursor == "" {
		t.Errorf("%+v", j.Auth)
	}
	if back := s.join(t, j.Auth.ClientID, j.Token); back.Auth.ClientID != j.Auth.ClientID || back.Auth.Key != j.Auth.Key {
		t.Errorf("%+v came back as %+v", j.Auth, back.Auth)
	}
	for _, token := range []string{"", j.Token + "0", strings.ToUpper(j.Token), s.join(t, "", "").Token, "é"} {
		if liar := s.join(t, j.Auth.ClientID, token); liar.Auth.ClientID == j.Auth.ClientID || liar.Auth.Key == j.Auth.Key {
			t.Errorf("whoever says %q is %+v", token, liar.Auth)
		}
	}
}

// saysThatALineIsLost: a line that went to the socket, and that nobody has
// heard, is not said to be said.
func (w *world) saysThatALineIsLost(t *testing.T, program string) {
	nobody := live.FreeAddr(t)
	s := w.start(t, program, "SHAVEET_RPC=http://"+nobody+"/", "SHAVEET_PUB=tcp://"+nobody, "SHAVEET_PULL="+swallow(t), "NAME=unheard")
	line := map[string]string{"u": "ada", "m": "into the void of " + program}
	status, why := 502, ""
	live.Until(t, "it is connected", 30*time.Second, func() bool {
		status, why = s.post(t, "/say", line, nil)
		return status != 502
	})
	if status != 504 || !strings.Contains(why, "not known") {
		t.Errorf("status %d, %s", status, why)
	}
}

// swallow is a PULL socket that takes all and does nothing with it.
func swallow(t *testing.T) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		z, err := zmtp.NewConn(c, zmtp.Options{Type: zmtp.PULL})
		for err == nil {
			_, err = z.Receive()
		}
	}()
	return "tcp://" + l.Addr().String()
}

// looksUpWhatItHasNotHeard: what is published before a subscription has come is
// not heard, and was said all the same.
func (w *world) looksUpWhatItHasNotHeard(t *testing.T, program string) {
	s := w.start(t, program, "SHAVEET_RPC="+w.srv.Main+"/", "SHAVEET_PULL="+w.pull, "SHAVEET_PUB=tcp://"+live.FreeAddr(t), "NAME=deaf")
	s.begins(t)
	if told := s.told(t); !slices.Contains(told, "test: begins") {
		t.Errorf("newcomers are told %q", told)
	}
}

// bothHear: what one has taken the other one tells.
func (w *world) bothHear(t *testing.T) {
	w.a.says(t, map[string]string{"u": " ada ", "m": "from A"})
	w.b.says(t, map[string]string{"u": "bob", "m": "from <b>B</b>\nin two lines"})
	w.a.says(t, map[string]string{"u": "ada", "m": strings.Repeat("𝄞", 2000)})
	want := []string{"ada: from A", "bob: from <b>B</b>\nin two lines", "ada: " + strings.Repeat("𝄞", 2000)}
	for _, s := range w.sites() {
		if told := s.told(t); len(told) < 3 || !slices.Equal(told[len(told)-3:], want) {
			t.Errorf("%s tells %.300q", s.name, told)
		}
	}
	last := w.a.join(t, "", "").Lines
	if l := last[len(last)-2].Data; l.W != w.b.name || l.ID == "" {
		t.Errorf("the line is %+v", l)
	}
}

// saysOnce: a second attempt is no second line, at whichever web application.
// The one that has heard it does not even say it again.
func (w *world) saysOnce(t *testing.T) {
	line := map[string]string{"u": "ada", "m": "once", "id": "attempt"}
	w.a.says(t, line)
	w.a.says(t, line)
	w.push(t, `{"u": "ada", "m": "once", "id": "attempt"}`) // as an attempt that was not known to have come through
	live.Until(t, "it is published", 30*time.Second, func() bool { return count(w.history(t), `"attempt"`) == 2 })
	w.b.says(t, line)
	w.b.says(t, map[string]string{"u": "bob", "m": "after it"})
	for _, s := range w.sites() {
		if told := s.told(t); count(told, "ada: once") != 1 || told[len(told)-1] != "bob: after it" {
			t.Errorf("%s tells %q", s.name, told)
		}
	}
}

func count(all []string, text string) (n int) {
	for _, each := range all {
		if strings.Contains(each, text) {
			n++
		}
	}
	return n
}

// push says something at Shaveet's socket, as any program of the machine can.
func (w *world) push(t *testing.T, messages ...string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.pull, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zmtp.NewConn(c, zmtp.Options{Type: zmtp.PUSH})
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	before := w.received(t)
	for _, m := range messages {
		if err := z.Send([]byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	live.Until(t, "it has come", 30*time.Second, func() bool { return w.received(t) >= before+len(messages) })
}

// received is how many messages have come to Shaveet's one socket, and sent how
// many have gone out by the other one, each to every subscriber.
func (w *world) received(t *testing.T) int { return w.metric(t, `received_total{socket="say"}`) }
func (w *world) sent(t *testing.T) int     { return w.metric(t, `sent_total{socket="hear"}`) }

func (w *world) metric(t *testing.T, name string) int {
	t.Helper()
	_, _, text := get(t, w.srv.Main+"/metrics")
	_, rest, found := strings.Cut(text, "\nshaveet_zeromq_"+name+" ")
	var value float64
	if _, err := fmt.Sscan(rest, &value); err != nil || !found {
		t.Fatalf("%s: %v", name, err)
	}
	return int(value)
}

// hostile is what is no line. Shaveet refuses some of it.
var hostile = []string{
	`not JSON`, `"<script>hostile()</script>"`, `5`, `null`, `[]`, `{}`, `{"u": "hostile"}`, `{"m": "hostile"}`,
	`{"u": 1, "m": "hostile"}`, `{"u": "hostile", "m": null}`, `{"u": {"hostile": 1}, "m": "hostile"}`, `{"u": "hostile", "m": "hostile", "id": 5}`, `{"u": "hostile", "m": "hostile", "id": null}`,
	`{"u": "hostile", "m": "hostile", "w": ["hostile"]}`, `{"u": "", "m": "hostile"}`, `{"u": "hostile", "m": ""}`,
	`{"u": "` + strings.Repeat("hostile", 6) + `", "m": "hostile"}`, `{"u": "hostile", "m": "` + strings.Repeat("x", 2001) + `"}`,
	`{"u": "hostile", "m": "` + strings.Repeat("x", 40<<10) + `"}`, `{"u": "hostile", "m": ` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`,
	strings.Repeat(`{"u":`, 200) + `1` + strings.Repeat("}", 200), `{"__proto__": {"u": "hostile", "m": "hostile"}}`,
}

// passesOverWhatIsNoLine: who reaches the socket can say anything. What is a
// line is one, with whatever stands beside it.
func (w *world) passesOverWhatIsNoLine(t *testing.T) {
	w.push(t, append(hostile, `{"u": "zed", "m": "by hand", "n": `+strings.Repeat("9", 5000)+`, "u2": [[{}]]}`)...)
	live.Until(t, "the line is published", 30*time.Second, func() bool { return count(w.history(t), "by hand") == 1 })
	w.b.says(t, map[string]string{"u": "bob", "m": "after that"})
	w.a.says(t, map[string]string{"u": "ada", "m": "after this"})
	for _, s := range w.sites() {
		told := s.told(t)
		if count(told, "hostile") > 0 || !slices.Equal(told[len(told)-3:], []string{"zed: by hand", "bob: after that", "ada: after this"}) {
			t.Errorf("%s tells %.300q", s.name, told)
		}
	}
}

// keepsWhatAServerForgets: Shaveet has nothing after a restart. The web
// applications have heard all, and newcomers are told it.
func (w *world) keepsWhatAServerForgets(t *testing.T) {
	before := w.b.told(t)
	// From here on nobody asks Shaveet: what they will know they have heard.
	sent := w.sent(t)
	for _, s := range w.sites() {
		s.says(t, map[string]string{"u": "ada", "m": "is only heard"})
		before = append(before, "ada: is only heard")
	}
	live.Until(t, "both lines have gone to both", 30*time.Second, func() bool { return w.sent(t) == sent+4 })
	w.srv.Restart()
	for _, s := range w.sites() {
		s.begins(t)
	}
	if kept := w.history(t); count(kept, "is only heard") > 0 {
		t.Fatalf("Shaveet keeps %s", kept)
	}
	for _, s := range w.sites() {
		told := s.told(t)
		if want := append(slices.Clone(before), "test: begins", "test: begins"); !slices.Equal(told, want) {
			t.Errorf("%s tells %q, and before it was %q", s.name, told, before)
		}
	}
	// A web application that was restarted has what Shaveet keeps.
	w.a.says(t, map[string]string{"u": "ada", "m": "of the second server"})
	w.a.kill(t)
	w.a.run(t)
	if told := w.a.told(t); count(told, "of the second server") != 1 {
		t.Errorf("the new one tells %q", told)
	}
	w.a.begins(t)
}

func (w *world) reportsAnOutage(t *testing.T) {
	w.srv.Kill()
	for _, s := range w.sites() {
		line := map[string]string{"u": "ada", "m": "to nobody", "id": "outage " + s.name}
		why := ""
		live.Until(t, s.name+" knows that Shaveet is away", 30*time.Second, func() bool {
			var status int
			status, why = s.post(t, "/say", line, nil)
			return status == 502
		})
		if why != "nothing was said: the push server is away" && why != "the push server does not answer" {
			t.Errorf("%s: %s", s.name, why)
		}
		if status, why := s.post(t, "/join", "{}", nil); status != 502 || why != "the push server does not answer" {
			t.Errorf("%s: join: status %d, %s", s.name, status, why)
		}
		if status, _, _ := get(t, s.url+"/"); status != 200 {
			t.Errorf("%s: the page: status %d", s.name, status)
		}
	}
}

func get(t *testing.T, url string) (status int, header http.Header, body string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// history is what Shaveet keeps, each message as it is.
func (w *world) history(t *testing.T) (all []string) {
	t.Helper()
	var answer struct {
		Result struct{ Messages []json.RawMessage }
	}
	w.call(t, `{"jsonrpc": "2.0", "id": 1, "method": "history", "params": {"channel": "chatterbox", "limit": 1000}}`, &answer)
	for _, m := range answer.Result.Messages {
		all = append(all, string(m))
	}
	return all
}

// call makes a call of the admin API.
func (w *world) call(t *testing.T, request string, answer any) {
	t.Helper()
	resp, err := client.Post(w.srv.Main+"/", "application/json", strings.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && answer != nil {
		err = json.Unmarshal(text, answer)
	}
	if err != nil || strings.Contains(string(text), `"error":`) {
		t.Fatalf("%s: %v, %s", request, err, text)
	}
}
