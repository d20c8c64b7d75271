package roomsapp

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"ann": true, "Ann_2-x": true, "Bób Ж": true, "北京": true, "हिन्दी": true, "٣": true, "admin": true, strings.Repeat("é", 20): true,
		"": false, " ann": false, "ann ": false, strings.Repeat("é", 21): false, "a:b": false, "a.js": false, "a/b": false,
		"a*": false, `a\b`: false, "a\x00": false, "a\nb": false, "\xff": false, "a_!!_b": false, "\u202eann": false, "½": false, "a\u00a0b": false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v", name, got)
		}
	}
}

// TestOlder: of those who came in under one name at the same time exactly one
// stays, whoever of them looks first.
func TestOlder(t *testing.T) {
	tests := []struct {
		name string
		all  []client
		keep string
	}{
		{"alone", []client{{"b", "live", 5}}, "b"},
		{"first", []client{{"b", "live", 5}, {"c", "live", 6}, {"d", "live", 7}}, "b"},
		{"later in the list", []client{{"b", "live", 6}, {"c", "live", 5}}, "c"},
		{"at the same time", []client{{"c", "live", 5}, {"b", "live", 5}}, "b"},
		{"after one who was let go", []client{{"a", "let_go", 1}, {"b", "live", 5}}, "b"},
	}
	for _, test := range tests {
		for _, me := range test.all {
			stays := !slices.ContainsFunc(test.all, older(me.ID, test.all))
			if me.State == "live" && stays != (me.ID == test.keep) {
				t.Errorf("%s: %s stays: %v", test.name, me.ID, stays)
			}
		}
	}
}

type noServer struct{}

func (noServer) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no server") }

// FuzzRequest: whatever is asked, nothing breaks, only what makes sense goes on
// to Shaveet (502 here), and nobody is sent elsewhere.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "python", "ann", "", "rooms_session=x")
	f.Add("POST", "python", "ann", "message=hi&id=1", "rooms_session=00000000000000000000000000000000")
	f.Add("POST", "python", "ann", "message=%ff", "rooms_session=00000000000000000000000000000000")
	f.Add("GET", "a/../b", "%00", "", ";;=")
	handler := New(Config{RPCURL: "http://127.0.0.1:1/", PublicURL: "http://127.0.0.1:2", Client: &http.Client{Transport: noServer{}}})
	f.Fuzz(func(t *testing.T, method, room, uid, body, cookies string) {
		if method != http.MethodGet {
			method = http.MethodPost
		}
		for _, prefix := range []string{"/", "/put/", "/poll/"} {
			r := httptest.NewRequest(method, "/", strings.NewReader(body))
			r.URL.Path = prefix + room + "/" + uid
			r.Header.Set("Accept", "application/json")
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Cookie", cookies)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			switch {
			case w.Code == http.StatusBadGateway && (!ValidName(uid) || room != "python" && room != "django" && prefix != "/poll/"):
				t.Errorf("%s %s: went on to Shaveet", method, r.URL.Path)
			case w.Code >= 500 && w.Code != http.StatusBadGateway, w.Code == http.StatusSeeOther:
				t.Errorf("%s %s: status %d", method, r.URL.Path, w.Code)
			}
		}
	})
}
