package socketiochat_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

func TestForms(t *testing.T) {
	t.Parallel()
	live.Track(t, sources...)
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := f.start(t)
			t.Run("page", s.servesThePage)
			t.Run("talk", s.carriesTalk)
			t.Run("names", s.knowsWhoIsThere)
			t.Run("rooms", s.keepsRoomsApart)
			t.Run("input", s.refusesBadInput)
			t.Run("back", s.hasPeopleComeBack)
			t.Run("crowd", s.tellsACrowd)
			t.Run("restart", s.survivesARestart)
			if s.backend != nil {
				t.Run("webhook", s.believesShaveetAlone)
				t.Run("once", s.forgetsNoCall)
				t.Run("holes", s.asksForAll)
				t.Run("own restart", s.survivesItsOwnRestart)
				t.Run("outage", s.reportsAnOutage)
			}
		})
	}
}

func (s *site) servesThePage(t *testing.T) {
	push := "http://" + s.wire.address()
	for path, want := range map[string]string{
		"/": `src="` + push + `/socket.io/socket.io.min.js"`, "/talk.js": "io(", "/talk.css": "--ground",
	} {
		resp, err := http.Get(s.page + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(text), want) || strings.Contains(string(text), "__SHAVEET__") {
			t.Errorf("%s: %d, without %s:\n%.500s", path, resp.StatusCode, want, text)
		}
		policy := resp.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none';", "script-src 'self' " + push + ";", "connect-src 'self' " + push + " ws://" + s.wire.address() + ";", "frame-ancestors 'self'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: no %q in %q", path, want, policy)
			}
		}
		if got := resp.Header.Get("Cache-Control") + " " + resp.Header.Get("X-Content-Type-Options"); got != "no-store nosniff" {
			t.Errorf("%s: headers %q", path, got)
		}
	}
	for _, path := range []string{"/nothing", "/index.html", "/talk.py", "/%2e%2e/README.md"} {
		resp, err := http.Get(s.page + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

const hostile = `<b>hé</b> & "you": 😀`

func (s *site) carriesTalk(t *testing.T) {
	ann := s.enter(t, "ann", "lobby")
	bob := s.enter(t, "Bób Ж", "lobby")
	eve := s.enter(t, "eve", "attic")
	ann.hearsAnnounced("Bób Ж has connected", "Bób Ж", "ann")
	for _, p := range []*person{ann, bob, eve} {
		p.hearsAnnounced("eve has connected", "Bób Ж", "ann", "eve") // whatever room they are in
	}
	bob.asks("user message", hostile).is(true)
	ann.asks("user message", "line one\n\tline two").is(true)
	eve.asks("user message", "anybody here?").is(true)
	ann.hearsSaid("Bób Ж", hostile)
	bob.hearsSaid("ann", "line one\n\tline two")
	bob.write("42/chat,[\"user message\",\"no answer\"]")
	ann.hearsSaid("Bób Ж", "no answer")
	eve.asks("user message", "really nobody?").is(true)
	s.hasHeard(t, map[*person][]string{
		ann: {plain([]string{"Bób Ж", hostile}), plain([]string{"Bób Ж", "no answer"})},
		bob: {plain([]string{"ann", "line one\n\tline two"})},
		eve: nil,
	})
	s.allLeave(t, ann, bob, eve)
}

// allLeave has everybody go, and waits until nobody is there.
func (s *site) allLeave(t *testing.T, all ...*person) {
	t.Helper()
	watcher := s.come(t, nil)
	for _, p := range all {
		p.write("41/chat,")
	}
	last := func(e string) bool { return strings.HasPrefix(e, "nicknames[[]") }
	watcher.hears(last)
}

func (s *site) knowsWhoIsThere(t *testing.T) {
	ann := s.enter(t, "ann", "lobby")
	thief := s.come(t, nil)
	thief.asks("nickname", "ann").is(false)
	thief.asks("nickname", "Ann").is(true, "Ann")
	ann.hearsAnnounced("Ann has connected", "Ann", "ann")
	ann.asks("nickname", "ann").is(true, "ann") // again
	ann.asks("nickname", "Ann").is(false)
	ann.asks("nickname", "lovelace").is(true, "lovelace")
	thief.hearsAnnounced("ann is now known as lovelace", "Ann", "lovelace")
	thief.asks("nickname", "ann").is(true, "ann") // free again
	ann.hearsAnnounced("Ann is now known as ann", "ann", "lovelace")
	thief.write("41/chat,")
	ann.hearsAnnounced("ann has disconnected", "lovelace")
	next := s.come(t, nil)
	next.asks("nickname", "ann").is(true, "ann")
	s.allLeave(t, ann, next)
}

func (s *site) keepsRoomsApart(t *testing.T) {
	ann, bob := s.enter(t, "ann", "one"), s.enter(t, "bob", "one")
	bob.asks("join", "one").is(true) // again
	ann.asks("user message", "1").is(true)
	bob.hearsSaid("ann", "1")
	bob.asks("join", "two").is(true)
	ann.asks("user message", "2").is(true)
	ann.asks("join", "two").is(true)
	ann.asks("user message", "3").is(true)
	bob.hearsSaid("ann", "3")
	bob.asks("join", "three").is(true)
	ann.asks("user message", "4").is(true)
	s.hasHeard(t, map[*person][]string{ann: nil, bob: {`["ann","1"]`, `["ann","3"]`}})
	s.allLeave(t, ann, bob)
}

func (s *site) refusesBadInput(t *testing.T) {
	ann := s.come(t, nil)
	ann.asks("user message", "before all").is(false)
	ann.asks("join", "lobby").is(true)
	ann.asks("user message", "without a name").is(false)
	long := strings.Repeat("é", 20)
	for _, name := range []string{"", " \n", long + "x", "nul\x00", "bell\a", "del\x7f", "two\u0085lines"} {
		ann.asks("nickname", name).is(false)
		ann.asks("join", name).is(false)
	}
	ann.asks("nickname", long).is(true, long)
	for _, text := range []string{"", " \n\t", strings.Repeat("x", 2001), "bell\a"} {
		ann.asks("user message", text).is(false)
	}
	ann.asks("user message", strings.Repeat("é", 2000)).is(true)
	for _, args := range [][]any{{}, {nil}, {5}, {[]int{}}, {map[string]int{}}} {
		for _, event := range []string{"join", "nickname", "user message"} {
			if got := ann.asks(event, args...); got.args[0] == true {
				t.Errorf("%s is answered with %v", got.question, got.args)
			}
		}
	}
	ann.asks("join", "lobby", "and", "more").is(true)
	if got := ann.asks("toString").isError(); got != "unknown_event" {
		t.Errorf("an event that there is not: %s", got)
	}
	s.allLeave(t, ann)
}

// hasPeopleComeBack: who has lost the connection hears what was said meanwhile,
// and has the name again, unless somebody was faster.
func (s *site) hasPeopleComeBack(t *testing.T) {
	ann, bob := s.enter(t, "ann", "lobby"), s.enter(t, "bob", "lobby")
	ann.hearsAnnounced("bob has connected", "ann", "bob")
	bob.conn.CloseNow()
	ann.hearsAnnounced("bob has disconnected", "ann")
	ann.asks("user message", "where are you?").is(true)
	back := s.come(t, bob)
	if back.sid != bob.sid {
		t.Fatalf("bob is another one")
	}
	back.hearsSaid("ann", "where are you?")
	back.asks("user message", "who am I?").is(false)
	back.asks("join", "lobby").is(true)
	back.asks("nickname", "bob").is(true, "bob")
	ann.hearsAnnounced("bob has connected", "ann", "bob")
	back.asks("user message", "here").is(true)
	ann.hearsSaid("bob", "here")

	back.conn.CloseNow()
	ann.hearsAnnounced("bob has disconnected", "ann")
	thief := s.enter(t, "bob", "lobby")
	back = s.come(t, back)
	back.asks("nickname", "bob").is(false)
	back.asks("nickname", "robert").is(true, "robert")
	s.allLeave(t, ann, back, thief)
}

// tellsACrowd: many come at once, and the last list has all of them.
func (s *site) tellsACrowd(t *testing.T) {
	watcher := s.enter(t, "watcher", "lobby")
	const many = 20
	crowd := make([]*person, many)
	names := []string{"watcher"}
	for i := range crowd {
		crowd[i] = s.come(t, nil)
		name := fmt.Sprint("person ", i)
		names = append(names, name)
		crowd[i].write(fmt.Sprintf(`42/chat,["nickname",%q]`, name)) // nobody waits for the others
	}
	slices.Sort(names)
	// The newest is the one with the highest number, where they have one.
	newest, number := []string(nil), -1.0
	for slices.Compare(newest, names) != 0 {
		event := watcher.hears(func(e string) bool { return strings.HasPrefix(e, "nicknames") })
		var args []any
		if err := json.Unmarshal([]byte(strings.TrimPrefix(event, "nicknames")), &args); err != nil {
			t.Fatal(err)
		}
		if len(args) > 1 && args[1].(float64) < number {
			continue
		} else if len(args) > 1 {
			number = args[1].(float64)
		}
		newest = nil
		for _, name := range args[0].([]any) {
			newest = append(newest, name.(string))
		}
		slices.Sort(newest)
	}
	s.allLeave(t, append(crowd, watcher)...)
}

// survivesARestart: Shaveet has forgotten everybody, and nobody is there.
func (s *site) survivesARestart(t *testing.T) {
	ann := s.enter(t, "ann", "lobby")
	s.restart()
	bob := s.enter(t, "bob", "lobby")
	bob.hearsAnnounced("bob has connected", "bob")
	back := s.come(t, ann)
	if back.sid == ann.sid {
		t.Error("ann is the same")
	}
	back.asks("user message", "nobody yet").is(false)
	back.asks("join", "lobby").is(true)
	back.asks("nickname", "ann").is(true, "ann")
	bob.hearsAnnounced("ann has connected", "ann", "bob")
	back.asks("user message", "here").is(true)
	bob.hearsSaid("ann", "here")
	s.allLeave(t, back, bob)
}

// survivesItsOwnRestart: another process knows who is there, and in which room.
func (s *site) survivesItsOwnRestart(t *testing.T) {
	ann, bob := s.enter(t, "ann", "lobby"), s.enter(t, "bob", "lobby")
	s.backend()
	ann.asks("nickname", "bob").is(false)
	ann.asks("user message", "still here").is(true)
	bob.hearsSaid("ann", "still here")
	s.kill()
	bob.write("41/chat,") // nobody can be told now
	s.backend()
	ann.hearsAnnounced("bob has disconnected", "ann")
	ann.asks("nickname", "bob").is(true, "bob")

	eve := s.enter(t, "eve", "lobby")
	eve.conn.CloseNow()
	ann.hearsAnnounced("eve has disconnected", "bob")
	back := s.come(t, eve) // but does not say so
	s.backend()
	back.asks("user message", "who am I?").is(false)
	s.allLeave(t, ann, back)
}

func (s *site) reportsAnOutage(t *testing.T) {
	ann := s.enter(t, "ann", "lobby")
	s.kill()
	if kind := ann.asks("user message", "anyone?").isError(); kind != "handler_unavailable" && kind != "handler_timeout" {
		t.Errorf("without a back end: %s", kind)
	}
}
