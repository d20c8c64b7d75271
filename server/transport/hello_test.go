package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

var helloLimits = HelloLimits{Clients: 3, Body: 1000}

const somewhere = "00000000000000ff.42"

// An ask is a request that says hello.
type ask struct {
	method, query, header, body string
}

func (a ask) request() *http.Request {
	r := &http.Request{Method: a.method, URL: &url.URL{RawQuery: a.query}, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body))}
	if a.header != "" {
		r.Header["Authorization"] = strings.Split(a.header, "\n")
	}
	return r
}

func (a ask) read() (Hello, error) {
	query, err := url.ParseQuery(a.query)
	if err != nil {
		return Hello{}, err
	}
	return ReadHello(a.request(), query, helloLimits)
}

func said(change func(*Hello), clients ...string) Hello {
	h := Hello{Wait: NoWait}
	for _, c := range clients {
		id, key, _ := strings.Cut(c, " ")
		h.Clients = append(h.Clients, hub.Credentials{ID: id, Key: key})
	}
	if change != nil {
		change(&h)
	}
	return h
}

func whole(h *Hello) {
	h.At, h.Session, h.Wait = hub.Position{Epoch: 0xff, Seq: 42}, "tab-1_A", 1500*time.Millisecond
}

var goodHellos = []struct {
	ask
	want Hello
}{
	{ask{"GET", "client_id=a_!!_k", "", ""}, said(nil, "a k")},
	{ask{"POST", "client_id=a_!!_k", "", ""}, said(nil, "a k")},
	{ask{"GET", "client_id=a_!!_k&client_id=b%20%26+c_!!_l&client_id=a_!!_k&other=1", "", ""},
		said(func(h *Hello) { h.Clients[1] = hub.Credentials{ID: "b & c", Key: "l"} }, "a k", "b l", "a k")},
	{ask{"GET", "client_id=a_!!_k&cursor=" + somewhere + "&session=tab-1_A&wait=1500", "", ""}, said(whole, "a k")},
	{ask{"GET", "client_id=a_!!_k&cursor=now&wait=0", "", ""}, said(func(h *Hello) { h.Now, h.Wait = true, 0 }, "a k")},
	{ask{"GET", "client_id=a_!!_k&wait=000000000000000000000000000000001", "", ""},
		said(func(h *Hello) { h.Wait = time.Millisecond }, "a k")},
	{ask{"GET", "client_id=a_!!_k&wait=99999999999999999999999999", "", ""},
		said(func(h *Hello) { h.Wait = longestWait }, "a k")},

	{ask{"GET", "", "Shaveet a_!!_k", ""}, said(nil, "a k")},
	{ask{"GET", "", "shaveet   a_!!_k ,b%2Cc%5F!!_k%2B,b+c_!!_", ""}, said(func(h *Hello) {
		h.Clients = []hub.Credentials{{ID: "a", Key: "k"}, {ID: "b,c", Key: "k+"}, {ID: "b+c"}}
	})},
	{ask{"GET", "cursor=" + somewhere + "&session=tab-1_A&wait=1500", "SHAVEET a_!!_k", ""}, said(whole, "a k")},
	{ask{"GET", "client_id=a_!!_k", "Basic Zm9vOmJhcg==", ""}, said(nil, "a k")}, // for a proxy
	{ask{"GET", "", "Bearer x\nShaveet a_!!_k", ""}, said(nil, "a k")},

	{ask{"POST", "", "", `{"clients":[{"id":"a","key":"k"}]}`}, said(nil, "a k")},
	{ask{"POST", "", "", ` { "wait" : 1500 , "session":"tab-1_A","cursor":"` + somewhere + `","x":{"clients":1},
		"clients" : [ {"id":"a","key":"k","more":[]} ] } ` + "\r\n"}, said(whole, "a k")},
	{ask{"POST", "", "", `{"clients":[{"id":"b\u00f3b _!!_","key":""},{"id":"a","key":"k"}],"cursor":null,"session":null,"wait":null}`},
		said(func(h *Hello) { h.Clients = []hub.Credentials{{ID: "bób _!!_"}, {ID: "a", Key: "k"}} })},
	{ask{"POST", "", "", `{"clients":[{"id":"a","key":"k"}],"Cursor":5,"CLIENTS":[],"wait":0}`},
		said(func(h *Hello) { h.Wait = 0 }, "a k")},
	{ask{"POST", "", "Shaveet a_!!_k", `{"cursor":"` + somewhere + `","session":"tab-1_A","wait":1500}`}, said(whole, "a k")},
	{ask{"POST", "client_id=a_!!_k&wait=1500", "", `{"cursor":"` + somewhere + `","session":"tab-1_A"}`}, said(whole, "a k")},
	{ask{"POST", "client_id=a_!!_k", "", `{"clients":null}`}, said(nil, "a k")},
	{ask{"POST", "client_id=a_!!_k&session=" + strings.Repeat("x", 64), "", ""},
		said(func(h *Hello) { h.Session = strings.Repeat("x", 64) }, "a k")},
}

func TestGoodHellos(t *testing.T) {
	for _, test := range goodHellos {
		if got, err := test.read(); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%+v\ngot  %+v, %v\nwant %+v", test.ask, got, err, test.want)
		}
	}
}

const (
	noCredentials  = "there must be credentials for at least one client"
	manyClients    = "there must be credentials for 1 to 3 clients"
	onePlace       = "Authorization: credentials must come from one place only"
	badToken       = `client_id: a token must be an id, "_!!_" and a key`
	badCursor      = `cursor: must be a position or "now"`
	badSession     = "session: must be 1 to 64 characters of A-Z a-z 0-9 - _"
	badWait        = "wait: must be a whole number of milliseconds"
	badClient      = "clients: each must be an object with the strings id and key"
	badBody        = "the body must be one JSON object"
	asA            = "client_id=a_!!_k"
	clientsInABody = `"clients":[{"id":"a","key":"k"}]`
)

var badHellos = []struct {
	ask
	want string
}{
	{ask{"GET", "", "", ""}, noCredentials},
	{ask{"POST", "", "", ""}, noCredentials},
	{ask{"POST", "", "", `{}`}, noCredentials},
	{ask{"POST", "", "", `{"Clients":[{"id":"a","key":"k"}]}`}, noCredentials},
	{ask{"GET", "", "Basic Zm9v", ""}, noCredentials},

	{ask{"GET", "client_id=", "", ""}, badToken},
	{ask{"GET", "client_id=a", "", ""}, badToken},
	{ask{"GET", "client_id=a_!!_b_!!_c", "", ""}, badToken},
	{ask{"GET", "client_id=%FF_!!_k", "", ""}, badToken},
	{ask{"GET", asA + "&" + asA + "&" + asA + "&" + asA, "", ""}, manyClients},
	{ask{"GET", "", "Shaveet", ""}, `Authorization: a token must be an id, "_!!_" and a key`},
	{ask{"GET", "", "Shaveet ", ""}, `Authorization: a token must be an id, "_!!_" and a key`},
	{ask{"GET", "", "Shaveet a_!!_k,", ""}, `Authorization: a token must be an id, "_!!_" and a key`},
	{ask{"GET", "", "Shaveet a_!!_%zz", ""}, "Authorization: a token is not percent-encoded"},
	{ask{"GET", "", "Shaveet a_!!_k,a_!!_k,a_!!_k,a_!!_k", ""}, manyClients},
	{ask{"GET", "", "Shaveet a_!!_k\nShaveet b_!!_k", ""}, onePlace},
	{ask{"GET", asA, "Shaveet a_!!_k", ""}, onePlace},
	{ask{"POST", "", "Shaveet a_!!_k", `{` + clientsInABody + `}`}, onePlace},
	{ask{"POST", asA, "", `{` + clientsInABody + `}`}, "client_id: credentials must come from one place only"},

	{ask{"GET", asA + "&cursor=", "", ""}, badCursor},
	{ask{"GET", asA + "&cursor=x", "", ""}, badCursor},
	{ask{"GET", asA + "&cursor=now&cursor=now", "", ""}, "cursor: must be given once"},
	{ask{"GET", asA + "&session=", "", ""}, badSession},
	{ask{"GET", asA + "&session=a$", "", ""}, badSession},
	{ask{"GET", asA + "&session=" + strings.Repeat("x", 65), "", ""}, badSession},
	{ask{"GET", asA + "&session=a&session=a", "", ""}, "session: must be given once"},
	{ask{"GET", asA + "&wait=", "", ""}, badWait},
	{ask{"GET", asA + "&wait=-1", "", ""}, badWait},
	{ask{"GET", asA + "&wait=1.5", "", ""}, badWait},
	{ask{"GET", asA + "&wait=1&wait=1", "", ""}, "wait: must be given once"},
	{ask{"POST", asA + "&cursor=now", "", `{"cursor":"now"}`}, "cursor: must be given once"},
	{ask{"POST", asA + "&session=a", "", `{"session":"a"}`}, "session: must be given once"},
	{ask{"POST", asA + "&wait=1", "", `{"wait":1}`}, "wait: must be given once"},

	{ask{"GET", asA, "", "{}"}, "a GET request must not have a body"},
	{ask{"POST", asA, "", "x"}, badBody},
	{ask{"POST", asA, "", "null"}, badBody},
	{ask{"POST", asA, "", "[]"}, badBody},
	{ask{"POST", asA, "", `""`}, badBody},
	{ask{"POST", asA, "", " "}, badBody},
	{ask{"POST", asA, "", `{}{}`}, badBody},
	{ask{"POST", asA, "", `{} x`}, badBody},
	{ask{"POST", asA, "", `{"a":1,}`}, badBody},
	{ask{"POST", asA, "", `{"a":01}`}, badBody},
	{ask{"POST", asA, "", "\ufeff{}"}, badBody},
	{ask{"POST", asA, "", "{\"a\":\"\n\"}"}, badBody},
	{ask{"POST", asA, "", `{"a":` + strings.Repeat("[", 900)}, badBody},
	{ask{"POST", asA, "", "{\"a\":\"\xff\"}"}, "the body is not valid UTF-8"},
	{ask{"POST", "", "", `{"clients":[]}`}, manyClients},
	{ask{"POST", "", "", `{"clients":[1,2,3,4]}`}, manyClients},
	{ask{"POST", "", "", `{"clients":{}}`}, "clients: must be an array"},
	{ask{"POST", "", "", `{"clients":"a_!!_k"}`}, "clients: must be an array"},
	{ask{"POST", "", "", `{"clients":["a_!!_k"]}`}, badClient},
	{ask{"POST", "", "", `{"clients":[null]}`}, badClient},
	{ask{"POST", "", "", `{"clients":[{"id":"a"}]}`}, badClient},
	{ask{"POST", "", "", `{"clients":[{"key":"a"}]}`}, badClient},
	{ask{"POST", "", "", `{"clients":[{"ID":"a","key":"k"}]}`}, badClient},
	{ask{"POST", "", "", `{"clients":[{"id":1,"key":"k"}]}`}, badClient},
	{ask{"POST", "", "", `{"clients":[{"id":"a","key":null}]}`}, badClient},
	{ask{"POST", "", "", `{` + clientsInABody + `,"cursor":5}`}, "cursor: must be a string"},
	{ask{"POST", "", "", `{` + clientsInABody + `,"cursor":""}`}, badCursor},
	{ask{"POST", "", "", `{` + clientsInABody + `,"session":["a"]}`}, "session: must be a string"},
	{ask{"POST", "", "", `{` + clientsInABody + `,"wait":"1"}`}, badWait},
	{ask{"POST", "", "", `{` + clientsInABody + `,"wait":-1}`}, badWait},
	{ask{"POST", "", "", `{` + clientsInABody + `,"wait":1e3}`}, badWait},
	{ask{"POST", "", "", `{` + clientsInABody + `,"wait":[]}`}, badWait},
}

func TestBadHellos(t *testing.T) {
	for _, test := range badHellos {
		got, err := test.read()
		var refusal *Refusal
		if !errors.As(err, &refusal) {
			t.Errorf("%+v: %+v, %v", test.ask, got, err)
			continue
		}
		if want := (Refusal{Status: 400, Type: "invalid_request", Message: test.want}); *refusal != want || got.Clients != nil {
			t.Errorf("%+v\ngot  %+v\nwant %+v", test.ask, *refusal, want)
		}
	}
}

// TestBodyIsBounded: one that says it is too large is not read at all, another
// not much further than it may be long.
func TestBodyIsBounded(t *testing.T) {
	body := `{"clients":[{"id":"a","key":"k"}],"x":"` + strings.Repeat("x", 1000) + `"}`
	for _, length := range []int64{int64(len(body)), -1} {
		rest := strings.NewReader(body)
		r := ask{method: "POST"}.request()
		r.Body, r.ContentLength = io.NopCloser(rest), length
		_, err := ReadHello(r, nil, helloLimits)
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Status != 413 || refusal.Type != "too_large" {
			t.Errorf("length %d: %v", length, err)
		}
		if read := len(body) - rest.Len(); length >= 0 && read != 0 || read > 1001 {
			t.Errorf("length %d: %d bytes were read", length, read)
		}
	}
}

// TestBodyIsReadToItsEnd: else net/http would not see the peer hang up.
func TestBodyIsReadToItsEnd(t *testing.T) {
	for _, text := range []string{`{` + clientsInABody + `}`, ""} {
		body := &watched{Reader: strings.NewReader(text)}
		r := ask{method: "POST", query: "session=x"}.request()
		r.Body, r.ContentLength = io.NopCloser(body), -1
		ReadHello(r, url.Values{}, helloLimits)
		if !body.ended {
			t.Errorf("%q: it was not read to its end", text)
		}
	}
}

type watched struct {
	io.Reader
	ended bool
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.ended = w.ended || err == io.EOF
	return n, err
}

func TestBrokenBody(t *testing.T) {
	r := ask{method: "POST", query: asA}.request()
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	r.ContentLength = 100
	_, err := ReadHello(r, r.URL.Query(), helloLimits)
	if want := "the body has not come whole"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestStart(t *testing.T) {
	h := said(whole, "a k")
	want := hub.Start{At: h.At, Session: "tab-1_A", Transport: "longpoll"}
	if got := h.Start("longpoll"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// sayAgain says h as JSON.
func sayAgain(h Hello) []byte {
	all := map[string]any{}
	var clients []map[string]string
	for _, c := range h.Clients {
		clients = append(clients, map[string]string{"id": c.ID, "key": c.Key})
	}
	all["clients"] = clients
	switch {
	case h.Now:
		all["cursor"] = "now"
	case !h.At.IsZero():
		all["cursor"] = h.At.String()
	}
	if h.Session != "" {
		all["session"] = h.Session
	}
	if h.Wait != NoWait {
		all["wait"] = h.Wait.Milliseconds()
	}
	b, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return b
}

func FuzzHello(f *testing.F) {
	add := func(a ask) { f.Add(a.method == "POST", a.query, a.header, []byte(a.body)) }
	for _, test := range goodHellos {
		add(test.ask)
	}
	for _, test := range badHellos {
		add(test.ask)
	}
	f.Fuzz(func(t *testing.T, post bool, query, header string, body []byte) {
		method := http.MethodGet
		if post {
			method = http.MethodPost
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		got, err := ReadHello(ask{method, query, header, string(body)}.request(), values, helloLimits)
		var refusal *Refusal
		if err != nil {
			if !errors.As(err, &refusal) || refusal.Status != 400 && refusal.Status != 413 || !json.Valid(refusal.Body()) {
				t.Fatalf("refused by %v", err)
			}
			return
		}
		if len(body) > 0 && (!post || !json.Valid(body)) {
			t.Errorf("the body %q was accepted", body)
		}
		if n := len(got.Clients); n < 1 || n > helloLimits.Clients || got.Wait < NoWait || got.Now && !got.At.IsZero() {
			t.Errorf("understood as %+v", got)
		}
		again, err := ParseHello(sayAgain(got), HelloLimits{Clients: 3})
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%+v has become %+v, %v", got, again, err)
		}
		if len(body) == 0 {
			return
		}
		// With clients in the body, the body alone says all but the query's part.
		alone, err := ParseHello(body, helloLimits)
		if header == "" && query == "" && (err != nil || !reflect.DeepEqual(alone, got)) {
			t.Errorf("alone the body says %+v, %v", alone, err)
		}
	})
}

func TestRefusals(t *testing.T) {
	const retry = 2500 * time.Millisecond
	for _, test := range []struct {
		err    error
		body   string
		header string
	}{
		{invalid("<no> %q", "x"), `{"error":{"code":400,"type":"invalid_request","message":"\u003cno\u003e \"x\""}}`, ""},
		{fmt.Errorf("wrapped: %w", invalid("no")), `{"error":{"code":400,"type":"invalid_request","message":"no"}}`, ""},
		{&hub.Error{Kind: hub.LimitReached, Text: "limit reached: x = 1"},
			`{"error":{"code":429,"type":"limit_reached","message":"limit reached: x = 1","retry_ms":2500}}`, "3"},
		{hub.ErrUnavailable, `{"error":{"code":503,"type":"unavailable","message":"not available now, try again","retry_ms":2500}}`, "3"},
		{fmt.Errorf("it has left: %w", context.Canceled), `{"error":{"code":503,"type":"unavailable","message":"not available now, try again","retry_ms":2500}}`, "3"},
		{io.ErrClosedPipe, `{"error":{"code":500,"type":"internal","message":"something is wrong with the server"}}`, ""},
	} {
		refusal := RefusalOf(test.err, retry)
		if got := string(refusal.Body()); got != test.body {
			t.Errorf("got  %s\nwant %s", got, test.body)
		}
		header := http.Header{}
		refusal.Header(header)
		if got := header.Get("Retry-After"); got != test.header {
			t.Errorf("%v: Retry-After: %q, want %q", test.err, got, test.header)
		}
	}
	for d, want := range map[time.Duration]string{time.Nanosecond: "1", time.Second: "1", time.Second + 1: "2"} {
		header := http.Header{}
		(&Refusal{Retry: d}).Header(header)
		if got := header.Get("Retry-After"); got != want {
			t.Errorf("%v: Retry-After: %q, want %q", d, got, want)
		}
	}
}

func TestJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := Jitter(2 * time.Second)
		if d < 2*time.Second || d >= 4*time.Second {
			t.Fatalf("%v", d)
		}
		seen[d] = true
	}
	if len(seen) < 900 {
		t.Errorf("only %d times of 1000 are different", len(seen))
	}
	if d := Jitter(0); d != 0 {
		t.Errorf("none has become %v", d)
	}
}

func BenchmarkHello(b *testing.B) {
	body := sayAgain(said(whole, "alice 0a1c53d2c551455fa0fd5a3d0ab93320"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseHello(bytes.Clone(body), helloLimits); err != nil {
			b.Fatal(err)
		}
	}
}
