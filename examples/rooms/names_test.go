package rooms_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// asks makes calls of Shaveet's admin API, all of one method, and returns the
// answers.
func (s *site) asks(t *testing.T, method string, params ...map[string]any) []json.RawMessage {
	t.Helper()
	var calls []map[string]any
	for _, p := range params {
		calls = append(calls, map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": p})
	}
	body, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(s.srv.Main+"/", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answers []struct{ Result, Error json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&answers); err != nil {
		t.Fatal(err)
	}
	var results []json.RawMessage
	for _, a := range answers {
		if a.Error != nil {
			t.Fatalf("%s: %s", method, a.Error)
		}
		results = append(results, a.Result)
	}
	return results
}

// living are the clients that live and match.
func (s *site) living(t *testing.T, pattern string) (ids []string) {
	t.Helper()
	var page struct{ Clients []struct{ ID, State string } }
	if err := json.Unmarshal(s.asks(t, "clients", map[string]any{"pattern": pattern, "limit": 1000})[0], &page); err != nil {
		t.Fatal(err)
	}
	for _, c := range page.Clients {
		if c.State == "live" {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// last is a newcomer whose client comes last in a list of its namesakes, and
// the client's id.
func (s *site) last(t *testing.T, uid string) (b *browser, id string) {
	t.Helper()
	b = s.newcomer(t, uid)
	for i := 0; ; i++ {
		secret := fmt.Sprintf("%08x%s", i, b.secret(s.url)[8:])
		sum := sha256.Sum256([]byte(secret))
		if mark := hex.EncodeToString(sum[:16]); strings.HasPrefix(mark, "ff") {
			b.cookie(secret)
			return b, "rooms:" + uid + ":" + mark
		}
	}
}

func (s *site) refusesStrangers(t *testing.T) {
	ann, thief := s.newcomer(t, "owner"), s.newcomer(t, "owner")
	ann.join("python")
	bare := s.bare(t, "owner")
	if status, _ := bare.post("/put/python/owner", url.Values{"message": {"hi"}}); status != 403 {
		t.Errorf("put without the cookie: status %d", status)
	}
	if status, _ := bare.post("/poll/owner", nil); status != 403 {
		t.Errorf("poll without the cookie: status %d", status)
	}
	for _, path := range []string{"/owner", "/python/owner"} {
		if status := thief.get(path, nil); status != 409 {
			t.Errorf("GET %s with another cookie: status %d, want 409", path, status)
		}
	}
	thief.say(409, "python", "I am owner")
	if status, header := thief.post("/poll/owner", nil); status != 409 || header.Get("Location") != "" {
		t.Errorf("poll with another cookie: status %d, %q", status, header.Get("Location"))
	}
	for _, weak := range []string{"", "x", strings.Repeat("A", 32)} {
		bare.cookie(weak)
		if status, _ := bare.post("/poll/owner", nil); status != 403 {
			t.Errorf("poll with the cookie %q: status %d", weak, status)
		}
	}
	in := ann.join("python") // and is still who she was
	if n := len(slices.DeleteFunc(names(in.Here), func(name string) bool { return name != "owner" })); n != 1 {
		t.Errorf("owner is there %d times: %q", n, in.Here)
	}
	for _, m := range in.Messages {
		if strings.Contains(m.Data, "I am owner") {
			t.Error("a stranger was heard")
		}
	}
}

// refusesOneOfACrowd: of whoever else there is under a name, there may be more
// than one answer of Shaveet holds.
func (s *site) refusesOneOfACrowd(t *testing.T) {
	ann, id := s.last(t, "crowd")
	if in := ann.join("python"); in.Client != id {
		t.Errorf("the client is %s, want %s", in.Client, id)
	}
	joined := time.Now() // those of the same millisecond would be no later
	live.Until(t, "the next millisecond", time.Second, func() bool { return time.Since(joined) > 2*time.Millisecond })
	for part := range 2 {
		var crowd []map[string]any
		for i := range 600 {
			crowd = append(crowd, map[string]any{"client_id": fmt.Sprintf("rooms:crowd:%032x", part*600+i)})
		}
		s.asks(t, "create_client", crowd...)
	}
	for range 3 {
		thief, _ := s.last(t, "crowd")
		for _, path := range []string{"/crowd", "/python/crowd"} {
			if status := thief.get(path, nil); status != 409 {
				t.Errorf("GET %s with another cookie: status %d, want 409", path, status)
			}
		}
		thief.say(409, "python", "I am crowd")
		if status, header := thief.post("/poll/crowd", url.Values{}); status != 409 || header.Get("Location") != "" {
			t.Errorf("poll with another cookie: status %d, %q", status, header.Get("Location"))
		}
	}
	if left := s.living(t, "rooms:crowd:ff*"); !slices.Equal(left, []string{id}) {
		t.Errorf("there are %q, want %s alone", left, id)
	}
	ann.say(204, "python", "still here")
}

// killsNobodyWhoWasThere: only who came with this request goes with it. Whoever
// had a name when Shaveet could not say so keeps it.
func (s *site) killsNobodyWhoWasThere(t *testing.T) {
	ann, id := s.last(t, "earlier")
	s.asks(t, "create_client", map[string]any{"client_id": "rooms:earlier:0"}, map[string]any{"client_id": id})
	ann.say(409, "python", "hi")
	if left := s.living(t, "rooms:earlier:*"); !slices.Contains(left, id) {
		t.Errorf("of %s and another one %q are left", id, left)
	}
	s.asks(t, "kill_client", map[string]any{"client_id": "rooms:earlier:0"})
	ann.say(204, "python", "hi")
}

// TestOwnsPython: as TestOwns of roomsapp, for the other back end.
func TestOwnsPython(t *testing.T) {
	live.Track(t, "python/rooms.py")
	const ask = "import json, sys; sys.path.insert(0, 'python'); import rooms\n" +
		"print([who for who in 'abcd' if rooms.owns(who, json.loads(sys.argv[1]))])"
	for all, want := range map[string]string{
		`[]`: "[]",
		`[{"id": "b", "state": "live", "created": 5}]`:                                               "['b']",
		`[{"id": "b", "state": "live", "created": 6}, {"id": "c", "state": "live", "created": 5}]`:   "['c']",
		`[{"id": "b", "state": "live", "created": 5}, {"id": "c", "state": "live", "created": 5}]`:   "[]",
		`[{"id": "a", "state": "let_go", "created": 1}, {"id": "b", "state": "live", "created": 5}]`: "['b']",
	} {
		cmd := exec.CommandContext(t.Context(), live.Tool(t, "python3"), "-B", "-c", ask, all)
		cmd.Stderr = t.Output()
		if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("of %s the name is theirs: %s, want %s (%v)", all, out, want, err)
		}
	}
}
