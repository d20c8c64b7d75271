package chat_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) { live.Main(m) }

// backends are the three programs of this example. They do the same, so they
// are held to the same story.
var backends = []struct {
	name    string
	command func(t *testing.T) *exec.Cmd
}{
	{"go", func(t *testing.T) *exec.Cmd {
		path := filepath.Join(t.TempDir(), "chat")
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, "./go").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		return exec.Command(path)
	}},
	{"python", func(t *testing.T) *exec.Cmd {
		return exec.Command(live.Tool(t, "python3"), "python/chat.py")
	}},
	{"php", func(t *testing.T) *exec.Cmd {
		return exec.Command(live.Tool(t, "php"), "-S", "127.0.0.1:0", "php/index.php")
	}},
}

var sources = []string{
	"go/main.go", "python/chat.py", "php/index.php", "php/people.php", "php/shaveet.php",
	"page/index.html", "page/chat.css", "page/chat.js",
}

func TestBackends(t *testing.T) {
	live.Track(t, sources...)
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			srv := live.Start(t, "--public-listen", "127.0.0.1:0")
			chat := start(t, b.command(t), srv)
			t.Run("page", chat.servesThePage)
			t.Run("talk", chat.carriesTalk)
			t.Run("sessions", chat.refusesStrangers)
			t.Run("sites", chat.refusesOtherSites)
			t.Run("input", chat.refusesBadInput)
			t.Run("restart", chat.survivesARestart)
			t.Run("outage", chat.reportsAnOutage)
		})
	}
}

// backend is a running back end, and the Shaveet beside it.
type backend struct {
	url string
	srv *live.Server
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:[1-9]\d*`)

func start(t *testing.T, cmd *exec.Cmd, srv *live.Server) *backend {
	t.Helper()
	cmd.Env = append(os.Environ(), "PORT=0", "SHAVEET_RPC="+srv.Main+"/", "SHAVEET_PUBLIC="+srv.Public,
		"SHAVEET_TOKEN=", "CHAT_STATE="+t.TempDir())
	output := live.Run(t, cmd)
	b := &backend{srv: srv}
	live.Until(t, "the back end's address", 30*time.Second, func() bool {
		b.url = address.FindString(output())
		return b.url != "" && live.Answers(b.url)
	})
	return b
}

func (b *backend) servesThePage(t *testing.T) {
	resp, err := http.Get(b.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(page), `<script src="`+b.srv.Public+`/static/shaveet.js"`) {
		t.Errorf("the page does not include shaveet.js:\n%s", page)
	}
	policy := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"script-src 'self' " + b.srv.Public + ";", "frame-ancestors 'self'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("Content-Security-Policy: %q lacks %q", policy, want)
		}
	}
	for name, media := range map[string]string{"/chat.js": "text/javascript", "/chat.css": "text/css"} {
		resp, err := http.Get(b.url + name)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || !strings.HasPrefix(got, media) {
			t.Errorf("%s: status %d, Content-Type %q", name, resp.StatusCode, got)
		}
	}
	for _, path := range []string{"/nothing", "/../go/main.go", "/%2e%2e/php/people.php"} {
		if status := b.do(t, http.MethodGet, path, "", nil); status != 404 {
			t.Errorf("GET %s: status %d, want 404", path, status)
		}
	}
}

// person is the answer to a join.
type person struct {
	ClientID   string `json:"client_id"`
	Key        string `json:"key"`
	Token      string `json:"token"`
	Name       string `json:"name"`
	Channel    string `json:"channel"`
	ShaveetURL string `json:"shaveet_url"`
}

const hello = "<b>hé</b> & \"you\"\nnext line \U0001F600"

func (b *backend) carriesTalk(t *testing.T) {
	ada := b.join(t, "  Ada <i>  ")
	bob := b.join(t, "Bób")
	if ada.Name != "Ada <i>" || ada.ShaveetURL != b.srv.Public || ada.ClientID == bob.ClientID {
		t.Errorf("joined as %+v and %+v", ada, bob)
	}
	if got := b.members(t); !slices.Contains(got, ada.Name) || !slices.Contains(got, bob.Name) {
		t.Errorf("members: %q", got)
	}
	b.want(t, 204, "/say", map[string]string{"client_id": ada.ClientID, "token": ada.Token, "text": hello})
	got := b.listen(t, bob, func(n news) bool { return n.payload["type"] == "message" })
	if got.publisher != ada.ClientID || got.payload["name"] != ada.Name || got.payload["text"] != hello {
		t.Errorf("Bob heard %+v", got)
	}

	b.want(t, 204, "/leave", map[string]string{"client_id": ada.ClientID, "token": ada.Token})
	b.listen(t, bob, func(n news) bool { return n.publisher == ada.ClientID && n.payload["type"] == "unsubscribe" })
	if got := b.members(t); slices.Contains(got, ada.Name) {
		t.Errorf("members after Ada left: %q", got)
	}
}

func (b *backend) refusesStrangers(t *testing.T) {
	ada, bob := b.join(t, "Ada"), b.join(t, "Bob")
	for _, who := range []map[string]string{
		{"client_id": ada.ClientID, "token": bob.Token},
		{"client_id": ada.ClientID, "token": ada.Key},
		{"client_id": ada.ClientID, "token": "é"},
		{"client_id": ada.ClientID},
		{"client_id": "../" + ada.ClientID, "token": ada.Token},
		{"token": ada.Token},
	} {
		b.want(t, 403, "/leave", who)
		who["text"] = "I am Ada"
		b.want(t, 403, "/say", who)
	}
	// A join with somebody's id but not their token makes a new person.
	if thief := b.join(t, "Ada", ada.ClientID, bob.Token); thief.ClientID == ada.ClientID || thief.Key == ada.Key {
		t.Errorf("a wrong token took over %s", ada.ClientID)
	}
}

// A page of another site cannot have its visitors act here, whichever header
// their browsers say it with; and who says nothing is no browser.
func (b *backend) refusesOtherSites(t *testing.T) {
	ada := b.join(t, "Ada")
	host := strings.TrimPrefix(b.url, "http://")
	for _, tt := range []struct {
		field, value string
		ours         bool
	}{
		{"Sec-Fetch-Site", "cross-site", false},
		{"Sec-Fetch-Site", "same-site", false},
		{"Sec-Fetch-Site", "same-origin", true},
		{"Sec-Fetch-Site", "none", true},
		{"Origin", "https://example.org", false},
		{"Origin", "null", false},
		{"Origin", "http://127.0.0.1:1", false},
		{"Origin", "http://" + host, true},
	} {
		for path, status := range map[string]int{"/join": 200, "/say": 204} {
			if !tt.ours {
				status = 403
			}
			body := encode(t, map[string]string{"name": "Bob", "text": "hello", "client_id": ada.ClientID, "token": ada.Token})
			if got := b.doWith(t, http.MethodPost, path, body, http.Header{tt.field: {tt.value}}, nil); got != status {
				t.Errorf("POST %s with %s: %s: status %d, want %d", path, tt.field, tt.value, got, status)
			}
		}
	}
}

func (b *backend) refusesBadInput(t *testing.T) {
	ada := b.join(t, "Ada")
	say := func(text any) map[string]any {
		return map[string]any{"client_id": ada.ClientID, "token": ada.Token, "text": text}
	}
	for _, name := range []any{"", "   ", strings.Repeat("x", 41), "bell\a", 5, nil, []string{"a"}} {
		b.want(t, 400, "/join", map[string]any{"name": name})
	}
	for _, text := range []any{"", " \n", strings.Repeat("x", 2001), "nul\x00", 5, nil, map[string]string{}} {
		b.want(t, 400, "/say", say(text))
	}
	for _, body := range []string{"", "{", "[]", "null", `"text"`, "name=Ada"} {
		if status := b.do(t, http.MethodPost, "/join", body, nil); status != 400 {
			t.Errorf("join with the body %q: status %d, want 400", body, status)
		}
	}
	b.want(t, 413, "/say", say(strings.Repeat("x", 20<<10)))
	b.want(t, 204, "/say", say(strings.Repeat("é", 2000)))
}

// survivesARestart: Shaveet has forgotten everybody; a page that is told so
// joins again, is the same person, and hears what is said from then on.
func (b *backend) survivesARestart(t *testing.T) {
	ada := b.join(t, "Ada")
	b.srv.Restart()
	if status, _ := b.poll(t, ada); status != 404 {
		t.Fatalf("a poll after the restart: status %d, want 404", status)
	}
	again := b.join(t, "Ada", ada.ClientID, ada.Token)
	if again.ClientID != ada.ClientID || again.Token != ada.Token || again.Key == ada.Key {
		t.Errorf("joined again as %+v, was %+v", again, ada)
	}
	b.want(t, 204, "/say", map[string]string{"client_id": ada.ClientID, "token": ada.Token, "text": "back"})
	b.listen(t, again, func(n news) bool { return n.payload["text"] == "back" })
}

func (b *backend) reportsAnOutage(t *testing.T) {
	ada := b.join(t, "Ada")
	b.srv.Kill()
	b.want(t, 502, "/say", map[string]string{"client_id": ada.ClientID, "token": ada.Token, "text": "anyone?"})
	b.want(t, 502, "/join", map[string]string{"name": "Bob"})
}

// join takes a name and, of somebody who comes back, client_id and token.
func (b *backend) join(t *testing.T, name string, before ...string) (p person) {
	t.Helper()
	body := map[string]string{"name": name}
	if len(before) == 2 {
		body["client_id"], body["token"] = before[0], before[1]
	}
	if status := b.do(t, http.MethodPost, "/join", encode(t, body), &p); status != 200 {
		t.Fatalf("join: status %d", status)
	}
	return p
}

func (b *backend) members(t *testing.T) (names []string) {
	t.Helper()
	var list []person
	if status := b.do(t, http.MethodGet, "/members", "", &list); status != 200 {
		t.Fatalf("members: status %d", status)
	}
	for _, p := range list {
		names = append(names, p.Name)
	}
	return names
}

func (b *backend) want(t *testing.T, status int, path string, body any) {
	t.Helper()
	if got := b.do(t, http.MethodPost, path, encode(t, body), nil); got != status {
		t.Errorf("POST %s %.200s: status %d, want %d", path, encode(t, body), got, status)
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var client = http.Client{Timeout: 40 * time.Second}

func (b *backend) do(t *testing.T, method, path, body string, into any) (status int) {
	t.Helper()
	return b.doWith(t, method, path, body, http.Header{}, into)
}

func (b *backend) doWith(t *testing.T, method, path, body string, header http.Header, into any) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil && resp.StatusCode == 200 {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return resp.StatusCode
}

// news is one message as shaveet.js would hand it to the page.
type news struct {
	publisher string
	payload   map[string]any
}

// listen polls as p until there is what it looks for.
func (b *backend) listen(t *testing.T, p person, is func(news) bool) news {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		status, all := b.poll(t, p)
		if status != 200 {
			t.Fatalf("poll: status %d", status)
		}
		if i := slices.IndexFunc(all, is); i >= 0 {
			return all[i]
		}
	}
	t.Fatal("the message did not come")
	return news{}
}

func (b *backend) poll(t *testing.T, p person) (status int, all []news) {
	t.Helper()
	resp, err := client.Get(b.srv.Public + "/message_updates?callback=noop&client_id=" + url.QueryEscape(p.ClientID) + "_!!_" + p.Key)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		return resp.StatusCode, nil
	}
	body = bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimPrefix(body, []byte("/**/")), []byte("noop(")), []byte(");"))
	var channels map[string][][3]any
	if err := json.Unmarshal(body, &channels); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for _, m := range channels[p.Channel] {
		n := news{publisher: m[2].(string)}
		if err := json.Unmarshal([]byte(m[1].(string)), &n.payload); err != nil {
			t.Errorf("%v in %v", err, m)
		}
		all = append(all, n)
	}
	return 200, all
}
