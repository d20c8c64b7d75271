package original_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/original"
)

// answerHeader is all that an answer's header has.
func answerHeader(body string) http.Header {
	return http.Header{
		"Content-Type":                 {"text/javascript; charset=utf-8"},
		"Content-Length":               {fmt.Sprint(len(body))},
		"Cache-Control":                {"no-cache, no-store"},
		"Access-Control-Allow-Origin":  {"*"},
		"X-Content-Type-Options":       {"nosniff"},
		"Content-Disposition":          {`attachment; filename="poll.js"`},
		"Referrer-Policy":              {"no-referrer"},
		"Cross-Origin-Resource-Policy": {"cross-origin"},
	}
}

// refusalHeader is all that a refusal's header has: nothing in it lets a page
// read the text.
func refusalHeader(body string) http.Header {
	return http.Header{
		"Content-Type":           {"text/plain; charset=utf-8"},
		"Content-Length":         {fmt.Sprint(len(body))},
		"Cache-Control":          {"no-cache, no-store"},
		"X-Content-Type-Options": {"nosniff"},
	}
}

func wantHeader(t *testing.T, w *httptest.ResponseRecorder, want http.Header) {
	t.Helper()
	if got := w.Result().Header; !reflect.DeepEqual(got, want) {
		t.Errorf("header\n got %v\nwant %v", got, want)
	}
}

func TestAnswerBytes(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "ch")
	w := p.get(p.query("a"))
	const want = `/**/cb({"ch": [[1, "{\"type\": \"subscribe\"}", "a"]]});`
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("got  %d %s\nwant 200 %s", w.Code, w.Body, want)
	}
	wantHeader(t, w, answerHeader(want))
}

// TestAnswerHasAllChannels: all that have news, in the order of the log, and
// only these; within each the order of its ids.
func TestAnswerHasAllChannels(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "quiet", "one", "two")
	p.get(p.query("a"))
	p.say("two", "x")
	p.say("one", "y")
	p.say("two", "z")
	p.wantPoll(`{"two": [[2, "x", "bob"], [3, "z", "bob"]], "one": [[2, "y", "bob"]]}`, "a")
}

func TestChannelNamesAreEscaped(t *testing.T) {
	for name, want := range map[string]string{
		"</script>":  `"\u003c/script\u003e"`,
		"a\u2028b":   `"a\u2028b"`,
		`"quoted"\`:  `"\"quoted\"\\"`,
		"bób 😀":      `"b\u00f3b \ud83d\ude00"`,
		"__proto__":  `"__proto__"`,
		"a, b: c":    `"a, b: c"`,
		"); alert(1": `"); alert(1"`,
	} {
		p := newPlace(t, original.Options{})
		p.client("a", name)
		p.wantPoll(`{`+want+`: [[1, "{\"type\": \"subscribe\"}", "a"]]}`, "a")
	}
}

// TestMessagesArriveAsText: whatever a message is, pages get a string; whoever
// says it may be any JSON value and comes back as it is.
func TestMessagesArriveAsText(t *testing.T) {
	for _, test := range []struct{ sender, message, want string }{
		{`"bob"`, `"hello"`, `"hello", "bob"`},
		{`"bob"`, `{"a":1}`, `"{\"a\": 1}", "bob"`},
		{`"bob"`, `5`, `"5", "bob"`},
		{`"bob"`, `null`, `"null", "bob"`},
		{`"bob"`, `true`, `"true", "bob"`},
		{`"bob"`, `[1,"é"]`, `"[1, \"\\u00e9\"]", "bob"`},
		{`"bob"`, "\"\u2028</script>\"", `"\u2028\u003c/script\u003e", "bob"`},
		{`"bob"`, `"\ud83d\ude00é"`, `"\ud83d\ude00\u00e9", "bob"`},
		{`null`, `"x"`, `"x", null`},
		{`7`, `"x"`, `"x", 7`},
		{`{"id":1}`, `"x"`, `"x", {"id": 1}`},
		{`""`, `""`, `"", ""`},
	} {
		p := newPlace(t, original.Options{})
		p.client("a", "ch")
		p.get(p.query("a"))
		p.call("new_message", json.RawMessage(test.sender), json.RawMessage(test.message), "ch", true)
		p.wantPoll(`{"ch": [[2, `+test.want+`]]}`, "a")
	}
}

func TestCallbackIsCheckedFirst(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "ch")
	good := map[string]string{
		"cb": "cb", "a.b%5B0%5D.c": "a.b[0].c", "a[0].b": "a[0].b", "%63b": "cb", "$": "$", "noop&callback=alert(1)": "noop",
		strings.Repeat("a", 128): strings.Repeat("a", 128),
	}
	for raw, name := range good {
		p.say("ch", "x")
		w := p.get(strings.Replace(p.query("a"), "callback=cb", "callback="+raw, 1))
		if prefix := "/**/" + name + `({"ch": [[`; w.Code != 200 || !strings.HasPrefix(w.Body.String(), prefix) {
			t.Errorf("callback=%s: %d %s", raw, w.Code, w.Body)
		}
	}
	p.say("ch", "not consumed")
	for _, raw := range []string{
		"", "+", "cb+", "cb%0d%0aX:1", "cb%00", "cb%FF", "cb%C3%A9", "%E2%80%A8cb", "alert(1)//", "alert(document.domain)//%3Cscript%3E",
		"%3Cscript%3E", "a%2eb%2e", "a..b", "1a", "a[b]", "a[0", "%ef%bb%bfcb", "?", "cb%3B", "a-b", strings.Repeat("a", 129),
		"&callback=cb",
	} {
		w := p.get(strings.Replace(p.query("a"), "callback=cb", "callback="+raw, 1))
		if w.Code != 400 || strings.Contains(w.Body.String(), "alert") {
			t.Errorf("callback=%s: %d %s", raw, w.Code, w.Body)
		}
		wantHeader(t, w, refusalHeader(w.Body.String()))
	}
	p.say("ch", "last")
	if got := said(news(t, p.get(p.query("a")).Body.String()), "ch"); !reflect.DeepEqual(got, []string{"not consumed", "last"}) {
		t.Errorf("then %q", got)
	}
}

func TestBadQueries(t *testing.T) {
	p := newPlace(t, original.Options{MaxClients: 3})
	p.client("a", "ch")
	a := "client_id=a_!!_" + p.keys["a"]
	for _, query := range []string{
		"", "callback=cb", a, "callback=cb&client_id=", "callback=cb&client_id=a", "callback=cb&client_id=a_!!_b_!!_c",
		"callback=cb&client_id=a%FF_!!_k", "callback=cb&client_id=%C0%80_!!_k", "callback=cb&client_id=%zz", "callback=cb&" + a + "%",
		"callback=cb;" + a, "callback=cb&" + a + "&client_id=b", "callback=cb&" + a + "&client_id=",
		"callback=cb&" + a + "&" + a + "&" + a + "&" + a, "Callback=cb&" + a, "callback=cb&Client_id=a_!!_k",
		"callback=cb&" + a + "&v=2&client_id=x", // also for pages that understand errors
	} {
		w := p.get(query)
		if w.Code != 400 {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
		if !strings.HasSuffix(w.Body.String(), "\r\n") || strings.Contains(w.Body.String(), p.keys["a"]) {
			t.Errorf("%s: %q", query, w.Body)
		}
		wantHeader(t, w, refusalHeader(w.Body.String()))
	}
}

// TestGoodQueries: order is free, what is not known is passed over, and ids
// are form-decoded UTF-8.
func TestGoodQueries(t *testing.T) {
	const id = "bób & co #1+2%"
	p := newPlace(t, original.Options{})
	p.client(id, "ch")
	key := p.keys[id]
	for _, query := range []string{
		"callback=cb&client_id=b%C3%B3b+%26+co+%231%2B2%25_!!_" + key,
		"callback=cb&client_id=b%c3%b3b%20%26%20co%20%231%2b2%25_%21%21_" + key + "&ts=1287654321000",
		"ts=1&client_id=b%C3%B3b+%26+co+%231%2B2%25_!!_" + key + "&_=2&callback=cb&client=x&v=3&jsonp=2&&x",
		"callback=cb&client_id=bób+%26+co+%231%2B2%25_!!_" + key, // unencoded, as the script of 2010 sends it
	} {
		p.say("ch", "x")
		w := p.get(query)
		if got := news(t, w.Body.String()); w.Code != 200 || len(got["ch"]) == 0 {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

func TestWrongClients(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "ch")
	p.client("b", "ch")
	a, key := "&client_id=a_!!_"+p.keys["a"], p.keys["a"]
	for _, creds := range []string{
		"&client_id=a_!!_", "&client_id=a_!!_" + key[:31], "&client_id=a_!!_" + key + "0", "&client_id=a_!!_" + strings.ToUpper("f"+key[1:]),
		"&client_id=a_!!_" + strings.Repeat("0", 5000), "&client_id=a_!!_+" + key, "&client_id=A_!!_" + key, "&client_id=_!!_" + key,
		"&client_id=ghost_!!_" + key, "&client_id=b_!!_" + key, a + "&client_id=b_!!_x", "&client_id=b_!!_x" + a,
	} {
		w := p.get("callback=cb" + creds)
		if w.Code != 404 || w.Body.String() != "Not Found\r\n" {
			t.Errorf("%s: %d %q", creds, w.Code, w.Body)
		}
		wantHeader(t, w, refusalHeader(w.Body.String()))
	}
	if n := p.hub.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	p.wantPoll(`{"ch": [[1, "{\"type\": \"subscribe\"}", "a"], [2, "{\"type\": \"subscribe\"}", "b"]]}`, "a")
}

// TestMarkedRefusal: a page that says that it understands errors can read
// them, as what no answer with messages looks like.
func TestMarkedRefusal(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "ch")
	p.client("x<y", "ch")
	query := p.query("a") + "&client_id=ghost_!!_k&client_id=x%3Cy_!!_k"
	const gone = `/**/cb({"error": {"code": 404, "type": "gone", "clients": ["ghost", "x\u003cy"]}});`
	for _, test := range []struct {
		marks  string
		status int
		marked bool
	}{
		{"", 404, false},
		{"&v=1", 404, false},
		{"&v=", 404, false},
		{"&jsonp=1", 404, false},
		{"&v=2", 404, true},
		{"&v=2&jsonp=1", 200, true},
		{"&v=2&jsonp=0", 404, true},
	} {
		w := p.get(query + test.marks)
		if w.Code != test.status {
			t.Errorf("%s: status %d, want %d", test.marks, w.Code, test.status)
		}
		if !test.marked {
			wantHeader(t, w, refusalHeader("Not Found\r\n"))
			continue
		}
		if w.Body.String() != gone {
			t.Errorf("%s:\ngot  %s\nwant %s", test.marks, w.Body, gone)
		}
		wantHeader(t, w, answerHeader(gone))
	}
}

func TestMarkedPagesGetTheSameAnswers(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "ch")
	w := p.get(p.query("a") + "&v=2&jsonp=1")
	const want = `/**/cb({"ch": [[1, "{\"type\": \"subscribe\"}", "a"]]});`
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantHeader(t, w, answerHeader(want))
}

// TestRefusalsToTryAgain: too many polls of one client, and a log that is not
// running, are told with the time to wait.
func TestRefusalsToTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, original.Options{}, hub.Limits{SessionsPerClient: 1})
		p.client("a")
		p.hold("a")
		synctest.Wait()

		header := refusalHeader("Too Many Requests\r\n")
		header.Set("Retry-After", "2")
		w := p.get(p.query("a"))
		if w.Code != 429 || w.Body.String() != "Too Many Requests\r\n" {
			t.Errorf("%d %q", w.Code, w.Body)
		}
		wantHeader(t, w, header)

		const limit = `/**/cb({"error": {"code": 429, "type": "limit_reached", "retry_ms": 2000}});`
		header = answerHeader(limit)
		header.Set("Retry-After", "2")
		for marks, status := range map[string]int{"&v=2": 429, "&v=2&jsonp=1": 200} {
			w := p.get(p.query("a") + marks)
			if w.Code != status || w.Body.String() != limit {
				t.Errorf("%s: %d %s", marks, w.Code, w.Body)
			}
			wantHeader(t, w, header)
		}
	})
}

func TestMethods(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "ch")
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "BREW"} {
		w := p.do(context.Background(), method, p.query("a"))
		if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow: %q", method, w.Code, w.Header().Get("Allow"))
		}
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: a page can read the answer: %s", method, name)
			}
		}
	}
	p.wantPoll(`{"ch": [[1, "{\"type\": \"subscribe\"}", "a"]]}`, "a")
}

// TestHeadConsumesNothing, and is not held.
func TestHeadConsumesNothing(t *testing.T) {
	p := newPlace(t, original.Options{})
	p.client("a", "ch")
	for range 2 {
		w := p.do(context.Background(), http.MethodHead, p.query("a"))
		if w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		wantHeader(t, w, answerHeader("/**/cb({});"))
	}
	if w := p.do(context.Background(), http.MethodHead, "callback=alert(1)"); w.Code != 400 {
		t.Errorf("a bad query: %d", w.Code)
	}
	p.wantPoll(`{"ch": [[1, "{\"type\": \"subscribe\"}", "a"]]}`, "a")
}

func BenchmarkPollAnswer(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("%d messages", n), func(b *testing.B) {
			p := newPlace(b, original.Options{})
			p.client("a", "ch")
			p.get(p.query("a"))
			query := p.query("a")
			pub := hub.Publication{Channel: "ch", Sender: json.RawMessage(`"bob"`), Data: json.RawMessage(`"` + strings.Repeat("hello, world ", 8) + `"`)}
			b.ReportAllocs()
			for b.Loop() {
				for range n {
					if _, err := p.hub.Publish(b.Context(), pub); err != nil {
						b.Fatal(err)
					}
				}
				p.get(query)
			}
		})
	}
}
