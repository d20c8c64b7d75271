package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/shaveet/shaveet/tests/live"
)

// A page is a client of Socket.IO that speaks through a proxy: by polls until it
// goes over to a WebSocket.
type page struct {
	t   *testing.T
	url string
	sid string
	in  []string // packets that have come
	ws  *websocket.Conn
}

func openPage(t *testing.T, s *site) *page {
	t.Helper()
	p := &page{t: t, url: s.base + "/socket.io/?EIO=4&transport=polling"}
	first := p.hear("0", atOnce)
	var open struct{ SID string }
	if err := json.Unmarshal([]byte(first[1:]), &open); err != nil || open.SID == "" {
		t.Fatalf("%q: %v", first, err)
	}
	p.sid = open.SID
	p.url += "&sid=" + open.SID
	return p
}

// ask polls or posts.
func (p *page) ask(ctx context.Context, method, body string) (status int, answer string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, p.url, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (p *page) say(packet string) {
	p.t.Helper()
	if p.ws != nil {
		if err := p.ws.Write(p.t.Context(), websocket.MessageText, []byte(packet)); err != nil {
			p.t.Fatal(err)
		}
		return
	}
	if status, answer := p.ask(p.t.Context(), "POST", packet); status != 200 || answer != "ok" {
		p.t.Fatalf("%.40q: status %d, %q", packet, status, answer)
	}
}

// hear returns the next packet that begins so, and answers pings meanwhile.
func (p *page) hear(prefix string, within time.Duration) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), within)
	defer cancel()
	for {
		for len(p.in) == 0 {
			p.in = p.next(ctx)
		}
		one := p.in[0]
		p.in = p.in[1:]
		if strings.HasPrefix(one, prefix) {
			return one
		}
		if one == "2" {
			p.say("3")
		}
	}
}

func (p *page) next(ctx context.Context) []string {
	p.t.Helper()
	if p.ws != nil {
		_, one, err := p.ws.Read(ctx)
		if err != nil {
			p.t.Fatal(err)
		}
		return []string{string(one)}
	}
	status, body := p.ask(ctx, "GET", "")
	if status != 200 {
		p.t.Fatalf("a poll: status %d, %q", status, body)
	}
	return strings.Split(body, "\x1e")
}

// goOver goes over to a WebSocket.
func (p *page) goOver() {
	p.t.Helper()
	ws, _, err := websocket.Dial(p.t.Context(), strings.Replace(p.url, "=polling", "=websocket", 1), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { ws.CloseNow() })
	p.ws = ws
	p.say("2probe")
	p.hear("3probe", atOnce)
	p.say("5")
}

// TestSocketIO has a page of Socket.IO read through each proxy: its script, what
// is said to it at once, in both ways, for longer than the proxy bears silence,
// and a POST as long as one may be. Its names are in no log.
func TestSocketIO(t *testing.T) {
	t.Parallel()
	const ping, patience, silence = 500 * time.Millisecond, 4 * time.Second, 5500 * time.Millisecond
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--socketio-ping-interval", ping.String())
		backend := httptest.NewServer(http.NotFoundHandler())
		defer backend.Close()
		s := p.start(t, behind{shaveet: srv.Public, backend: backend.URL, silence: patience})
		for _, name := range []string{"socket.io.js", "socket.io.min.js", "socket.io.esm.min.js"} {
			if resp, body := get(t, s.base+"/socket.io/"+name); resp.StatusCode != 200 || !strings.Contains(body, "Socket.IO v4.") {
				t.Errorf("%s: status %d, %.80q", name, resp.StatusCode, body)
			}
		}
		key := rpc[string](t, srv, "create_client", "ada")
		rpc[int](t, srv, "subscribe", "ada", "news")
		pg := openPage(t, s)
		pg.say(`40{"client_id":"ada","key":"` + key + `"}`)
		pg.hear("40", atOnce)
		hears := func(n int) {
			t.Helper()
			say(t, srv, "news", n, n, "")
			if got := pg.hear("42", atOnce); !strings.Contains(got, fmt.Sprintf(`"message %d."`, n)) {
				t.Errorf("message %d: heard %s", n, got)
			}
		}
		hears(1)
		outlast := func() {
			for began := time.Now(); time.Since(began) < silence; {
				pg.hear("2", ping+patience)
				pg.say("3")
			}
		}
		outlast()
		hears(2)
		pg.say(`42["much","` + strings.Repeat("x", 1_000_000-len(`42["much",""]`)) + `"]`)
		hears(3)
		pg.goOver()
		hears(4)
		outlast()
		hears(5)

		srv.Kill() // now the proxy has something to complain about
		if status, _ := pg.ask(t.Context(), "GET", ""); status != p.down {
			t.Errorf("without Shaveet: status %d", status)
		}
		for _, secret := range []string{key, pg.sid} {
			if strings.Contains(s.output(), secret) {
				t.Errorf("%s is in the proxy's log", secret)
			}
		}
	})
}
