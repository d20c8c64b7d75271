package rooms_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// browser is one browser, that is one cookie jar, under one name.
type browser struct {
	t      *testing.T
	url    string
	uid    string
	rooms  []string
	header http.Header
	http   *http.Client
}

// bare is a browser that was never here.
func (s *site) bare(t *testing.T, uid string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{t: t, url: s.url, uid: uid, http: &http.Client{Jar: jar, CheckRedirect: stay, Timeout: 40 * time.Second}}
}

func (s *site) newcomer(t *testing.T, uid string) *browser {
	t.Helper()
	b := s.bare(t, uid)
	if status := b.get("/", nil); status != 200 {
		t.Fatalf("GET /: status %d", status)
	}
	return b
}

func (b *browser) cookie(value string) {
	to, _ := url.Parse(b.url)
	b.http.Jar.SetCookies(to, []*http.Cookie{{Name: "rooms_session", Value: value, Path: "/"}})
}

func (b *browser) secret(site string) string {
	from, _ := url.Parse(site)
	return b.http.Jar.Cookies(from)[0].Value
}

// room is the answer to a join.
type room struct {
	Client, Cursor  string
	Rooms, In, Here []string
	Messages        []struct{ Data string }
	More            bool
}

func (b *browser) join(name string) (in room) {
	b.t.Helper()
	if status := b.get("/"+url.PathEscape(name)+"/"+url.PathEscape(b.uid), &in); status != 200 {
		b.t.Fatalf("join %s: status %d", name, status)
	}
	return in
}

// names are those of clients.
func names(clients []string) (all []string) {
	for _, id := range clients {
		all = append(all, strings.Split(id, ":")[1])
	}
	return all
}

func (b *browser) get(path string, into any) (status int) {
	b.t.Helper()
	status, _ = b.do(http.MethodGet, b.url+path, nil, into)
	return status
}

func (b *browser) post(path string, form url.Values) (status int, header http.Header) {
	b.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	return b.do(http.MethodPost, b.url+path, form, nil)
}

func (b *browser) say(want int, room, text string) {
	b.t.Helper()
	if status, _ := b.post("/put/"+url.PathEscape(room)+"/"+url.PathEscape(b.uid), url.Values{"message": {text}}); status != want {
		b.t.Errorf("%s says %.40q: status %d, want %d", b.uid, text, status, want)
	}
}

// hears polls until there were as many messages as wanted; all that come are
// looked at.
func (b *browser) hears(cursor *string, want ...string) {
	b.t.Helper()
	var got []string
	for deadline := time.Now().Add(20 * time.Second); len(got) < len(want) && time.Now().Before(deadline); {
		messages, _ := b.polls(cursor)
		got = append(got, messages...)
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("%s heard %q, want %q", b.uid, got, want)
	}
}

// comesBack polls once, under a cursor of a life that is over.
func (b *browser) comesBack(cursor *string) {
	b.t.Helper()
	if _, signals := b.polls(cursor); signals == 0 {
		b.t.Error("nobody was told of the restart")
	}
}

// polls follows the redirect as a browser does, and moves the cursor.
func (b *browser) polls(cursor *string) (messages []string, signals int) {
	b.t.Helper()
	status, header := b.post("/poll/"+url.PathEscape(b.uid), url.Values{"cursor": {*cursor}, "room": b.rooms})
	if status != 303 {
		b.t.Fatalf("poll: status %d", status)
	}
	var batch struct {
		Cursor   string
		Signals  []any
		Messages []struct{ Data string }
	}
	if status, _ := b.do(http.MethodGet, header.Get("Location"), nil, &batch); status != 200 {
		b.t.Fatalf("the poll at Shaveet: status %d", status)
	}
	*cursor = batch.Cursor
	for _, m := range batch.Messages {
		messages = append(messages, m.Data)
	}
	return messages, len(batch.Signals)
}

func (b *browser) do(method, to string, form url.Values, into any) (status int, header http.Header) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, to, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else if !strings.HasSuffix(to, b.url+"/") {
		req.Header.Set("Accept", "application/json")
	}
	for name, values := range b.header {
		req.Header[name] = values
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if into != nil && resp.StatusCode == 200 {
		if err := json.Unmarshal(text, into); err != nil {
			b.t.Fatalf("%s %s: %v in %s", method, to, err, text)
		}
	}
	return resp.StatusCode, resp.Header
}
