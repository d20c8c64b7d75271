package wire

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// seen is one message as a page of the original gets it.
type seen struct{ publisher, text string }

// anyForm marks a text that may be spelled in any way that is the same JSON:
// a message that was not a string arrives as its JSON text.
const anyForm = "as JSON: "

func (got seen) matches(want seen) bool {
	text, ok := strings.CutPrefix(want.text, anyForm)
	if !ok {
		return got == want
	}
	var a, b any
	return got.publisher == want.publisher &&
		json.Unmarshal([]byte(got.text), &a) == nil &&
		json.Unmarshal([]byte(text), &b) == nil &&
		reflect.DeepEqual(a, b)
}

// wantSeen polls as such a page does, until it has as many messages of the
// channel as it wants, and compares them with their order and their ids.
func wantSeen(t *testing.T, base, id, key, channel string, want []seen) {
	t.Helper()
	var got []seen
	last := 0
	for deadline := time.Now().Add(20 * time.Second); len(got) < len(want) && time.Now().Before(deadline); {
		status, news := poll(t, base, id, key)
		if status != 200 {
			t.Fatalf("poll: status %d", status)
		}
		for _, m := range news[channel] {
			if m.id <= last {
				t.Errorf("id %d after %d", m.id, last)
			}
			last = m.id
			got = append(got, m.seen)
		}
	}
	if !slices.EqualFunc(got, want, seen.matches) {
		t.Errorf("%s saw\n%q, want\n%q", id, got, want)
	}
}

type numbered struct {
	id int
	seen
}

func (n *numbered) UnmarshalJSON(b []byte) error {
	triple := []any{&n.id, &n.text, &n.publisher}
	if err := json.Unmarshal(b, &triple); err != nil {
		return err
	}
	if len(triple) != 3 {
		return fmt.Errorf("%s is not [id, text, publisher]", b)
	}
	return nil
}

// poll asks once, with the original script's URL.
func poll(t *testing.T, base, id, key string) (status int, news map[string][]numbered) {
	t.Helper()
	client := http.Client{Timeout: 40 * time.Second}
	resp, err := client.Get(base + "/message_updates?callback=noop&client_id=" + url.QueryEscape(id) + "_!!_" + key + "&ts=1")
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
	if origin := resp.Header.Get("Access-Control-Allow-Origin"); origin != "*" {
		t.Errorf("Access-Control-Allow-Origin: %q", origin)
	}
	return resp.StatusCode, unwrap(t, string(body))
}

// unwrap does what the original's script does before it evaluates: the first
// "noop(" becomes "(", a final ");" becomes ")".
func unwrap(t *testing.T, body string) (news map[string][]numbered) {
	t.Helper()
	inner := strings.TrimPrefix(body, "/**/")
	inner, ok := strings.CutPrefix(inner, "noop(")
	inner, end := strings.CutSuffix(inner, ");")
	if !ok || !end {
		t.Fatalf("not a call of the callback: %q", body)
	}
	if i := strings.IndexFunc(inner, func(r rune) bool { return r > 126 }); i >= 0 {
		t.Errorf("not pure ASCII: %q", inner)
	}
	if err := json.Unmarshal([]byte(inner), &news); err != nil {
		t.Fatalf("%v in %q", err, inner)
	}
	return news
}
