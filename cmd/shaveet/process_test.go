//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// reader makes a client on a channel, and takes the notice of its joining.
func reader(t *testing.T, base, id, channel string) (poll string) {
	t.Helper()
	var key string
	if err := json.Unmarshal(rpc(t, base, "create_client", id), &key); err != nil {
		t.Fatal(err)
	}
	rpc(t, base, "subscribe", id, channel)
	poll = "/message_updates?callback=cb&client_id=" + url.QueryEscape(id+"_!!_"+key)
	if status, body := get(t, base+poll); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	return poll
}

// hold sends a poll on a connection of its own.
func hold(t *testing.T, base, poll string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * patience))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", poll)
	return c, bufio.NewReader(c)
}

// SIGTERM answers who is held, and the program ends well.
func TestTerminate(t *testing.T) {
	n := 100
	if os.Getenv("SHAVEET_LONG") != "" {
		n = 5000
	}
	srv := live.Start(t, "--drain-delay", "100ms", "--drain-timeout", "20s")
	poll := reader(t, srv.Main, "alice", "room")
	var held []*bufio.Reader
	for i := range n {
		if i%10 == 0 && i > 0 { // a client has only so many sessions
			poll = reader(t, srv.Main, fmt.Sprint("alice", i), fmt.Sprint("room", i))
		}
		_, in := hold(t, srv.Main, poll)
		held = append(held, in)
	}
	live.Until(t, "all polls are held", patience, func() bool { return sessions(t, srv.Main) == n })

	srv.Stop() // fails the test unless the exit status is 0
	for i, in := range held {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("poll %d: %v", i, err)
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || !resp.Close || len(body) == 0 {
			t.Fatalf("poll %d: %d, closing: %v, %q", i, resp.StatusCode, resp.Close, body)
		}
	}
	if live.Answers(srv.Main + "/healthz") {
		t.Error("somebody still answers")
	}
}

// After SIGKILL everything is new: old keys open nothing, and the log is
// another one, so that no position of before is taken for one of now.
func TestKillAndRestart(t *testing.T) {
	srv := live.Start(t)
	poll := reader(t, srv.Main, "alice", "room")
	before := position(t, srv.Main)

	srv.Restart()
	if status, body := get(t, srv.Main+poll); status != 404 {
		t.Errorf("a key of before: %d %s, want 404", status, body)
	}
	for range before.seq + 10 {
		rpc(t, srv.Main, "new_message", "x", "hello", "admin", false)
	}
	if now := position(t, srv.Main); now.epoch == before.epoch || now.epoch == "" {
		t.Errorf("the log was %s and is %s, want another", before.epoch, now.epoch)
	}
	if again := reader(t, srv.Main, "alice", "room"); again == poll {
		t.Error("the client made anew has the old key")
	}
}

type place struct {
	epoch string
	seq   int
}

func position(t *testing.T, base string) (p place) {
	t.Helper()
	var info struct{ Position string }
	if err := json.Unmarshal(rpc(t, base, "info"), &info); err != nil {
		t.Fatal(err)
	}
	epoch, seq, _ := strings.Cut(info.Position, ".")
	fmt.Sscan(seq, &p.seq)
	p.epoch = epoch
	return p
}

// Readers that do not read, and callers that do not finish, do not keep the
// program from ending.
func TestTerminateWithStalledPeers(t *testing.T) {
	const limit = time.Second
	srv := live.Start(t, "--drain-delay", "0s", "--drain-timeout", limit.String())
	poll := reader(t, srv.Main, "alice", "room")
	for range 10 {
		hold(t, srv.Main, poll)
		c, _ := hold(t, srv.Main, "/nothing")
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
	}
	live.Until(t, "the polls are held", patience, func() bool { return sessions(t, srv.Main) == 10 })
	pid := srv.Pid()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	live.Until(t, "it ends", limit+patience, func() bool { return syscall.Kill(pid, 0) != nil })
	live.Until(t, "it says that something was cut off", patience, func() bool { return strings.Contains(srv.Log(), "drain_timeout") })
}
