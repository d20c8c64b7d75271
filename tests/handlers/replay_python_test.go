package handlers_test

import (
	"fmt"
	"io"
	"log"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// TestReplayToPython has somebody who overheard a call send it again to the
// receiver of an example, which is Python: it performs it no second time.
func TestReplayToPython(t *testing.T) {
	t.Parallel()
	var chat atomic.Pointer[url.URL]
	at, overheard := overhear(t, &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(chat.Load()) },
		ErrorLog: log.New(io.Discard, "", 0), // at the end it goes first
	})
	s := start(t, webhookTable("chat", at))
	base := startChat(t, s)
	chat.Store(base)

	c := &crowd{addr: s.addr, namespace: "/chat"}
	ann, err := c.join()
	if err != nil {
		t.Fatal(err)
	}
	defer ann.conn.Close()
	<-overheard // connect
	ann.asks(t, 1, `"nickname","ann"`, `[true,"ann"]`)
	call := <-overheard
	ann.asks(t, 2, `"nickname","bea"`, `[true,"bea"]`)
	<-overheard
	for _, tt := range replays {
		replayed := recorded{call.header.Clone(), call.body}
		tt.change(&replayed)
		if status, text := replayed.post(t, base.String()+"/shaveet"); status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, status, text, tt.status)
		}
	}
	cat, err := c.join()
	if err != nil {
		t.Fatal(err)
	}
	defer cat.conn.Close()
	cat.asks(t, 1, `"nickname","bea"`, `[false]`)
	cat.asks(t, 2, `"nickname","ann"`, `[true,"ann"]`) // nobody has taken it again
}

// startChat starts the example's backend, and says where it is.
func startChat(t *testing.T, s *server) *url.URL {
	t.Helper()
	script := filepath.Join(live.Root(t), "examples", "socketio-chat", "python", "talk.py")
	live.Track(t, script)
	cmd := exec.Command(live.Tool(t, "python3"), script)
	cmd.Env = append(os.Environ(), "PORT=0", "CHAT_SECRET="+secret, "SHAVEET_RPC="+s.Main, "SHAVEET_PUBLIC="+s.Main)
	output := live.Run(t, cmd)
	var base string
	live.Until(t, "the chat begins", patience, func() bool {
		_, rest, _ := strings.Cut(output(), "chat on ")
		var whole bool
		base, _, whole = strings.Cut(rest, "/\n")
		return whole
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// asks says an event and wants an answer.
func (s *socket) asks(t *testing.T, id int, event, want string) {
	t.Helper()
	if err := s.wire.say(fmt.Sprintf("42%s,%d[%s]", s.crowd.namespace, id, event)); err != nil {
		t.Fatal(err)
	}
	begin := fmt.Sprintf("43%s,%d", s.crowd.namespace, id)
	for {
		text, err := s.hear()
		if err != nil {
			t.Fatal(err)
		}
		if answer, ok := strings.CutPrefix(string(text), begin); ok {
			if strings.ReplaceAll(answer, " ", "") != want {
				t.Errorf("to %s the answer is %s, want %s", event, answer, want)
			}
			return
		}
	}
}
