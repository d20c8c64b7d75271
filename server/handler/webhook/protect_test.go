package webhook

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A receiver is a protected handler and what it has heard.
type receiver struct {
	http.Handler
	heard  []string
	status int
}

func newReceiver(opts ReceiverOptions) *receiver {
	r := &receiver{status: 200}
	r.Handler = Protect(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.heard = append(r.heard, string(body))
		w.WriteHeader(r.status)
		io.WriteString(w, "done")
	}), opts)
	return r
}

// post posts a call with this id and header, and returns the status and the body
// of the answer.
func (r *receiver) post(h http.Header, body string) (int, string) {
	req := httptest.NewRequest("POST", "/hook", strings.NewReader(body))
	req.Header = h
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

func bodyWith(id string) string { return fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"method":"event"}`, id) }

// signedAs returns the header of a call with this id.
func signedAs(id string, at time.Time, secret string) http.Header {
	h := signed(bodyWith(id), at, secret)
	h.Set(HeaderID, id)
	return h
}

func TestProtect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(ReceiverOptions{Secrets: []string{otherSecret, secret}, MaxBodyBytes: 1000})
		body := bodyWith(id)
		header := func(change func(h http.Header)) http.Header {
			h := signed(body, time.Now(), secret)
			change(h)
			return h
		}
		for _, tt := range []struct {
			name   string
			header http.Header
			body   string
			want   int
		}{
			{"not signed", http.Header{}, body, 401},
			{"with another secret", signed(body, time.Now(), "a secret of others"), body, 401},
			{"another body", signed(body, time.Now(), secret), body + " ", 401},
			{"too old", signed(body, time.Now().Add(-Window-time.Second), secret), body, 401},
			{"too young", signed(body, time.Now().Add(Window+time.Second), secret), body, 401},
			{"too long", signed(strings.Repeat(" ", 1001), time.Now(), secret), strings.Repeat(" ", 1001), 413},
			{"another id", header(func(h http.Header) { h.Set(HeaderID, "x") }), body, 400},
			{"two ids", header(func(h http.Header) { h.Add(HeaderID, id) }), body, 400},
			{"no id", header(func(h http.Header) { h.Del(HeaderID) }), body, 400},
			{"not JSON", signed("x", time.Now(), secret), "x", 400},
			{"an empty id", func() http.Header { h := signed(bodyWith(""), time.Now(), secret); h.Set(HeaderID, ""); return h }(), bodyWith(""), 400},
			{"a number as id", signed(`{"id":1}`, time.Now(), secret), `{"id":1}`, 400},
		} {
			if status, answer := r.post(tt.header, tt.body); status != tt.want {
				t.Errorf("%s: %d %s, want %d", tt.name, status, answer, tt.want)
			}
		}
		if len(r.heard) > 0 {
			t.Fatalf("heard: %q", r.heard)
		}
		good := signed(body, time.Now(), secret)
		if status, answer := r.post(good, body); status != 200 || answer != "done" || len(r.heard) != 1 || r.heard[0] != body {
			t.Errorf("%d %s, heard %q", status, answer, r.heard)
		}
		req := httptest.NewRequest("GET", "/", nil)
		w := httptest.NewRecorder()
		if r.ServeHTTP(w, req); w.Code != 405 || w.Header().Get("Allow") != "POST" {
			t.Errorf("GET: %d", w.Code)
		}
	})
}

// A call is heard once, whoever says it again, and as long as it would be taken.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(ReceiverOptions{Secrets: []string{secret}})
		first := signedAs("a", time.Now().Add(Window), secret) // a clock that is fast
		if status, _ := r.post(first, bodyWith("a")); status != 200 {
			t.Fatal(status)
		}
		replay := func(h http.Header, want int) {
			t.Helper()
			status, answer := r.post(h, bodyWith("a"))
			if status != want || status == 200 && !strings.Contains(answer, `"code":-32000`) {
				t.Errorf("%d %s, want %d", status, answer, want)
			}
		}
		replay(first, 200)
		other := first.Clone()
		other.Set(HeaderID, "b") // is not signed
		replay(other, 400)
		time.Sleep(Window)
		replay(first, 200)
		replay(signedAs("a", time.Now(), secret), 200) // a try of shaveet's own
		time.Sleep(Window)
		replay(first, 200)
		last := signedAs("a", time.Now(), secret)
		replay(last, 200)
		time.Sleep(time.Second)
		replay(first, 401)
		replay(last, 200)
		if len(r.heard) != 1 {
			t.Errorf("heard %d times", len(r.heard))
		}
		time.Sleep(2 * Window)
		r.post(signedAs("c", time.Now(), secret), bodyWith("c"))
		if m := r.Handler.(*guard).heard; len(m.calls) != 1 || len(m.order) != 1 {
			t.Errorf("%d calls are remembered", len(m.calls))
		}
	})
}

// A call that went wrong may come again, one that is under way has to wait.
func TestTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(ReceiverOptions{Secrets: []string{secret}})
		post := func() int {
			status, _ := r.post(signedAs("a", time.Now(), secret), bodyWith("a"))
			return status
		}
		r.status = 503
		if got := post(); got != 503 {
			t.Error(got)
		}
		r.status = 200
		if got := post(); got != 200 || len(r.heard) != 2 {
			t.Errorf("%d, heard %q", got, r.heard)
		}

		release := make(chan bool)
		fails := true
		g := Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			<-release
			if fails {
				panic(http.ErrAbortHandler)
			}
		}), ReceiverOptions{Secrets: []string{secret}})
		send := func() (code int) {
			defer func() {
				if recover() != nil {
					code = -1
				}
			}()
			req := httptest.NewRequest("POST", "/", strings.NewReader(bodyWith("a")))
			req.Header = signedAs("a", time.Now(), secret)
			w := httptest.NewRecorder()
			g.ServeHTTP(w, req)
			return w.Code
		}
		for _, want := range []int{-1, 200} {
			fails = want == -1
			code := make(chan int)
			go func() { code <- send() }()
			synctest.Wait()
			if got := send(); got != 503 {
				t.Errorf("under way: %d", got)
			}
			release <- true
			if got := <-code; got != want {
				t.Errorf("%d, want %d", got, want)
			}
		}
	})
}

// What is remembered is bounded. Who has been forgotten for that is late.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(ReceiverOptions{Secrets: []string{secret}, MaxIDs: 10})
		var headers []http.Header
		for i := range 20 {
			h := signedAs(fmt.Sprint(i), time.Now(), secret)
			headers = append(headers, h)
			if status, _ := r.post(h, bodyWith(fmt.Sprint(i))); status != 200 {
				t.Fatalf("%d: %d", i, status)
			}
			time.Sleep(time.Second)
		}
		for i, h := range headers {
			want := map[bool]int{true: 401, false: 200}[i < 10]
			if status, _ := r.post(h, bodyWith(fmt.Sprint(i))); status != want {
				t.Errorf("%d again: %d, want %d", i, status, want)
			}
		}
		if m := r.Handler.(*guard).heard; len(r.heard) != 20 || len(m.calls) > 10 || len(m.order) > 10 {
			t.Errorf("%d were heard, %d are remembered", len(r.heard), len(m.calls))
		}
	})
}

// Of many that come at once, one is heard.
func TestReplayAtOnce(t *testing.T) {
	var heard atomic.Int64
	g := Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }), ReceiverOptions{Secrets: []string{secret}})
	h := signedAs("a", time.Now(), secret)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			req := httptest.NewRequest("POST", "/", strings.NewReader(bodyWith("a")))
			req.Header = h
			g.ServeHTTP(httptest.NewRecorder(), req)
		})
	}
	all.Wait()
	if n := heard.Load(); n != 1 {
		t.Errorf("heard %d times", n)
	}
}

// A body that has broken off is not heard.
func TestTruncated(t *testing.T) {
	r := newReceiver(ReceiverOptions{Secrets: []string{secret}})
	body := bodyWith(id)
	req := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader(body), brokenReader{}))
	req.Header = signed(body, time.Now(), secret)
	w := httptest.NewRecorder()
	if r.ServeHTTP(w, req); w.Code != 400 || len(r.heard) > 0 {
		t.Errorf("%d, heard %q", w.Code, r.heard)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("unexpected EOF") }

// Both sides together.
func TestCallerAndReceiver(t *testing.T) {
	var heard atomic.Int64
	s := httptest.NewServer(Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard.Add(1)
		write(w, answer("[1]"))
	}), ReceiverOptions{Secrets: []string{otherSecret}}))
	defer s.Close()
	c := newCaller(t, s.URL)
	if got := call(c, patience); got != "failed" {
		t.Errorf("with another secret: %s", got)
	}
	if err := c.Configure(Options{URL: s.URL, Secrets: []string{secret, otherSecret}}); err != nil {
		t.Fatal(err)
	}
	if got := call(c, patience); got != "result [1]" {
		t.Error(got)
	}
	if got := call(c, patience); !strings.Contains(got, "-32000") { // the same id
		t.Errorf("once more: %s", got)
	}
	if n := heard.Load(); n != 1 {
		t.Errorf("heard %d times", n)
	}
}
