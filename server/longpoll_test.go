package server

import (
	"encoding/json"
	"fmt"
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
