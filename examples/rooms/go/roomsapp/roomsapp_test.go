package roomsapp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
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

// TestOwns: of those who came in under one name at most one owns it, whoever of
// them looks.
func TestOwns(t *testing.T) {
	tests := []struct {
		name string
		all  []client
		want string
	}{
		{"alone", []client{{"b", "live", 5}}, "b"},
		{"first", []client{{"b", "live", 5}, {"c", "live", 6}, {"d", "live", 7}}, "b"},
		{"later in the list", []client{{"b", "live", 6}, {"c", "live", 5}}, "c"},
		{"at the same time", []client{{"c", "live", 5}, {"b", "live", 5}, {"d", "live", 6}}, ""},
		{"after one who was let go", []client{{"a", "let_go", 1}, {"b", "live", 5}}, "b"},
		{"all let go", []client{{"a", "let_go", 1}}, ""},
		{"nobody", nil, ""},
	}
	for _, test := range tests {
		for _, me := range []string{"a", "b", "c", "d", "missing"} {
			if got := owns(me, test.all); got != (me == test.want) {
				t.Errorf("%s: %s owns the name: %v", test.name, me, got)
			}
		}
	}
}

// TestMark: who could find another secret with the mark of somebody would be
// them.
func TestMark(t *testing.T) {
	if mark := (visitor{"ann", newSecret()}).mark(); len(mark) != 2*16 {
		t.Errorf("the mark %s has %d bits, want 128", mark, 4*len(mark))
	}
}

// leaver is a Shaveet that knows ann already, and before whose first answer the
// browser has gone.
type leaver struct {
	t     *testing.T
	leave context.CancelFunc
	mine  string
	calls []string
}

func (l *leaver) RoundTrip(r *http.Request) (*http.Response, error) {
	l.leave()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var batch []struct {
		Method string
		Params struct {
			ID string `json:"client_id"`
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
		l.t.Error(err)
	}
	var answers []string
	for _, c := range batch {
		result := "null"
		switch c.Method {
		case "create_client":
			l.mine, result = c.Params.ID, `"key"`
		case "get_client_channels":
			if l.mine == "" {
				answers = append(answers, `{"error": {"message": "unknown", "data": {"type": "unknown_client"}}}`)
				continue
			}
			result = "[]"
		case "clients":
			result = `{"clients": [{"id": "rooms:ann:0", "state": "live", "created": 1}, {"id": "` + l.mine + `", "state": "live", "created": 2}]}`
		case "kill_client":
			if c.Params.ID != l.mine {
				l.t.Errorf("killed: %s", c.Params.ID)
			}
		}
		l.calls = append(l.calls, c.Method)
		answers = append(answers, `{"result": `+result+`}`)
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("[" + strings.Join(answers, ",") + "]"))}, nil
}

// TestLeaver: whoever is refused leaves nobody behind, also if they do not wait
// for the answer.
func TestLeaver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := &leaver{t: t, leave: cancel}
	handler := New(Config{RPCURL: "http://shaveet.test/", Client: &http.Client{Transport: l}})
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/python/ann", nil)
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusConflict || !slices.Contains(l.calls, "kill_client") {
		t.Errorf("status %d; Shaveet was asked for %q", w.Code, l.calls)
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
