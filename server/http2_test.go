package server

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Over HTTP/2 without TLS a proxy's connection carries many readers, polls and
// streams, whose ends are each their own.
func TestHTTP2WithoutTLS(t *testing.T) {
	r := start(t, func(c *Config) { c.HTTP2 = true })
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: transport}
	defer transport.CloseIdleConnections()

	const readers = 100
	var lines []*bufio.Reader
	for i := range readers {
		id := fmt.Sprint("reader", i)
		key := r.client(id, "room")
		path := []string{"/stream", "/sse"}[i%2] + "?cursor=now&client_id=" + id + "_!!_" + key
		resp, err := client.Get("http://" + r.pub + path)
		if err != nil || resp.ProtoMajor != 2 || resp.StatusCode != 200 {
			t.Fatalf("%+v, %v", resp, err)
		}
		defer resp.Body.Close()
		lines = append(lines, bufio.NewReader(resp.Body))
	}
	key := r.client("poller", "room")
	polled := make(chan string, 1)
	go func() {
		resp, err := client.Get("http://" + r.pub + "/longpoll?cursor=" + r.srv.hub.Position().String() + "&client_id=poller_!!_" + key)
		if err != nil {
			polled <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		polled <- string(body)
	}()
	r.call("publish", "room", "hello")
	for i, in := range lines {
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatalf("reader %d: %v", i, err)
			}
			if strings.Contains(line, `"data":"hello"`) {
				break
			}
		}
	}
	if got := <-polled; !strings.Contains(got, `"data":"hello"`) {
		t.Errorf("the poll: %s", got)
	}
	req, _ := http.NewRequest("GET", "http://"+r.pub+"/websocket", nil)
	if resp, err := client.Do(req); err != nil || resp.StatusCode != 426 && resp.StatusCode != 400 {
		t.Errorf("a WebSocket: %+v, %v", resp, err)
	}
}
