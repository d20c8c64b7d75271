package rooms_test

import (
	"flag"
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

func TestMain(m *testing.M) {
	flag.Parse()
	// Those that run side by side wait most of the time, also on two processors.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	live.Main(m)
}

// backends are the two programs of this example. They do the same, so they are
// held to the same story.
var backends = []struct {
	name    string
	command func(t *testing.T) *exec.Cmd
}{
	{"go", func(t *testing.T) *exec.Cmd {
		path := filepath.Join(t.TempDir(), "rooms")
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, "./go").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		return exec.Command(path)
	}},
	{"python", func(t *testing.T) *exec.Cmd {
		return exec.Command(live.Tool(t, "python3"), "python/rooms.py")
	}},
}

var sources = []string{
	"shaveet.toml", "go/main.go", "go/roomsapp/roomsapp.go", "go/roomsapp/rooms.go", "go/roomsapp/shaveet.go", "python/rooms.py",
	"page/choose.html", "page/main.html", "page/room.html", "page/rooms.css",
	"page/common.js", "page/poll.js", "page/choose.js", "page/main.js", "page/room.js",
}

func TestBackends(t *testing.T) {
	t.Parallel()
	live.Track(t, sources...)
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--config", "shaveet.toml")
			site := start(t, b.command, srv)
			t.Run("pages", site.servesThePages)
			t.Run("talk", site.carriesTalk)
			t.Run("backlog", site.showsTheBacklog)
			t.Run("two rooms", site.pollsForAllRooms)
			t.Run("poll", site.sendsThePollOn)
			t.Run("timeout", site.endsThePollAfterTenSeconds)
			t.Run("strangers", site.refusesStrangers)
			t.Run("crowd", site.refusesOneOfACrowd)
			t.Run("earlier", site.killsNobodyWhoWasThere)
			t.Run("other sites", site.refusesOtherSites)
			t.Run("input", site.refusesBadInput)
			t.Run("forms", site.readsForms)
			t.Run("retry", site.survivesALostAnswer)
			t.Run("restart", site.survivesARestart)
			t.Run("own restart", site.survivesItsOwnRestart)
			t.Run("outage", site.reportsAnOutage)
		})
	}
}

// site is a running back end, and the Shaveet beside it.
type site struct {
	url     string
	srv     *live.Server
	command func(t *testing.T) *exec.Cmd
	rooms   string // ROOMS, if not as in the tutorial
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:[1-9]\d*`)

func start(t *testing.T, command func(*testing.T) *exec.Cmd, srv *live.Server, rooms ...string) *site {
	t.Helper()
	s := &site{srv: srv, command: command, rooms: strings.Join(rooms, ",")}
	cmd := command(t)
	cmd.Env = append(os.Environ(), "PORT=0", "SHAVEET_RPC="+srv.Main+"/", "SHAVEET_PUBLIC="+srv.Public, "SHAVEET_TOKEN=", "ROOMS="+s.rooms)
	output := live.Run(t, cmd)
	live.Until(t, "the back end's address", 30*time.Second, func() bool {
		s.url = address.FindString(output())
		return s.url != "" && live.Answers(s.url)
	})
	return s
}

func (s *site) servesThePages(t *testing.T) {
	for path, script := range map[string]string{"/": "choose.js", "/ann": "main.js", "/python/ann": "../room.js"} {
		resp, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		page, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(page), `src="`+script+`"`) {
			t.Errorf("%s does not have %s:\n%s", path, script, page)
		}
		policy := resp.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none';", "script-src 'self';", "connect-src 'self' " + s.srv.Public + ";", "frame-ancestors 'self'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: no %q in %q", path, want, policy)
			}
		}
		set := resp.Header.Get("Set-Cookie")
		for _, want := range []string{"rooms_session=", "HttpOnly", "SameSite=Lax", "Path=/"} {
			if !strings.Contains(set, want) {
				t.Errorf("%s: no %s in the cookie %q", path, want, set)
			}
		}
		if got := resp.Header.Get("Cache-Control") + " " + resp.Header.Get("X-Content-Type-Options"); got != "no-store nosniff" {
			t.Errorf("%s: headers %q", path, got)
		}
	}
	for name, media := range map[string]string{"/room.js": "text/javascript", "/rooms.css": "text/css"} {
		resp, err := http.Get(s.url + name)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || !strings.HasPrefix(got, media) {
			t.Errorf("%s: status %d, Content-Type %q", name, resp.StatusCode, got)
		}
	}
	for path, want := range map[string]int{
		"/nothing.js": 400, "/choose.html": 400, "/ruby/ann": 404, "/put/python/ann": 405, "/poll/ann": 405, "/a/b/c": 404, "/python/a:b": 400, "/a%2Fb": 400, "/%2e%2e": 400,
		"/python/" + strings.Repeat("x", 21): 400, "/%20ann": 400, "/%ff": 400,
	} {
		ann := s.newcomer(t, "ann")
		status, header := ann.do(http.MethodGet, s.url+path, nil, nil)
		if allow := header.Get("Allow"); status != want || (want == 405) != (allow == "POST") {
			t.Errorf("GET %s: status %d, Allow %q, want %d", path, status, allow, want)
		}
	}
}

const hello = "<b>hé</b> & \"you\": \U0001F600"

func (s *site) carriesTalk(t *testing.T) {
	ann, bob := s.newcomer(t, "ann"), s.newcomer(t, "Bób Ж2")
	a := ann.join("python")
	b := bob.join("python")
	if got := names(b.Here); !slices.Equal(got, []string{"Bób Ж2", "ann"}) && !slices.Equal(got, []string{"ann", "Bób Ж2"}) {
		t.Errorf("here: %q", got)
	}
	bob.say(204, "python", hello)
	ann.hears(&a.Cursor, "Bób Ж2: "+hello)
	bob.hears(&b.Cursor, "Bób Ж2: "+hello) // who says it hears it too, as in the tutorial

	var list struct {
		UID   string
		Rooms []struct {
			Name string
			Here int
		}
	}
	if status := ann.get("/ann", &list); status != 200 || list.UID != "ann" || len(list.Rooms) != 2 ||
		list.Rooms[0].Name != "python" || list.Rooms[0].Here != 2 || list.Rooms[1].Name != "django" || list.Rooms[1].Here != 0 {
		t.Errorf("the rooms: %d %+v", status, list)
	}
}

func (s *site) showsTheBacklog(t *testing.T) {
	ann := s.newcomer(t, "backlog")
	var want []string
	for i := range 30 {
		text := "line " + string(rune('a'+i))
		if i >= 26 {
			text = "line 2" + string(rune('a'+i-26))
		}
		ann.say(204, "django", text)
		want = append(want, "backlog: "+text)
	}
	in := s.newcomer(t, "late").join("django")
	var got []string
	for _, m := range in.Messages {
		got = append(got, m.Data)
	}
	if !slices.Equal(got, want[5:]) || !in.More {
		t.Errorf("the backlog is %q, more: %v; want the last 25 of %q", got, in.More, want)
	}
}

// pollsForAllRooms: a name is in two rooms, and in two tabs. Each tab hears all.
func (s *site) pollsForAllRooms(t *testing.T) {
	ann := s.newcomer(t, "both")
	first := ann.join("python")
	second := ann.join("django")
	if !slices.Equal(second.In, []string{"python", "django"}) {
		t.Errorf("in %q", second.In)
	}
	bob := s.newcomer(t, "bob")
	bob.say(204, "django", "one")
	bob.say(204, "python", "two")
	for _, cursor := range []*string{&first.Cursor, &second.Cursor} {
		ann.hears(cursor, "bob: one", "bob: two")
	}
}

func (s *site) sendsThePollOn(t *testing.T) {
	ann := s.newcomer(t, "poller")
	in := ann.join("python")
	status, header := ann.post("/poll/poller", url.Values{"cursor": {in.Cursor}, "session": {"abc"}})
	to, err := url.Parse(header.Get("Location"))
	if err != nil || status != 303 || to.Scheme+"://"+to.Host != s.srv.Public || to.Path != "/longpoll" {
		t.Fatalf("status %d, Location %q", status, header.Get("Location"))
	}
	query := to.Query()
	if query.Get("wait") != "10000" || query.Get("cursor") != in.Cursor || query.Get("session") != "abc" ||
		!strings.HasPrefix(query.Get("client_id"), in.Client+"_!!_") {
		t.Errorf("sent on to %s", to)
	}
	if header.Get("Referrer-Policy") != "no-referrer" {
		t.Error("the key may end up in a Referer")
	}
}

func (s *site) endsThePollAfterTenSeconds(t *testing.T) {
	ann := s.newcomer(t, "patient")
	ann.say(204, "python", "here")
	in := ann.join("python")
	for range 3 {
		begun := time.Now()
		messages, signals := ann.polls(&in.Cursor)
		if messages != nil || signals > 0 {
			continue
		}
		if took := time.Since(begun); took < 9*time.Second || took > 15*time.Second {
			t.Errorf("an empty poll took %v", took)
		}
		return
	}
	t.Error("there is always something new")
}

func (s *site) refusesOtherSites(t *testing.T) {
	host := strings.TrimPrefix(s.url, "http://")
	ann := s.newcomer(t, "origin")
	ann.join("python")
	for _, test := range []struct {
		header, value string
		ok            bool
	}{
		{"Sec-Fetch-Site", "cross-site", false},
		{"Sec-Fetch-Site", "same-site", false},
		{"Sec-Fetch-Site", "same-origin", true},
		{"Origin", "https://example.org", false},
		{"Origin", "null", false},
		{"Origin", "http://127.0.0.1:1", false},
		{"Origin", "http://" + host, true},
	} {
		ann.header = http.Header{test.header: {test.value}}
		want := map[string]int{"put": 403, "poll": 403, "get": 403}
		if test.ok {
			want = map[string]int{"put": 204, "poll": 303, "get": 200}
		}
		ann.say(want["put"], "python", "hi")
		if status, _ := ann.post("/poll/origin", nil); status != want["poll"] {
			t.Errorf("poll with %s %s: status %d", test.header, test.value, status)
		}
		if status := ann.get("/python/origin", nil); status != want["get"] {
			t.Errorf("join with %s %s: status %d", test.header, test.value, status)
		}
	}
}

func (s *site) refusesBadInput(t *testing.T) {
	ann := s.newcomer(t, "input")
	ann.join("python")
	for _, text := range []string{"", " \n", strings.Repeat("x", 2001), "nul\x00", "bell\a", "\xff", "del\x7f"} {
		ann.say(400, "python", text)
	}
	ann.say(413, "python", strings.Repeat("x", 40<<10))
	ann.say(204, "python", strings.Repeat("é", 2000))
	ann.say(404, "ruby", "hi")
	for path, want := range map[string]int{"/put/python/a.b": 400, "/poll/a:b": 400, "/put/python": 405, "/input": 405, "/a/b/c/d": 404} {
		if status, _ := ann.post(path, url.Values{"message": {"hi"}}); status != want {
			t.Errorf("POST %s: status %d, want %d", path, status, want)
		}
	}
	if status, _ := ann.post("/poll/input", url.Values{"room": {"ruby"}}); status != 404 {
		t.Errorf("poll for a room that is none: status %d", status)
	}
	if status, _ := ann.post("/put/python/input", url.Values{"message": {"hi"}, "id": {"a/b"}}); status != 400 {
		t.Errorf("put with a bad id: status %d", status)
	}
	ann.header = http.Header{"Content-Type": {"application/json"}}
	ann.say(400, "python", "no form")
}

func (s *site) survivesALostAnswer(t *testing.T) {
	ann := s.newcomer(t, "retry")
	in := ann.join("python")
	for _, text := range []string{"once", "once"} {
		if status, _ := ann.post("/put/python/retry", url.Values{"message": {text}, "id": {"1"}}); status != 204 {
			t.Errorf("status %d", status)
		}
	}
	if status, _ := ann.post("/put/python/retry", url.Values{"message": {"another"}, "id": {"1"}}); status != 409 {
		t.Errorf("another message under the same id: status %d, want 409", status)
	}
	ann.say(204, "python", "end")
	ann.hears(&in.Cursor, "retry: once", "retry: end")
}

// survivesARestart: Shaveet has forgotten everybody. The next poll brings back
// who was there, into all the rooms that their page names.
func (s *site) survivesARestart(t *testing.T) {
	ann, bob := s.newcomer(t, "phoenix"), s.newcomer(t, "bystander")
	in := ann.join("python")
	ann.join("django")
	s.srv.Restart()
	ann.rooms = []string{"python", "django"}
	ann.comesBack(&in.Cursor)
	bob.say(204, "python", "still there?")
	bob.say(204, "django", "and here?")
	ann.hears(&in.Cursor, "bystander: still there?", "bystander: and here?")
	ann.say(204, "python", "yes")
	ann.hears(&in.Cursor, "phoenix: yes")
}

// survivesItsOwnRestart: another process, which knows nobody, goes on.
func (s *site) survivesItsOwnRestart(t *testing.T) {
	ann, thief := s.newcomer(t, "keeper"), s.newcomer(t, "keeper")
	in := ann.join("python")
	ann.say(204, "python", "before")
	next := start(t, s.command, s.srv)
	ann.url, thief.url = next.url, next.url
	thief.cookie(strings.Repeat("0", 32))
	thief.say(409, "python", "I am keeper")
	ann.cookie(ann.secret(s.url))
	ann.say(204, "python", "after")
	ann.hears(&in.Cursor, "keeper: before", "keeper: after")
}

func (s *site) reportsAnOutage(t *testing.T) {
	ann := s.newcomer(t, "outage")
	ann.join("python")
	s.srv.Kill()
	ann.say(502, "python", "anyone?")
	if status := ann.get("/python/outage", nil); status != 502 {
		t.Errorf("join: status %d, want 502", status)
	}
	if status, _ := ann.post("/poll/outage", nil); status != 502 {
		t.Errorf("poll: status %d, want 502", status)
	}
}

func TestRooms(t *testing.T) {
	t.Parallel()
	live.Track(t, sources...)
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, b.command, live.Start(t, "--public-listen", "127.0.0.1:0"), "ruby", "rails 3")
			ann := s.newcomer(t, "ann")
			if in := ann.join("rails 3"); !slices.Equal(in.Rooms, []string{"ruby", "rails 3"}) {
				t.Errorf("rooms: %q", in.Rooms)
			}
			ann.say(404, "python", "hi")
			ann.say(204, "ruby", "hi")
		})
	}
}
