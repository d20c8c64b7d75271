package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// A page that hangs up before something is published has not taken it, however
// little before: the next poll gets it.
func TestHangUpBeforeThePublish(t *testing.T) {
	r := start(t)
	key := r.client("a", "room")
	// A page that stays: its connection is kept, so what it reads is taken.
	page := http.Client{Timeout: patience, Transport: new(http.Transport)}
	defer page.CloseIdleConnections()
	poll := func() string {
		resp, err := page.Get("http://" + r.pub + pollPath("a", key))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if body := poll(); !strings.Contains(body, "subscribe") {
		t.Fatal(body)
	}
	for i := range long(200, 5000) {
		c := dial(t, r.pub)
		if _, err := c.Write([]byte(getRequest(pollPath("a", key)))); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a poll is held", func() bool { return r.srv.hub.Stats().Sessions == 1 })
		if i%2 == 0 {
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
		text := fmt.Sprint("number ", i)
		// By the shortest way, before net/http has had time to notice.
		if _, err := r.srv.hub.Publish(t.Context(), hub.Publication{Channel: "room", Sender: []byte(`"x"`), Data: []byte(`"` + text + `"`)}); err != nil {
			t.Fatal(err)
		}
		if body := poll(); !strings.Contains(body, text) {
			t.Fatalf("%q, published after the hang-up, is lost: %s", text, body)
		}
		eventually(t, "the polls end", func() bool { return r.srv.hub.Stats().Sessions == 0 })
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// A call that has come whole is done, even if nobody waits for its answer.
func TestFireAndForget(t *testing.T) {
	r := start(t)
	key := r.client("a", "room")
	for i := range 100 {
		c := dial(t, r.main)
		body := fmt.Sprintf(`{"jsonrpc":"2.0","method":"new_message","params":["test","number %d","room",false]}`, i)
		if _, err := c.Write([]byte(postRequest(body))); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	var all strings.Builder
	for deadline := time.Now().Add(patience); strings.Count(all.String(), "number ") < 100; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of 100 came", strings.Count(all.String(), "number "))
		}
		_, body := get(t, "http://"+r.pub+pollPath("a", key))
		all.WriteString(body)
	}
}

// The answers of a batch are bounded, as its calls are.
func TestBatchAnswerIsBounded(t *testing.T) {
	r := start(t, func(c *Config) { c.MaxAnswerBytes = 10_000 })
	for i := range 20 {
		r.client(fmt.Sprint("client with a long name ", strings.Repeat("x", 100), i), "room")
	}
	one := `{"jsonrpc":"2.0","id":1,"method":"get_channel_clients","params":["room"]}`
	req, _ := http.NewRequest("POST", "http://"+r.main+"/", strings.NewReader("["+one+strings.Repeat(","+one, 99)+"]"))
	status, body := do(t, req)
	made, left := strings.Count(body, `"result"`), strings.Count(body, "max_answer_bytes")
	if status != 200 || made < 3 || made > 10 || made+left != 100 {
		t.Errorf("status %d: %d calls made, %d refused", status, made, left)
	}
}
