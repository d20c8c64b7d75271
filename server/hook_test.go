package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/shaveet/shaveet/server/handler/webhook"
	"github.com/shaveet/shaveet/server/hub"
)

const (
	rightSecret = "right-secret-0123456789"
	newSecret   = "new-secret-9876543210"
)

// heard is a call as the backend hears it.
type heard struct {
	ID     string
	Method string
	Params struct {
		Serial    uint64
		Epoch     string
		Time      time.Time
		SID       string
		Namespace string
		ClientID  *string `json:"client_id"`
		Auth      json.RawMessage
		Recovered bool
		Address   string
		Headers   map[string]string
		Protocol  int
		Event     string
		Args      json.RawMessage
		Ack       bool
		Data      json.RawMessage
		Reason    string
		Channels  []string
	}
	Header http.Header // of a webhook's request
}

// String is what tests say a call is.
func (h heard) String() string {
	p := &h.Params
	client := "nobody"
	if p.ClientID != nil {
		client = *p.ClientID
	}
	switch h.Method {
	case "connect":
		return fmt.Sprintf("connect %s to %s", client, p.Namespace)
	case "event":
		return fmt.Sprintf("event %s%s", p.Event, p.Args)
	case "disconnect":
		return "disconnect: " + p.Reason
	}
	return fmt.Sprintf("%s %s: %s %v", h.Method, client, p.Reason, p.Channels)
}

// A hook is a backend that is asked by HTTP. It hears only what is signed.
type hook struct {
	*httptest.Server
	t      testing.TB
	calls  chan heard                   // as they come
	guard  atomic.Pointer[http.Handler] // that knows the secrets
	answer func(http.ResponseWriter, *heard) (result string)
}

// newHook returns a backend that knows rightSecret. Without an answer all results
// are null.
func newHook(t testing.TB, answer func(http.ResponseWriter, *heard) (result string)) *hook {
	k := &hook{t: t, calls: make(chan heard, 1000), answer: answer}
	k.trust(rightSecret)
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*k.guard.Load()).ServeHTTP(w, r) }))
	t.Cleanup(k.Server.Close)
	return k
}

// trust has it know these secrets and no others.
func (k *hook) trust(secrets ...string) {
	guard := webhook.Protect(http.HandlerFunc(k.hear), webhook.ReceiverOptions{Secrets: secrets})
	k.guard.Store(&guard)
}

func (k *hook) hear(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h := heard{Header: r.Header}
	if err := json.Unmarshal(body, &h); err != nil {
		k.t.Errorf("%s: %v", body, err)
	}
	k.calls <- h
	result := "null"
	if k.answer != nil {
		result = k.answer(w, &h)
	}
	if result != "" {
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%q,%s}`, h.ID, outcome(result))
	}
}

// outcome makes a result, or what says that it is an error, a member.
func outcome(result string) string {
	if len(result) > 8 && result[:8] == `{"code":` {
		return `"error":` + result
	}
	return `"result":` + result
}

// next returns the next call.
func (k *hook) next() heard {
	k.t.Helper()
	select {
	case h := <-k.calls:
		return h
	case <-time.After(patience):
		k.t.Fatal("nothing is asked")
		return heard{}
	}
}

// want takes the next calls, which have to be these.
func (k *hook) want(calls ...string) {
	k.t.Helper()
	for _, want := range calls {
		if got := k.next().String(); got != want {
			k.t.Errorf("asked is %q, want %q", got, want)
		}
	}
}

// silent says if something more was asked.
func (k *hook) silent() {
	k.t.Helper()
	for len(k.calls) > 0 {
		k.t.Errorf("asked is %q, too", <-k.calls)
	}
}

// asks has a namespace, for everybody, be answered by the webhook "game" at k.
func (k *hook) asks(namespace string) func(*Config) {
	return func(c *Config) {
		c.Webhook = []WebhookRule{{"game", WebhookSettings{URL: k.URL, Secrets: []string{rightSecret}}}}
		c.Namespace = append(c.Namespace, NamespaceRule{namespace, NamespaceSettings{Open: true, Handler: "game"}})
	}
}

// asksBackend has everybody's events be answered by the backend's own WebSocket.
func asksBackend(c *Config) {
	c.Namespace = []NamespaceRule{{hub.Root, NamespaceSettings{Open: true, Handler: BackendHandler}}}
}

// A caller is the backend's own WebSocket.
type caller struct {
	*websocket.Conn
	t   testing.TB
	ctx context.Context
}

// A said is a message to it.
type said struct {
	heard
	ID     json.RawMessage
	Result json.RawMessage
	Error  json.RawMessage
}

// backend connects as the backend. Unlike a browser it has nothing to show but the
// token, if there is one.
func (r *running) backend() *caller {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	header := make(http.Header)
	if token := r.srv.Config().AdminToken; token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	ws, _, err := websocket.Dial(ctx, "ws://"+r.adm+"/rpc", &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		ws.CloseNow()
		cancel()
	})
	return &caller{ws, r.t, ctx}
}

func (c *caller) say(message string) {
	c.t.Helper()
	if err := c.Write(c.ctx, websocket.MessageText, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next message.
func (c *caller) next() (m said) {
	c.t.Helper()
	_, text, err := c.Read(c.ctx)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		c.t.Fatalf("%s: %v", text, err)
	}
	return m
}

// serve has calls be made by c.
func (c *caller) serve() {
	c.t.Helper()
	c.say(`{"jsonrpc":"2.0","id":"serve","method":"serve"}`)
	if m := c.next(); string(m.Result) != "true" {
		c.t.Fatalf("serve is answered %+v", m)
	}
}

// reply takes the next message, which has to be this call, and answers it.
func (c *caller) reply(want, result string) said {
	c.t.Helper()
	m := c.next()
	if got := m.String(); got != want {
		c.t.Errorf("asked is %q, want %q", got, want)
	}
	c.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,%s}`, m.ID, outcome(result)))
	return m
}

// A visitor is a page that has joined a namespace, as the socket id.
type visitor struct {
	*eio
	id string
}

// joined is a page that joins a namespace, with what it shows.
func joined(t testing.TB, r *running, namespace string, shown ...string) *visitor {
	t.Helper()
	c, where := connect(t, r.pub, ""), "40"+namespace+","
	if namespace == hub.Root {
		where = "40"
	}
	c.say(where + strings.Join(shown, ""))
	got, ok := strings.CutPrefix(c.hear("4"), where)
	var welcome struct{ SID string }
	if !ok || json.Unmarshal([]byte(got), &welcome) != nil {
		t.Fatalf("%s", got)
	}
	return &visitor{c, welcome.SID}
}
