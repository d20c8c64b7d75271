package longpoll_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/longpoll"
)

func TestAnswer(t *testing.T) {
	p := newPlace(t, longpoll.Options{}, hub.Limits{})
	p.client("a", "ch")
	query := p.query("a")
	message := p.say("ch", "x")
	begin := fmt.Sprintf(`{"cursor":"%v","signals":[],"messages":[%s`, p.hub.Position(), message)
	want(t, p.get(query), 200, begin, plain)
	want(t, p.get(query+"&callback=a.b"), 200, "/**/a.b("+begin, script)
	r := httptest.NewRequest("POST", "/longpoll?"+query, nil)
	r.Header.Set("Content-Type", "text/plain")
	want(t, p.do(r), 200, begin, plain)
}

// TestLineSeparatorsInScripts: in older JavaScript they end a string.
func TestLineSeparatorsInScripts(t *testing.T) {
	for c, escape := range map[string]string{"\u2028": `\u2028`, "\u2029": `\u2029`} {
		p := newPlace(t, longpoll.Options{}, hub.Limits{})
		p.client("a", "ch")
		query := p.query("a")
		raw := []byte(`"` + c + `a` + c + `"`)
		_, err := p.hub.Publish(t.Context(), hub.Publication{Channel: "ch", Sender: raw, Data: raw})
		p.must(err)
		if body := p.get(query).Body.String(); strings.Count(body, c) != 4 {
			t.Errorf("plain: %q", body)
		}
		body := p.get(query + "&callback=cb").Body.String()
		if strings.Contains(body, c) || strings.Count(body, escape) != 4 || !strings.HasSuffix(body, "});") {
			t.Errorf("script: %q", body)
		}
	}
}

func TestRefusals(t *testing.T) {
	p := newPlace(t, longpoll.Options{Options: transport.Options{MaxClients: 2, MaxBody: 100}}, hub.Limits{})
	p.client("a", "ch")
	for _, test := range []struct {
		method, query, body string
		status              int
		want                string
		header              http.Header
	}{
		{"GET", "", "", 400, `{"error":{"code":400,"type":"invalid_request","message":"there must be credentials for at least one client"}}`, plain},
		{"GET", "a;b", "", 400, `{"error":{"code":400,"type":"invalid_request","message":"the query string cannot be read"}}`, plain},
		{"GET", p.query("a", "a", "a"), "", 400, `{"error":{"code":400,"type":"invalid_request","message":"there must be credentials for 1 to 2 clients"}}`, plain},
		{"GET", p.query("a") + "&callback=", "", 400, `{"error":{"code":400,"type":"invalid_request","message":"callback: must be the name of a function"}}`, plain},
		{"GET", p.query("a") + "&callback=alert(1)", "", 400, `{"error":{"code":400,"type":"invalid_request","message":"callback: must be the name of a function"}}`, plain},
		{"GET", p.query("a"), "x", 400, `{"error":{"code":400,"type":"invalid_request","message":"a GET request must not have a body"}}`, with(plain, "Connection", "close")},
		{"POST", "", "{", 400, `{"error":{"code":400,"type":"invalid_request","message":"the body must be one JSON object"}}`, with(plain, "Connection", "close")},
		{"POST", "", strings.Repeat(" ", 101), 413, `{"error":{"code":413,"type":"too_large","message":"the body is too large"}}`, with(plain, "Connection", "close")},
		{"HEAD", p.query("a"), "", 405, `{"error":{"code":405,"type":"method_not_allowed","message":"what is here is read by GET or POST"}}`, with(plain, "Allow", "GET, POST, OPTIONS")},
		{"DELETE", p.query("a") + "&callback=cb", "", 405, `{"error":{"code":405,"type":"method_not_allowed","message":"what is here is read by GET or POST"}}`, with(plain, "Allow", "GET, POST, OPTIONS")},
		{"GET", "callback=cb", "", 200, `/**/cb({"error":{"code":400,"type":"invalid_request","message":"there must be credentials for at least one client"}});`, script},
		{"GET", "client_id=ghost_!!_x", "", 404, `{"signals":[{"type":"gone","client":"ghost"}],"messages":[]}`, plain},
		{"GET", p.query("a") + "0", "", 404, `{"signals":[{"type":"gone","client":"a"}],"messages":[]}`, plain},
		{"GET", "client_id=ghost_!!_x&client_id=ghost_!!_y&callback=cb", "", 200, `/**/cb({"signals":[{"type":"gone","client":"ghost"}],"messages":[]});`, script},
	} {
		w := p.do(httptest.NewRequest(test.method, "/longpoll?"+test.query, strings.NewReader(test.body)))
		if got := w.Body.String(); got != test.want {
			t.Errorf("%s %s %q:\ngot  %s\nwant %s", test.method, test.query, test.body, got, test.want)
		}
		want(t, w, test.status, test.want, test.header)
	}
	if s := p.hub.Stats(); s.Attached != 0 {
		t.Errorf("a session was attached: %+v", s)
	}
}

// TestRefusalsToTryAgain: too many polls of one client, and a log that is not
// running, are told with the time to wait.
func TestRefusalsToTryAgain(t *testing.T) {
	const (
		limit       = `{"error":{"code":429,"type":"limit_reached","message":"limit reached: sessions_per_client = 1","retry_ms":6000}}`
		unavailable = `{"error":{"code":503,"type":"unavailable","message":"not available now, try again","retry_ms":6000}}`
	)
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, longpoll.Options{}, hub.Limits{SessionsPerClient: 1})
		p.client("a")
		p.client("b")
		held := make(chan struct{})
		go func() { defer close(held); p.get(p.query("a")) }()
		synctest.Wait()
		want(t, p.get(p.query("a")), 429, limit, with(plain, "Retry-After", "6"))
		want(t, p.get(p.query("a")+"&callback=cb"), 200, "/**/cb("+limit+");", with(script, "Retry-After", "6"))
		<-held

		time.Sleep(2 * time.Minute)
		_, _, err := p.hub.Expire(t.Context(), hub.Idle{After: time.Minute}, 10)
		p.must(err)
		p.stop()
		want(t, p.get(p.query("b")), 503, unavailable, with(plain, "Retry-After", "6"))
	})
}

// brittle is a writer whose connection breaks in the answer.
type brittle struct{ *httptest.ResponseRecorder }

func (brittle) FlushError() error { return errors.New("broken") }

// TestOnlyWhatIsTakenCounts as delivered.
func TestOnlyWhatIsTakenCounts(t *testing.T) {
	p := newPlace(t, longpoll.Options{}, hub.Limits{})
	p.client("a", "ch")
	query := p.query("a")
	p.say("ch", "x")
	p.poll.ServeHTTP(brittle{httptest.NewRecorder()}, httptest.NewRequest("GET", "/longpoll?"+query, nil))
	if s := p.hub.Stats(); s.Delivered != 0 || s.Sessions != 0 {
		t.Errorf("after a broken answer: %+v", s)
	}
	p.get(query)
	if s := p.hub.Stats(); s.Delivered != 1 || s.Sessions != 0 {
		t.Errorf("after a good one: %+v", s)
	}
}

func BenchmarkPoll(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d messages", n), func(b *testing.B) {
			p := newPlace(b, longpoll.Options{}, hub.Limits{})
			p.client("a", "ch")
			query := p.query("a")
			for range n {
				p.say("ch", strings.Repeat("hello, world ", 8))
			}
			b.ReportAllocs()
			for b.Loop() {
				p.get(query)
			}
		})
	}
}
