package notifications_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
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
	{"go", goBackend},
	{"python", func(t *testing.T) *exec.Cmd {
		return exec.Command(live.Tool(t, "python3"), "python/notifications.py")
	}},
	{"php", func(t *testing.T) *exec.Cmd {
		return exec.Command(live.Tool(t, "php"), "-S", "127.0.0.1:0", "php/index.php")
	}},
}

func goBackend(t *testing.T) *exec.Cmd {
	path := filepath.Join(t.TempDir(), "notifications")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, "./go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exec.Command(path)
}

var sources = []string{
	"shaveet.toml", "go/main.go", "go/notifyapp/notifyapp.go", "go/notifyapp/shaveet.go", "go/notifyapp/store.go",
	"python/notifications.py", "php/index.php", "php/shaveet.php", "php/store.php",
	"page/index.html", "page/notifications.css", "page/notifications.js",
}

// few is how many messages a channel keeps here, so that gaps are easily made.
const few = "5"

func TestBackends(t *testing.T) {
	live.Track(t, sources...)
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--config", "shaveet.toml", "--channel-messages", few)
			site := start(t, b.command(t), srv)
			t.Run("page", site.servesThePage)
			t.Run("one user", site.notifiesOneUser)
			t.Run("everybody", site.notifiesEverybody)
			t.Run("tabs", site.tellsEveryTab)
			t.Run("strangers", site.refusesStrangers)
			t.Run("other sites", site.refusesOtherSites)
			t.Run("input", site.refusesBadInput)
			t.Run("retry", site.survivesALostAnswer)
			t.Run("gap", site.hasTheListAfterAGap)
			t.Run("rotated key", site.survivesARotatedKey)
			t.Run("logout", site.voidsTheKeyOfWhoLeaves)
			t.Run("restart", site.survivesARestart)
			t.Run("outage", site.keepsWhatCannotBeSaid)
		})
	}
}

// site is a running back end, the Shaveet beside it, and the wire between them.
type site struct {
	url  string
	srv  *live.Server
	wire *wire
}

// wire carries the admin calls of a back end.
type wire struct {
	cut        atomic.Bool // nothing comes through
	loseAnswer atomic.Bool // of the next call, once
}

func startWire(t *testing.T, srv *live.Server) (w *wire, url string) {
	t.Helper()
	target, err := neturl.Parse(srv.Main)
	if err != nil {
		t.Fatal(err)
	}
	w = &wire{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			if w.cut.Load() {
				panic(http.ErrAbortHandler)
			}
			r.SetURL(target)
		},
		ModifyResponse: func(*http.Response) error {
			if w.loseAnswer.Swap(false) {
				panic(http.ErrAbortHandler)
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return w, server.URL + "/"
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:[1-9]\d*`)

func start(t *testing.T, cmd *exec.Cmd, srv *live.Server) *site {
	t.Helper()
	wire, rpc := startWire(t, srv)
	cmd.Env = append(os.Environ(), "PORT=0", "SHAVEET_RPC="+rpc, "SHAVEET_PUBLIC="+srv.Public,
		"SHAVEET_TOKEN=", "NOTIFICATIONS_STATE="+t.TempDir())
	output := live.Run(t, cmd)
	s := &site{srv: srv, wire: wire}
	live.Until(t, "the back end's address", 30*time.Second, func() bool {
		s.url = address.FindString(output())
		return s.url != "" && live.Answers(s.url)
	})
	return s
}

func (s *site) servesThePage(t *testing.T) {
	resp, err := http.Get(s.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(page), `<script src="`+s.srv.Public+`/static/shaveet.js"`) {
		t.Errorf("the page does not include shaveet.js:\n%s", page)
	}
	policy := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'self';", "script-src 'self' " + s.srv.Public + ";", "connect-src 'self' " + s.srv.Public + strings.Replace(" "+s.srv.Public, "http", "ws", 1) + ";", "frame-ancestors 'self'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("Content-Security-Policy: %q lacks %q", policy, want)
		}
	}
	for name, media := range map[string]string{"/notifications.js": "text/javascript", "/notifications.css": "text/css"} {
		resp, err := http.Get(s.url + name)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || !strings.HasPrefix(got, media) {
			t.Errorf("%s: status %d, Content-Type %q", name, resp.StatusCode, got)
		}
	}
	for _, path := range []string{"/nothing", "/../go/main.go", "/%2e%2e/php/store.php", "/store.php"} {
		if status := s.stranger(t).do(t, http.MethodGet, path, "", nil); status != 404 {
			t.Errorf("GET %s: status %d, want 404", path, status)
		}
	}
}

const greeting = "<b>hé</b> & \"you\" \U0001F600"

func (s *site) notifiesOneUser(t *testing.T) {
	ada, bob, eve := s.login(t, "  Ada <i>  "), s.login(t, "Bób"), s.login(t, "Eve")
	bobs, eves := bob.open(t), eve.open(t)
	if number, live := ada.notify(t, "Bób", greeting); number == 0 || !live {
		t.Errorf("number %d, live %v", number, live)
	}
	got := bobs.hear(t, greeting)
	if got.From != "Ada <i>" || got.Everyone || got.Time < 1.6e12 {
		t.Errorf("Bob heard %+v", got)
	}
	if list := bob.list(t); list.Unread != 1 || len(list.Notifications) != 1 || list.Notifications[0] != got {
		t.Errorf("Bob's list: %+v, he heard %+v", list, got)
	}

	// Eve would have heard it before what comes after it.
	ada.notifyAll(t, "after it")
	if got := eves.hear(t, "after it"); !got.Everyone {
		t.Errorf("Eve heard %+v", got)
	}
	if slices.ContainsFunc(eves.heard, func(n notification) bool { return n.Text == greeting }) {
		t.Errorf("Eve heard %+v", eves.heard)
	}
	for _, n := range eve.list(t).Notifications {
		if n.Text == greeting {
			t.Errorf("Eve's list has %+v", n)
		}
	}
}

func (s *site) notifiesEverybody(t *testing.T) {
	ada, bob := s.login(t, "Ada"), s.login(t, "Bob")
	tabs := []*tab{ada.open(t), bob.open(t)}
	ada.notifyAll(t, "lunch")
	for _, tab := range tabs {
		if got := tab.hear(t, "lunch"); !got.Everyone || got.From != "Ada" {
			t.Errorf("%s heard %+v", tab.of.name, got)
		}
	}
}

func (s *site) tellsEveryTab(t *testing.T) {
	ada, bob := s.login(t, "Ada"), s.login(t, "Bob")
	elsewhere := s.login(t, "Bob") // the same user in another browser
	tabs := []*tab{bob.open(t), bob.open(t), elsewhere.open(t)}
	before := bob.list(t).Unread
	number, _ := ada.notify(t, "Bob", "for all your tabs")
	for _, tab := range tabs {
		tab.hear(t, "for all your tabs")
	}
	if list := elsewhere.list(t); list.Unread != before+1 {
		t.Errorf("%d unread, were %d", list.Unread, before)
	}

	// What one tab has read, the others hear, and nothing makes it unread again.
	for _, n := range []int{number, number - 1, -5} {
		if read := bob.read(t, n); read != number {
			t.Errorf("read %d: up to %d, want %d", n, read, number)
		}
		for _, tab := range tabs {
			tab.hearRead(t, number)
		}
	}
	if list := elsewhere.list(t); list.Unread != 0 || list.Read != number {
		t.Errorf("after reading: %d unread, read up to %d", list.Unread, list.Read)
	}
	if read := bob.read(t, number+1000); read != number {
		t.Errorf("read what there is not yet: up to %d", read)
	}
}

func (s *site) refusesStrangers(t *testing.T) {
	s.login(t, "Ada")
	nobody := s.stranger(t)
	liar := s.stranger(t)
	liar.cookie = "notifications_session=0123456789abcdef0123456789abcdef"
	for _, u := range []*user{nobody, liar} {
		u.want(t, 401, "/credentials", map[string]any{})
		u.want(t, 401, "/notify", map[string]any{"to": "Ada", "text": "hello"})
		u.want(t, 401, "/read", map[string]any{"number": 1})
		if status := u.do(t, http.MethodGet, "/notifications", "", nil); status != 401 {
			t.Errorf("list: status %d, want 401", status)
		}
		u.want(t, 204, "/logout", map[string]any{})
	}
}

func (s *site) refusesOtherSites(t *testing.T) {
	ada := s.login(t, "Ada")
	for _, origin := range []string{"http://evil.example", "null", "http://127.0.0.1:1", s.url + ".evil.example", s.srv.Public} {
		ada.origin = origin
		for _, path := range []string{"/login", "/logout", "/credentials", "/notify", "/read"} {
			ada.want(t, 403, path, map[string]any{"name": "Ada", "everyone": true, "text": "spam", "number": 1})
		}
	}
	ada.origin = s.url
	ada.want(t, 200, "/credentials", map[string]any{})
	if list := ada.list(t); slices.ContainsFunc(list.Notifications, func(n notification) bool { return n.Text == "spam" }) {
		t.Error("another site could notify")
	}
}

func (s *site) refusesBadInput(t *testing.T) {
	ada := s.login(t, "Ada")
	for _, name := range []any{"", "   ", strings.Repeat("x", 41), "bell\a", "two\nlines", 5, nil, []string{"a"}} {
		ada.want(t, 400, "/login", map[string]any{"name": name})
	}
	for _, text := range []any{"", " ", strings.Repeat("x", 501), "nul\x00", 5, nil, map[string]string{}} {
		ada.want(t, 400, "/notify", map[string]any{"to": "Ada", "text": text})
	}
	ada.want(t, 404, "/notify", map[string]any{"to": "Nobody", "text": "hello"})
	ada.want(t, 400, "/read", map[string]any{"number": "1"})
	for _, body := range []string{"", "{", "[]", "[1]", "null", `"text"`, "name=Ada", `{"name": "` + strings.Repeat("x", 20<<10) + `"}`} {
		if status := ada.do(t, http.MethodPost, "/login", body, nil); status != 400 {
			t.Errorf("login with the body %.20q: status %d, want 400", body, status)
		}
	}
	if status := ada.do(t, http.MethodPost, "/notify", `{"to": "Ada", "text": "half \ud800"}`, nil); status >= 500 {
		t.Errorf("half a character: status %d", status)
	}

	// Names that are numbers, or something to the language, are names.
	for _, name := range []string{"0", "1", "__proto__", "user:1", "everyone", "*", `\`, strings.Repeat("é", 40)} {
		odd := s.login(t, name)
		tab := odd.open(t)
		ada.notify(t, name, "hello "+name)
		tab.hear(t, "hello "+name)
		if list := odd.list(t); list.Name != name || !slices.Contains(list.People, name) {
			t.Errorf("%q is called %q, among %q", name, list.Name, list.People)
		}
	}
}

// survivesALostAnswer: a back end that does not know whether it was heard says
// it again, and it is heard once.
func (s *site) survivesALostAnswer(t *testing.T) {
	ada, bob := s.login(t, "Ada"), s.login(t, "Bob")
	tab := bob.open(t)
	ada.notify(t, "Bob", "first")
	s.wire.loseAnswer.Store(true)
	if _, live := ada.notify(t, "Bob", "once"); live {
		t.Error("said to have come through, though the answer was lost")
	}
	if _, live := ada.notify(t, "Bob", "twice"); !live {
		t.Error("it still waits")
	}
	tab.hear(t, "twice")
	var history struct{ Messages []struct{ Data notification } }
	if err := json.Unmarshal(s.call(t, "history", map[string]any{"channel": tab.ClientID}), &history); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, m := range history.Messages {
		texts = append(texts, m.Data.Text)
	}
	texts = texts[max(0, len(texts)-3):]
	if !slices.Equal(texts, []string{"first", "once", "twice"}) {
		t.Errorf("the channel ends with %q", texts)
	}
}

// hasTheListAfterAGap: a tab that was away too long is told so, and its list
// has what the channel keeps no more.
func (s *site) hasTheListAfterAGap(t *testing.T) {
	ada, bob := s.login(t, "Ada"), s.login(t, "Bob")
	tab := bob.open(t)
	var texts []string
	for _, c := range "abcdefgh" {
		texts = append(texts, "missed "+string(c))
		ada.notify(t, "Bob", texts[len(texts)-1])
	}
	tab.hearSignal(t, "gap")
	var got []string
	for _, n := range bob.list(t).Notifications {
		got = append(got, n.Text)
	}
	if !strings.HasSuffix(strings.Join(got, "|"), strings.Join(texts, "|")) {
		t.Errorf("list: %q, want it to end with %q", got, texts)
	}
}

// survivesARotatedKey: whoever has the old key is sent for the new one, and
// misses nothing between the two.
func (s *site) survivesARotatedKey(t *testing.T) {
	ada, bob := s.login(t, "Ada"), s.login(t, "Bob")
	tab := bob.open(t)
	s.call(t, "rotate_key", map[string]any{"client_id": tab.ClientID})
	ada.notify(t, "Bob", "meanwhile")
	tab.hearGone(t)
	before := tab.Key
	tab.refresh(t)
	if tab.Key == before {
		t.Error("the key is the old one")
	}
	tab.hear(t, "meanwhile")
}

func (s *site) voidsTheKeyOfWhoLeaves(t *testing.T) {
	ada, bob, elsewhere := s.login(t, "Ada"), s.login(t, "Bob"), s.login(t, "Bob")
	left, stays := bob.open(t), elsewhere.open(t)
	bob.want(t, 204, "/logout", map[string]any{})
	bob.want(t, 401, "/credentials", map[string]any{})
	left.hearGone(t)

	stays.hearGone(t)
	stays.refresh(t)
	ada.notify(t, "Bob", "still there?")
	stays.hear(t, "still there?")
	if status, _ := left.poll(t, 0); status != 404 {
		t.Errorf("a poll with the old key: status %d, want 404", status)
	}
}

// survivesARestart: Shaveet has forgotten everybody, and all is set up again
// by a page that asks for credentials.
func (s *site) survivesARestart(t *testing.T) {
	ada, bob := s.login(t, "Ada"), s.login(t, "Bob")
	tab := bob.open(t)
	ada.notify(t, "Bob", "before")
	s.srv.Restart()
	tab.hearGone(t)
	tab.refresh(t)
	tab.hearSignal(t, "reset") // for which the page asks for its list
	if !slices.ContainsFunc(bob.list(t).Notifications, func(n notification) bool { return n.Text == "before" }) {
		t.Error("the list has lost something")
	}
	ada.notify(t, "Bob", "after")
	tab.hear(t, "after")
	ada.notifyAll(t, "after, to all")
	tab.hear(t, "after, to all")
}

// keepsWhatCannotBeSaid: while Shaveet is down notifications are kept, and said
// when it is back.
func (s *site) keepsWhatCannotBeSaid(t *testing.T) {
	ada, bob := s.login(t, "Ada"), s.login(t, "Bob")
	tab := bob.open(t)
	s.srv.Kill()
	if _, live := ada.notify(t, "Bob", "can you hear me?"); live {
		t.Error("said, though nobody was there to carry it")
	}
	bob.want(t, 502, "/credentials", map[string]any{})
	if read := bob.read(t, 1<<30); read == 0 {
		t.Error("nothing is read")
	}
	list := bob.list(t)
	if n := list.Notifications; list.Unread != 0 || n[len(n)-1].Text != "can you hear me?" {
		t.Errorf("Bob's list: %+v", list)
	}

	s.srv.Restart()
	tab.hearGone(t)
	tab.refresh(t) // has said what waited
	tab.hear(t, "can you hear me?")

	// Nobody's page asks for anything this time: the next notification takes the
	// one before along.
	s.wire.cut.Store(true)
	ada.notify(t, "Bob", "and now?")
	s.wire.cut.Store(false)
	if _, live := ada.notify(t, "Bob", "now?"); !live {
		t.Error("not said, though Shaveet can be reached")
	}
	tab.hear(t, "and now?")
}

// user is somebody in a browser of their own.
type user struct {
	site   *site
	name   string
	client http.Client
	origin string // what the browser says it comes from
	cookie string // instead of what the site has set
}

func (s *site) stranger(t *testing.T) *user {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &user{site: s, client: http.Client{Timeout: 40 * time.Second, Jar: jar}, origin: s.url}
}

func (s *site) login(t *testing.T, name string) *user {
	t.Helper()
	u := s.stranger(t)
	u.want(t, 200, "/login", map[string]any{"name": name})
	u.name = strings.TrimSpace(name)
	return u
}

type notification struct {
	Type     string
	Number   int
	From     string
	Text     string
	Time     float64
	Everyone bool
}

type listing struct {
	Name          string
	Notifications []notification
	Unread, Read  int
	People        []string
}

func (u *user) list(t *testing.T) (l listing) {
	t.Helper()
	if status := u.do(t, http.MethodGet, "/notifications", "", &l); status != 200 {
		t.Fatalf("list of %s: status %d", u.name, status)
	}
	return l
}

func (u *user) notify(t *testing.T, to, text string) (number int, live bool) {
	t.Helper()
	return u.send(t, map[string]any{"to": to, "everyone": false, "text": text})
}

func (u *user) notifyAll(t *testing.T, text string) {
	t.Helper()
	u.send(t, map[string]any{"to": "", "everyone": true, "text": text})
}

func (u *user) send(t *testing.T, what map[string]any) (number int, live bool) {
	t.Helper()
	var sent struct {
		Number int
		Live   bool
	}
	if status := u.do(t, http.MethodPost, "/notify", encode(t, what), &sent); status != 200 {
		t.Fatalf("notify %v: status %d", what, status)
	}
	return sent.Number, sent.Live
}

func (u *user) read(t *testing.T, number int) int {
	t.Helper()
	var read struct{ Number int }
	if status := u.do(t, http.MethodPost, "/read", encode(t, map[string]any{"number": number}), &read); status != 200 {
		t.Fatalf("read: status %d", status)
	}
	return read.Number
}

func (u *user) want(t *testing.T, status int, path string, body any) {
	t.Helper()
	if got := u.do(t, http.MethodPost, path, encode(t, body), nil); got != status {
		t.Errorf("POST %s %.200s from %s: status %d, want %d", path, encode(t, body), u.origin, got, status)
	}
}

func (u *user) do(t *testing.T, method, path, body string, into any) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, u.site.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Origin", u.origin)
	}
	if u.cookie != "" {
		req.Header.Set("Cookie", u.cookie)
	}
	resp, err := u.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		if c.MaxAge >= 0 && (!c.HttpOnly || c.SameSite != http.SameSiteStrictMode) {
			t.Errorf("the cookie is %s", c)
		}
	}
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

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tab is a page that is open, as shaveet.js reads for it.
type tab struct {
	of       *user
	ClientID string
	Key      string
	Cursor   string
	Channels []string
	URL      string
	heard    []notification
}

// drawn is a client's id: nothing of a name is in it.
var drawn = regexp.MustCompile(`^user:[0-9A-Za-z]{26,32}$`)

// open does what a page does when it opens.
func (u *user) open(t *testing.T) *tab {
	t.Helper()
	tab := &tab{of: u}
	tab.refresh(t)
	if tab.URL != u.site.srv.Public || !drawn.MatchString(tab.ClientID) || !slices.Equal(tab.Channels, []string{tab.ClientID, "everyone"}) {
		t.Fatalf("credentials: %+v", tab)
	}
	// The library asks once for an answer at once.
	if status, b := tab.poll(t, 0); status != 200 || len(b.Messages) > 0 {
		t.Fatalf("the first poll: status %d, %+v", status, b)
	}
	return tab
}

// refresh asks for credentials. The position stays, as it does in the library.
func (tb *tab) refresh(t *testing.T) {
	t.Helper()
	cursor := tb.Cursor
	if status := tb.of.do(t, http.MethodPost, "/credentials", "{}", tb); status != 200 {
		t.Fatalf("credentials: status %d", status)
	}
	if cursor != "" {
		tb.Cursor = cursor
	}
}

type signal struct{ Type string }

type batch struct {
	Cursor  string
	Signals []signal

	Messages []struct {
		Channel string
		Data    notification
	}
}

func (tb *tab) poll(t *testing.T, wait time.Duration) (status int, b batch) {
	t.Helper()
	body := encode(t, map[string]any{
		"clients": []any{map[string]string{"id": tb.ClientID, "key": tb.Key}},
		"cursor":  tb.Cursor,
		"wait":    wait.Milliseconds(),
	})
	resp, err := tb.of.client.Post(tb.of.site.srv.Public+"/longpoll", "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&b); err != nil {
		t.Fatal(err)
	}
	if b.Cursor != "" {
		tb.Cursor = b.Cursor
	}
	for _, m := range b.Messages {
		if !slices.Contains(tb.Channels, m.Channel) {
			t.Errorf("%s hears %+v", tb.of.name, m)
		}
		tb.heard = append(tb.heard, m.Data)
	}
	return resp.StatusCode, b
}

// until polls until a batch is what it looks for.
func (tb *tab) until(t *testing.T, what string, is func(status int, b batch) bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		status, b := tb.poll(t, 5*time.Second)
		if is(status, b) {
			return
		}
		if status != 200 {
			t.Fatalf("%s waits for %s: status %d, %+v", tb.of.name, what, status, b)
		}
	}
	t.Fatalf("%s: %s did not come", tb.of.name, what)
}

func (tb *tab) hear(t *testing.T, text string) (heard notification) {
	t.Helper()
	tb.until(t, text, func(_ int, b batch) bool {
		for _, m := range b.Messages {
			if m.Data.Text == text {
				heard = m.Data
				return true
			}
		}
		return false
	})
	return heard
}

func (tb *tab) hearRead(t *testing.T, number int) {
	t.Helper()
	tb.until(t, "read", func(_ int, b batch) bool {
		return len(b.Messages) > 0 && b.Messages[0].Data.Type == "read" && b.Messages[0].Data.Number == number
	})
}

func (tb *tab) hearSignal(t *testing.T, name string) {
	t.Helper()
	tb.until(t, name, func(_ int, b batch) bool { return slices.Contains(b.Signals, signal{name}) })
}

// hearGone: the key is not good any more.
func (tb *tab) hearGone(t *testing.T) {
	t.Helper()
	tb.until(t, "gone", func(status int, b batch) bool {
		return status == 404 && len(b.Signals) == 1 && b.Signals[0].Type == "gone"
	})
}

// call is one of the admin API.
func (s *site) call(t *testing.T, method string, params any) json.RawMessage {
	t.Helper()
	body := encode(t, map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	resp, err := http.Post(s.srv.Main+"/", "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Result, Error json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.Error != nil {
		t.Fatalf("%s: %s", method, answer.Error)
	}
	return answer.Result
}

// TestPage is the page in a real browser: browser/page.mjs tells the story.
// With PICTURES set to a folder it leaves screenshots there.
func TestPage(t *testing.T) {
	live.Track(t, sources...)
	live.Track(t, "browser/page.mjs", "../../client-js/test/browser/browser.mjs", "../../client-js/dist/shaveet.js")
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			if b.name != "go" && os.Getenv("SHAVEET_LONG") == "" {
				t.Skip("the page sees no difference between the back ends; SHAVEET_LONG=1 tries all")
			}
			srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--config", "shaveet.toml")
			start(t, b.command(t), srv).letsTheBrowserTell(t)
		})
	}
}

func (s *site) letsTheBrowserTell(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), live.Tool(t, "node"), "browser/page.mjs")
	cmd.Env = append(os.Environ(), "PAGE="+s.url+"/")
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wishes := map[string]func(){
		"stop":   s.srv.Kill,
		"start":  s.srv.Restart,
		"rotate": func() { s.rotateAll(t) },
		"done":   func() {},
	}
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		last = lines.Text()
		grant, ok := wishes[last]
		if !ok {
			t.Errorf("the browser says: %s", last)
			continue
		}
		grant()
		if last == "done" {
			continue // nobody waits for an answer
		}
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); err != nil || last != "done" {
		t.Errorf("the browser's last word was %q: %v", last, err)
	}
}

func (s *site) rotateAll(t *testing.T) {
	var all struct{ Clients []struct{ ID string } }
	if err := json.Unmarshal(s.call(t, "clients", map[string]any{"pattern": "user:*"}), &all); err != nil {
		t.Fatal(err)
	}
	for _, c := range all.Clients {
		s.call(t, "rotate_key", map[string]any{"client_id": c.ID})
	}
}
