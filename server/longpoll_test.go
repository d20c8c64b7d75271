package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func postTo(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

// A body must come soon; who has sent it may then be held for longer.
func TestPostIsHeldLongerThanABodyMayTake(t *testing.T) {
	inBubble(t, func(*Config) {}, func(t *testing.T, r *running, main, public *pipeListener) {
		admin := func(method string, params ...any) json.RawMessage {
			_, body := main.send(t, postTo("/", rpcBody(method, params...))).read()
			var answer struct{ Result json.RawMessage }
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			return answer.Result
		}
		var key string
		json.Unmarshal(admin("create_client", "alice"), &key)
		admin("subscribe", "alice", "room")
		hello := fmt.Sprintf(`{"clients":[{"id":"alice","key":%q}],"cursor":%q}`, key, r.srv.hub.Position().String())
		answers := public.send(t, postTo("/longpoll", hello)).answers()
		cfg := r.srv.Config()
		time.Sleep(2 * cfg.BodyTimeout)
		if !none(answers) {
			t.Fatalf("it was answered before there was news: %s", <-answers)
		}
		admin("new_message", "x", "hello", "room", false)
		if got := <-answers; !strings.HasPrefix(got, "200 ") || !strings.Contains(got, `"data":"hello"`) {
			t.Errorf("%s", got)
		}
	})
}

// A body that does not come is not waited for.
func TestSlowHello(t *testing.T) {
	inBubble(t, func(*Config) {}, func(t *testing.T, r *running, _, public *pipeListener) {
		answers := public.send(t, "POST /longpoll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{").answers()
		time.Sleep(r.srv.Config().BodyTimeout - time.Second)
		if !none(answers) {
			t.Fatal("it was not waited for")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := <-answers; !strings.HasPrefix(got, fmt.Sprint(http.StatusBadRequest)+" close=true") {
			t.Errorf("%s", got)
		}
	})
}

// A polling page asks again and again on one connection.
type pollingPage struct {
	*running
	conn   net.Conn
	in     *bufio.Reader
	id     string
	key    string
	cursor string
}

// poll asks, has meanwhile do something, and returns the answer.
func (p *pollingPage) poll(meanwhile func()) (status int, body string) {
	p.t.Helper()
	hello := fmt.Sprintf(`{"clients":[{"id":%q,"key":%q}],"cursor":%q,"session":"tab"}`, p.id, p.key, p.cursor)
	fmt.Fprintf(p.conn, "POST /longpoll HTTP/1.1\r\nHost: localhost\r\nOrigin: https://a.example\r\nContent-Length: %d\r\n\r\n%s", len(hello), hello)
	meanwhile()
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var answer struct{ Cursor string }
	json.Unmarshal(text, &answer)
	p.cursor = answer.Cursor
	return resp.StatusCode, string(text)
}

// held has the poll be there before something is done.
func (p *pollingPage) held(do func()) func() {
	return func() {
		for end := time.Now().Add(patience); p.srv.hub.Stats().Sessions == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				p.t.Fatal("the poll is not held")
			}
		}
		do()
	}
}

// Who has asked often is let in no more easily than who comes for the first time.
func TestPollsAgain(t *testing.T) {
	nothing := func() {}
	for name, test := range map[string]struct {
		change func(*pollingPage)
		status int
		want   string // of the next answer
	}{
		"nothing":           {func(p *pollingPage) { p.call("new_message", "x", "next", "room", false) }, 200, `"data":"next"`},
		"another key":       {func(p *pollingPage) { p.call("rotate_key", "alice") }, 404, `{"type":"gone","client":"alice"}`},
		"no client":         {func(p *pollingPage) { p.call("kill_client", "alice") }, 404, `{"type":"gone","client":"alice"}`},
		"another of a name": {func(p *pollingPage) { p.call("kill_client", "alice"); p.call("create_client", "alice") }, 404, `{"type":"gone","client":"alice"}`},
		"the origin": {func(p *pollingPage) {
			p.reload = func() (Config, error) {
				cfg := p.srv.Config()
				cfg.AllowedOrigins = []string{"https://b.example"}
				return cfg, nil
			}
			if _, err := p.srv.Reload(t.Context()); err != nil {
				t.Error(err)
			}
		}, 403, "Forbidden"},
		"the limits": {func(p *pollingPage) {
			p.reload = func() (Config, error) {
				cfg := p.srv.Config()
				cfg.MaxHelloBytes = 50
				return cfg, nil
			}
			if _, err := p.srv.Reload(t.Context()); err != nil {
				t.Error(err)
			}
		}, 413, "too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, func(cfg *Config) { cfg.AllowedOrigins = []string{"https://a.example"}; cfg.AccessLog = 1 })
			p := &pollingPage{running: r, conn: dial(t, r.pub), id: "alice", key: r.client("alice", "room")}
			p.in = bufio.NewReader(p.conn)
			p.cursor = r.srv.hub.Position().String()
			for i := range 5 {
				text := fmt.Sprint("message ", i)
				status, body := p.poll(p.held(func() { r.call("new_message", "x", text, "room", false) }))
				if status != 200 || strings.Count(body, `"pos"`) != 1 || !strings.Contains(body, text) {
					t.Fatalf("poll %d: %d %s", i, status, body)
				}
			}
			test.change(p)
			if status, body := p.poll(nothing); status != test.status || !strings.Contains(body, test.want) {
				t.Errorf("%d %s, want %d and %s", status, body, test.status, test.want)
			}
			logged := func() int { return strings.Count(r.log.String(), `"route":"/longpoll"`) }
			eventually(t, "all polls are in the log", func() bool { return logged() >= 6 }) // each behind its answer
			if n := logged(); n != 6 {
				t.Errorf("%d polls are in the log, want 6", n)
			}
			_, text := get(t, "http://"+r.main+"/metrics")
			class := fmt.Sprintf("%dxx", test.status/100)
			counts := map[string]int{"2xx": 5}
			counts[class]++
			for class, n := range counts {
				if want := fmt.Sprintf(`shaveet_http_requests_total{code=%q,route="/longpoll"} %d`, class, n); !strings.Contains(text, want) {
					t.Errorf("there is no %s", want)
				}
			}
			if !strings.Contains(text, `shaveet_http_requests_in_flight{route="/longpoll"} 0`) {
				t.Error("polls are counted that are over")
			}
		})
	}
}
