package server

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// A client's key is told once, to the backend, and the admin token never:
// neither is in a log, however talkative, nor in any other answer.
func TestSecretsStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) {
		c.AdminToken = rightToken
		c.PollTimeout = 50 * time.Millisecond
		c.AccessLog = 1
	})
	alice, bob := r.client("alice", "room"), r.client("bob", "room")
	secrets := []string{alice, bob, rightToken, wrongToken}
	r.call("new_message", "alice", "hello", "room", false)

	var answers strings.Builder
	ask := func(method, addr, path, body string, header ...string) {
		req, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body == "" {
			req.Body = nil
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := oneShot.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		resp.Write(&answers)
	}
	const auth = "Authorization"
	for _, addr := range []string{r.main, r.pub} {
		// Keys: right ones, somebody else's, broken ones, in polls that can be answered and in others.
		for _, path := range []string{
			pollPath("alice", alice), pollPath("bob", bob), pollPath("alice", bob), pollPath("nobody", alice), pollPath(alice, alice),
			pollPath("alice", alice+"x"), pollPath("alice", alice)[:80], pollPath("alice", alice) + "&callback=" + alice,
			pollPath("alice", alice) + "%zz", pollPath("alice", alice) + "&v=2", pollPath("alice", bob) + "&v=2&jsonp=1",
			pollPath("alice", alice) + "_!!_", "/" + alice, "/message_updates/" + alice, "/static/" + alice,
		} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
				ask(method, addr, path, "")
			}
			ask("GET", addr, path, alice)
			ask("GET", addr, strings.Replace(path, "/message_updates", "/longpoll", 1), "")
		}
		for _, header := range []string{"Authorization", "Traceparent", "Origin", "Host", "X-Request-Id"} {
			ask("GET", addr, "/longpoll", "", header, "Shaveet alice_!!_"+alice)
			ask("GET", addr, "/longpoll?cursor="+bob, "", header, "Shaveet alice_!!_"+alice+", bob_!!_"+alice)
			ask("POST", addr, "/", "", header, rightToken)
		}
		for _, body := range []string{
			`{"clients":[{"id":"alice","key":"` + alice + `"}]}`, `{"clients":[{"id":"alice","key":"` + bob + `"}]}`,
			`{"clients":[{"id":"alice","key":"` + alice, `{"clients":"` + alice + `"}`, `{"session":"` + alice + ` "}`,
		} {
			ask("POST", addr, "/longpoll", body)
			ask("PUT", addr, "/longpoll", body)
		}
		// Tokens: right, wrong, and where they do not belong.
		ask("POST", addr, "/", rpcBody("get_channel_clients", "room"), auth, "Bearer "+rightToken)
		ask("POST", addr, "/", rpcBody("info"), auth, "Bearer "+rightToken)
		ask("POST", addr, "/", rpcBody("create_client", "eve"), auth, "Bearer "+wrongToken)
		ask("POST", addr, "/?token="+rightToken, rpcBody("create_client", "eve"))
		ask("GET", addr, "/", "", auth, "Bearer "+rightToken)
		ask("POST", addr, "/"+rightToken, "", auth, "Bearer "+wrongToken)
	}
	// Calls that fail, with secrets in them.
	for _, body := range []string{
		rpcBody("nope", alice), rpcBody("create_client", 5, alice), rpcBody("subscribe", "alice", []string{alice}),
		`{"method":"create_client","params":{"key":"` + alice + `"}}`, `{"` + alice, `[` + alice + `]`,
	} {
		ask("POST", r.main, "/", body, auth, "Bearer "+rightToken)
	}
	r.stop()
	<-r.done

	log := r.log.String()
	if !strings.Contains(log, "refused") || !strings.Contains(log, `"route":"/longpoll"`) {
		t.Error("the log is empty, so this test proves nothing")
	}
	for i, secret := range secrets {
		if strings.Contains(log, secret) {
			t.Errorf("the log has secret %d", i)
		}
	}
	told := answers.String()
	for i, secret := range secrets[2:] {
		if strings.Contains(told, secret) {
			t.Errorf("an answer has token %d", i)
		}
	}
	for line := range strings.Lines(told) {
		// A page may choose any callback and any id, those that look like its key too.
		line = strings.ReplaceAll(line, "/**/"+alice+"(", "")
		line = strings.ReplaceAll(line, `"client":"`+alice+`"`, "")
		if strings.Contains(line, alice) || strings.Contains(line, bob) {
			t.Errorf("an answer has a key: %.200q", line)
		}
	}
}

// An unknown client and a wrong key look the same.
func TestNobodyLearnsWhoExists(t *testing.T) {
	t.Parallel()
	r := start(t)
	key := r.client("alice", "room")
	for _, marked := range []string{"", "&v=2", "&v=2&jsonp=1"} {
		answer := func(id, key string) string {
			return strings.ReplaceAll(raw(t, r.pub, "GET "+pollPath(id, key)+marked+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), id, "ID")
		}
		undated := func(s string) string { // Date changes between two answers
			var b strings.Builder
			for line := range strings.Lines(s) {
				if !strings.HasPrefix(line, "Date: ") {
					b.WriteString(line)
				}
			}
			return b.String()
		}
		wrong, unknown := undated(answer("alice", strings.Repeat("0", len(key)))), undated(answer("nobod", key))
		if wrong != unknown {
			t.Errorf("a wrong key is answered\n%s\nand an unknown client\n%s", wrong, unknown)
		}
	}
}
