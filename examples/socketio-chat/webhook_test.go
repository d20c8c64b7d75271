package socketiochat_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// believesShaveetAlone: calls that are not signed, or old, or were made before.
func (s *site) believesShaveetAlone(t *testing.T) {
	call := func(id, event string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"method":"event","params":{"serial":1,"epoch":"x","event":%q}}`, id, event)
	}
	now := time.Now()
	for _, tt := range []struct {
		name         string
		id, body     string
		at           time.Time
		secret, sent string // "": as it should be
		want         int
	}{
		{"not signed", "a", call("a", "x"), now, "", "-", 401},
		{"another's secret", "a", call("a", "x"), now, "another secret, long enough", "", 401},
		{"another version", "a", call("a", "x"), now, "", "v0=00", 401},
		{"another body", "a", call("a", "x"), now, "", "v1=" + signature("for trying out only", now, call("a", "y")), 401},
		{"no letters", "a", call("a", "x"), now, "", "v1=é", 401},
		{"too old", "a", call("a", "x"), now.Add(-6 * time.Minute), "", "", 401},
		{"too early", "a", call("a", "x"), now.Add(6 * time.Minute), "", "", 401},
		{"another id", "b", call("a", "x"), now, "", "", 400},
		{"too long", "a", strings.Repeat("x", 5<<20), now, "", "", 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.sent == "" {
				secret := "for trying out only"
				if tt.secret != "" {
					secret = tt.secret
				}
				tt.sent = "v1=" + signature("an older secret", tt.at, tt.body) + ", v1=" + signature(secret, tt.at, tt.body)
			}
			if status, text := s.post(t, tt.id, tt.body, tt.at, tt.sent); status != tt.want {
				t.Errorf("%d %s, want %d", status, text, tt.want)
			}
		})
	}
	if resp, err := http.Get(s.webhook); err != nil || resp.StatusCode != 404 {
		t.Errorf("a GET: %v, %v", resp, err)
	}
}

// forgetsNoCall: who has listened and says a call again has it not done twice.
func (s *site) forgetsNoCall(t *testing.T) {
	ann := s.enter(t, "ann", "lobby")
	// Another epoch is another life, in which everybody is asked for: ann is there.
	first := s.calls(t, "1", "other", 1, "ann", false)
	ann.asks("nickname", "lovelace").is(true)
	if again := s.calls(t, "1", "other", 1, "ann", false); again != first { // and not true
		t.Errorf("once more: %s, was %s", again, first)
	}
	s.allLeave(t, ann)
}

// asksForAll: it has missed something, so it forgets what is not so any more.
func (s *site) asksForAll(t *testing.T) {
	ann := s.enter(t, "ann", "lobby")
	s.calls(t, "2", "a", 1, "casper", true)  // a socket that there is not
	s.calls(t, "3", "a", 3, "casper", false) // of another; one call is missing
	s.calls(t, "4", "a", 2, "casper", false)
	s.calls(t, "5", "a", 1500, "casper", true) // too many are missing, and casper is not there
	s.calls(t, "6", "a", 1501, "ann", false)
	ann.asks("nickname", "casper").is(true) // the epoch is the true one again
	s.allLeave(t, ann)
}

// calls has a socket of the same name as the call say a nickname, as Shaveet
// would, and returns the answer.
func (s *site) calls(t *testing.T, id, epoch string, serial int, nickname string, want bool) string {
	t.Helper()
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"method":"event","params":{"serial":%d,"epoch":%q,"sid":%q,"event":"nickname","args":[%q],"data":null}}`,
		id, serial, epoch, "~"+id, nickname)
	now := time.Now()
	status, text := s.post(t, id, body, now, "v1="+signature("for trying out only", now, body))
	var answer struct {
		Result any
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 {
		t.Fatalf("call %s: %d %s", id, status, text)
	}
	done, isObject := answer.Result.(map[string]any)
	if isObject != want || want && done["ack"].([]any)[0] != true {
		t.Errorf("call %s: %s, want %v", id, text, want)
	}
	return text
}

func signature(secret string, at time.Time, body string) string {
	m := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(m, "%d.%s", at.Unix(), body)
	return hex.EncodeToString(m.Sum(nil))
}

func (s *site) post(t *testing.T, id, body string, at time.Time, signatures string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.webhook, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Shaveet-Id", id)
	if signatures != "-" {
		req.Header.Set("Shaveet-Timestamp", fmt.Sprint(at.Unix()))
		req.Header.Set("Shaveet-Signature", signatures)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if len(body) > 4<<20 {
			return 413, "" // it did not listen to the end
		}
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}
