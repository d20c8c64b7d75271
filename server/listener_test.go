package server

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// With all of a door's connections taken, the next caller waits for its turn,
// and the other doors know nothing of it: the server can still be asked how it is.
func TestConnectionCap(t *testing.T) {
	t.Parallel()
	const most = 3
	r := start(t, func(c *Config) { c.MaxConnections, c.AdminListen = most, "127.0.0.1:0" })
	var taken []net.Conn
	for range most {
		c := dial(t, r.pub)
		if status := roundTrip(t, c, getRequest("/healthz")); status != 200 {
			t.Fatalf("below the cap: %d", status)
		}
		taken = append(taken, c)
	}

	waiting := dial(t, r.pub)
	io.WriteString(waiting, getRequest("/readyz"))
	waiting.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := waiting.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("above the cap: %v, want to wait", err)
	}
	for _, addr := range []string{r.adm, r.main} {
		if status, _ := get(t, "http://"+addr+"/healthz"); status != 200 {
			t.Errorf("health at another door: %d", status)
		}
	}
	r.call("create_client", "a")

	taken[0].Close()
	waiting.SetReadDeadline(time.Now().Add(patience))
	if resp, err := http.ReadResponse(bufio.NewReader(waiting), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("when there is room again: %v, %v", resp, err)
	}
	if n := strings.Count(r.log.String(), `"msg":"a door is full: who comes now waits until somebody leaves","door":"public","connections":3`); n != 1 {
		t.Errorf("the log says %d times that the door is full, want once", n)
	}
}

// Who watches a door sees its connections come and go.
func TestConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	r := start(t)
	var all []net.Conn
	for range 3 {
		c := dial(t, r.pub)
		roundTrip(t, c, getRequest("/healthz"))
		all = append(all, c)
	}
	r.wantMetric(`shaveet_connections{door="public"}`, 3)
	r.wantMetric(`shaveet_connections{door="main"}`, 0)
	for _, c := range all[:2] {
		c.Close()
	}
	r.wantMetric(`shaveet_connections{door="public"}`, 1)
	all[2].Close()
	r.wantMetric(`shaveet_connections{door="public"}`, 0)
	r.wantMetric(`shaveet_connections_accepted_total{door="public"}`, 3)
}

// A server that is full can be ended like any other.
func TestDrainAtTheConnectionCap(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.MaxConnections = 1 })
	c := dial(t, r.pub)
	roundTrip(t, c, getRequest("/healthz"))
	dial(t, r.pub) // waits
	r.stop()
	<-r.done
	if r.err != nil {
		t.Errorf("Serve: %v", r.err)
	}
	if !refused(r.pub) || !refused(r.main) {
		t.Error("a door is still open")
	}
}

// Many come and go through a narrow door, and all are served.
func TestConnectionsTakeTurns(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.MaxConnections = 2 })
	n := long(200, 5000)
	results := make(chan int, n)
	for range n {
		go func() {
			resp, err := oneShot.Get("http://" + r.pub + "/healthz")
			if err != nil {
				results <- 0
				return
			}
			resp.Body.Close()
			results <- resp.StatusCode
		}()
	}
	for range n {
		if status := <-results; status != 200 {
			t.Fatalf("status %d", status)
		}
	}
}

func roundTrip(t *testing.T, c net.Conn, request string) (status int) {
	t.Helper()
	io.WriteString(c, request)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
