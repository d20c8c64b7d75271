package handlers_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/handler/webhook"
)

// A recorded is a call as it was overheard on its way.
type recorded struct {
	header http.Header
	body   string
}

// overhear returns where calls can be posted that next is to answer, and what is
// posted there.
func overhear(t *testing.T, next http.Handler) (url string, calls <-chan recorded) {
	t.Helper()
	heard := make(chan recorded, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		heard <- recorded{r.Header.Clone(), string(body)}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/shaveet", heard
}

// post sends a call again.
func (r *recorded) post(t *testing.T, url string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = r.header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestReplay has somebody who overheard a call of the program's send it again, as
// it was and changed: a protected receiver performs it no second time.
func TestReplay(t *testing.T) {
	t.Parallel()
	var performed atomic.Int64
	protected := webhook.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c, err := readCall(text)
		if err != nil {
			t.Error(err)
			return
		}
		performed.Add(1)
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%q,"result":%s}`, c.ID, c.result())
	}), webhook.ReceiverOptions{Secrets: []string{secret}})
	url, overheard := overhear(t, protected)
	s := start(t, webhookTable("hook", url))
	c := gather(t, s, "/hook", 1)
	<-overheard // connect
	c.say(t, 1, c.sockets)
	c.settle(t)
	call := <-overheard
	if kinds := kindsOf(1, c.sockets); kinds[""] != 1 || performed.Load() != 2 {
		t.Fatalf("the page was told %v, and %d calls were performed", kinds, performed.Load())
	}
	for _, tt := range replays {
		t.Run(tt.name, func(t *testing.T) {
			replayed := recorded{call.header.Clone(), call.body}
			tt.change(&replayed)
			if status, text := replayed.post(t, url); status != tt.status || !strings.Contains(text, tt.says) {
				t.Errorf("%d %s, want %d and %q", status, text, tt.status, tt.says)
			}
			<-overheard
			if n := performed.Load(); n != 2 {
				t.Errorf("%d calls were performed, of 2", n)
			}
		})
	}
}

var replays = []struct {
	name   string
	change func(r *recorded)
	status int
	says   string
}{
	{"as it was", func(*recorded) {}, http.StatusOK, `"error"`},
	{"with another id", func(r *recorded) { r.header.Set(webhook.HeaderID, "00000000-0000-4000-8000-000000000000") },
		http.StatusBadRequest, "id"},
	{"with another id in the body too", func(r *recorded) {
		id := "00000000-0000-4000-8000-000000000000"
		r.body = strings.Replace(r.body, r.header.Get(webhook.HeaderID), id, 1)
		r.header.Set(webhook.HeaderID, id)
	}, http.StatusUnauthorized, webhook.ErrSignature.Error()},
	{"as if it were new", func(r *recorded) {
		r.header.Set(webhook.HeaderTimestamp, strconv.FormatInt(time.Now().Add(time.Minute).Unix(), 10))
	}, http.StatusUnauthorized, webhook.ErrSignature.Error()},
	{"with other words", func(r *recorded) { r.body = strings.Replace(r.body, `"args":[`, `"args":[ `, 1) },
		http.StatusUnauthorized, webhook.ErrSignature.Error()},
	{"with no signature", func(r *recorded) { r.header.Del(webhook.HeaderSignature) },
		http.StatusUnauthorized, webhook.ErrUnsigned.Error()},
}
