package engine_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/transport/socketio/engine"
)

// The first packet tells what the client has to know, and nothing else.
func TestOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{MaxPayload: 1234})
		answer, err := p.client.Get("http://x/?EIO=4&transport=polling&t=abc")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if kind := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || kind != "text/plain; charset=UTF-8" || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("the answer is %d, %s, %v", answer.StatusCode, kind, answer.Header)
		}
		wantOpen(t, strings.TrimPrefix(string(body), "0"), `["websocket"]`)
		c := p.dial("EIO=4&transport=websocket")
		synctest.Wait()
		wantOpen(t, strings.TrimPrefix(c.lines[0], "0"), `[]`)
	})
}

func wantOpen(t *testing.T, text, upgrades string) {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatalf("the first packet is %q", text)
	}
	var sid string
	json.Unmarshal(fields["sid"], &sid)
	delete(fields, "sid")
	want := map[string]string{"upgrades": upgrades, "pingInterval": "25000", "pingTimeout": "20000", "maxPayload": "1234"}
	for name, value := range want {
		if string(fields[name]) != value {
			t.Errorf("%s is %s, want %s", name, fields[name], value)
		}
	}
	if len(sid) != 20 || len(fields) != len(want) {
		t.Errorf("the first packet is %s", text)
	}
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		polling, socket := p.begin(""), p.begin("")
		p.goOver(socket)
		for _, test := range []struct{ name, method, query, origin, want string }{
			{"no transport", "GET", "EIO=4", "", `400 {"code":0,"message":"Transport unknown"}`},
			{"an unknown one", "GET", "EIO=4&transport=flash", "", `400 {"code":0,"message":"Transport unknown"}`},
			{"before all else", "PUT", "transport=&sid=x", "a\x01b", `400 {"code":0,"message":"Transport unknown"}`},
			{"a bad origin", "GET", "EIO=4&transport=polling&sid=x", "a\x01b", bad},
			{"an unknown session", "GET", "EIO=4&transport=polling&sid=abc", "", unknown},
			{"an empty one", "GET", "EIO=4&transport=polling&sid=", "", unknown},
			{"one that is not there", "GET", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA", "", unknown},
			{"with bad letters", "GET", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAA%2b", "", unknown},
			{"another transport", "GET", strings.Replace(polling, "polling", "websocket", 1), "", bad},
			{"polling when it has gone over", "GET", socket, "", bad},
			{"saying when it has gone over", "POST", socket, "", bad},
			{"a wrong method", "POST", "EIO=4&transport=polling", "", `400 {"code":2,"message":"Bad handshake method"}`},
			{"a wrong method for the version, too", "PUT", "EIO=7&transport=polling", "", `400 {"code":2,"message":"Bad handshake method"}`},
			{"another wrong method", "PUT", polling, "", bad},
			{"a WebSocket that is none", "GET", "EIO=4&transport=websocket", "", bad},
			{"no version", "GET", "transport=polling", "", `400 {"code":5,"message":"Unsupported protocol version"}`},
			{"an old version", "GET", "EIO=3&transport=polling", "", `400 {"code":5,"message":"Unsupported protocol version"}`},
			{"scripts", "GET", "EIO=4&transport=polling&j=0", "", bad},
		} {
			r := httptest.NewRequest(test.method, "/?"+test.query, nil)
			if test.origin != "" {
				r.Header["Origin"] = []string{test.origin}
			}
			w := httptest.NewRecorder()
			p.server.ServeHTTP(w, r)
			if got := fmt.Sprintf("%d %s", w.Code, w.Body); got != test.want || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%s: got %s, %v, want %s", test.name, got, w.Header(), test.want)
			}
		}
		p.post(polling, "4still there")
		p.is(p.get(polling), "200 4still there")
	})
}

// A request for a WebSocket that is refused gets a plain answer, the last on its
// connection.
func TestRefusedSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		for _, test := range []struct{ name, request, want string }{
			{"no transport", shake("EIO=4"), "400 Transport unknown"},
			{"a wrong one", shake("EIO=4&transport=polling"), "400 Bad request"},
			{"an unknown session", shake("EIO=4&transport=websocket&sid=x"), "400 Session ID unknown"},
			{"polling", shake(p.begin("")), "400 Bad request"},
			{"no version", shake("transport=websocket"), "400 Unsupported protocol version"},
			{"a wrong method", strings.Replace(shake("EIO=4&transport=websocket"), "GET", "PUT", 1), "400 Bad handshake method"},
			{"no key", strings.Replace(shake("EIO=4&transport=websocket"), "Sec-WebSocket-Key", "X", 1), "400 Sec-WebSocket-Key must be 16 bytes in Base64, once"},
			{"no key for going over", strings.Replace(shake(strings.Replace(p.begin(""), "polling", "websocket", 1)), "Sec-WebSocket-Key", "X", 1), "400 Sec-WebSocket-Key must be 16 bytes in Base64, once"},
		} {
			c := p.pipes.dial()
			go io.WriteString(c, test.request)
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(answer.Body)
			if got := fmt.Sprintf("%d %s", answer.StatusCode, body); got != test.want || !answer.Close {
				t.Errorf("%s: got %s, %v, want %s", test.name, got, answer.Header, test.want)
			}
		}
		if n := p.server.Stats().BadRequests; n != 8 {
			t.Errorf("%d bad requests are counted", n)
		}
	})
}

// Who begins too many sessions has to wait for the next second, unless it is on
// this machine.
func TestTooManyHandshakes(t *testing.T) {
	const tooMany = `429 {"code":4,"message":"Too many handshakes"}`
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{MaxHandshakes: 2})
		for _, remote := range []string{"", "127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.2]:1", "@"} {
			p.remote = remote
			for range 3 {
				p.begin("")
			}
		}
		ask := func(remote string) string {
			p.remote = remote
			status, _, _ := strings.Cut(p.get("EIO=4&transport=polling"), "0{")
			return status
		}
		for range 2 {
			for _, test := range []struct{ remote, want string }{
				{"192.0.2.1:1", "200 "}, {"192.0.2.1:2", "200 "}, {"192.0.2.1:3", tooMany}, {"192.0.2.2:1", "200 "}, {"[::ffff:192.0.2.1]:1", tooMany},
				{"[2001:db8::1]:1", "200 "}, {"[2001:db8::1:0:0:2]:1", "200 "}, {"[2001:db8::3]:1", tooMany}, {"[2001:db8:0:1::1]:1", "200 "},
			} {
				if got := ask(test.remote); got != test.want {
					t.Errorf("%s is answered %s, want %s", test.remote, got, test.want)
				}
			}
			time.Sleep(time.Second)
		}
		if n := p.server.Stats().Refused; n != 6 {
			t.Errorf("%d are counted as refused", n)
		}
	})
}

func TestTooManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{MaxSessions: 2})
		p.shape = func(a *app) { a.session.Settled() }
		first := p.begin("")
		c := p.socket("")
		p.is(p.get("EIO=4&transport=polling"), full)
		p.post(first, "1")
		time.Sleep(time.Second)
		p.begin("")
		if s := p.server.Stats(); s.Polling != 1 || s.WebSocket != 1 || s.Handshakes != 3 {
			t.Errorf("the numbers are %+v", s)
		}
		o := p.opts
		o.MaxSessions = 3
		p.server.Configure(o)
		p.begin("")
		c.conn.Close()
		c.hears("end")
		p.begin("")
	})
}

// An app can refuse, and end what it has just begun.
func TestRefusedByTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, engine.Options{})
		o := p.opts
		o.Open = func(*engine.Session, *http.Request, url.Values) engine.App { return nil }
		p.server.Configure(o)
		p.is(p.get("EIO=4&transport=polling"), `403 {"code":4,"message":"Forbidden"}`)
		if s := p.server.Stats(); s.Polling != 0 || s.Refused != 1 {
			t.Errorf("the numbers are %+v", s)
		}
		p.server.Configure(p.opts)
		p.shape = func(a *app) { a.session.Fail(engine.Invalid) }
		query := p.begin("")
		p.last().saw("closed: invalid")
		p.is(p.get(query), "200 6\x1e1")
		c := p.dial("EIO=4&transport=websocket")
		c.hears("close 1008")
	})
}
