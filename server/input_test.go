package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A body over the limit is refused unread, and nothing is read after it.
func TestBodyTooLarge(t *testing.T) {
	t.Parallel()
	r := start(t)
	const size = 100 << 20
	c := dial(t, r.main)
	sent := make(chan int, 1)
	go func() {
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", size)
		sent <- flood(c, bytes.Repeat([]byte("x"), 64<<10), size)
	}()
	wantRefusedAndClosed(t, c, 413)
	c.Close()
	if n := <-sent; n >= size {
		t.Errorf("all %d bytes were taken", n)
	}
}

// A chunked body has no announced length, and may have no end.
func TestEndlessBody(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.MaxBodyBytes = 64 << 10 })
	c := dial(t, r.main)
	sent := make(chan int, 1)
	go func() {
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
		sent <- flood(c, []byte("400\r\n"+strings.Repeat(" ", 1024)+"\r\n"), 200<<20)
	}()
	wantRefusedAndClosed(t, c, 413)
	c.Close()
	if n := <-sent; n >= 200<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

func TestExpectContinueTooLarge(t *testing.T) {
	t.Parallel()
	r := start(t)
	c := dial(t, r.main)
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", 100<<20)
	wantRefusedAndClosed(t, c, 413) // at once: no 100 before it
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	r := start(t)
	body := rpcBody("create_client", "a")
	c := dial(t, r.main)
	in := bufio.NewReader(c)
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
	if line, _ := in.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, want 100 Continue", line)
	}
	in.ReadString('\n')
	io.WriteString(c, body)
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
}

// flood writes b again and again, until it cannot or has written limit bytes.
func flood(c net.Conn, b []byte, limit int) (sent int) {
	for sent < limit {
		n, err := c.Write(b)
		sent += n
		if err != nil {
			break
		}
	}
	return sent
}

func wantRefusedAndClosed(t *testing.T, c net.Conn, status int) {
	t.Helper()
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	if resp.StatusCode != status || !resp.Close {
		t.Errorf("%d, closing: %v, want %d and the connection closed", resp.StatusCode, resp.Close, status)
	}
	io.Copy(io.Discard, resp.Body)
	wantClosed(t, in)
}

// wantClosed reads until the server closes the connection, which it must do
// without another answer.
func wantClosed(t *testing.T, in io.Reader) {
	t.Helper()
	rest, err := io.ReadAll(in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays open")
	}
	if len(rest) > 0 {
		t.Errorf("there is more after the answer: %.100q", rest)
	}
}

func TestHeaderTooLarge(t *testing.T) {
	t.Parallel()
	r := start(t)
	const head = "Host: localhost\r\nConnection: close\r\n"
	for what, request := range map[string]string{
		"a header of 1 MB":   "GET /healthz HTTP/1.1\r\n" + head + "X: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"a name of 1 MB":     "GET /healthz HTTP/1.1\r\n" + head + strings.Repeat("x", 1<<20) + ": x\r\n\r\n",
		"10,000 headers":     "GET /healthz HTTP/1.1\r\n" + head + strings.Repeat("X: x\r\n", 10_000) + "\r\n",
		"a URL of 64 KB":     "GET /" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\n" + head + "\r\n",
		"10,000 client_ids":  "GET /message_updates?callback=cb" + strings.Repeat("&client_id=a_!!_k", 10_000) + " HTTP/1.1\r\n" + head + "\r\n",
		"a header to no end": "GET /healthz HTTP/1.1\r\n" + head + strings.Repeat("x", 1<<20),
	} {
		if status := rawStatus(t, r.main, request); status != 431 && status != 414 {
			t.Errorf("%s: %d, want 431", what, status)
		}
	}
}

// Where the header may be long, the number of clients still has its own limit.
func TestTooManyClientsInOnePoll(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.MaxHeaderBytes = 1 << 20 })
	status, body := get(t, "http://"+r.main+"/message_updates?callback=cb"+strings.Repeat("&client_id=a_!!_k", 5_000))
	if status != 400 || !strings.Contains(body, "client_id") {
		t.Errorf("%d %q, want 400", status, body)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	r := start(t)
	const n = 1000
	var all strings.Builder
	for i := range n {
		body := fmt.Sprintf(`{"method":"get_channel_clients","params":["room"],"id":%d}`, i)
		fmt.Fprintf(&all, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	c := dial(t, r.main)
	go io.WriteString(c, all.String())
	in := bufio.NewReader(c)
	for i := range n {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		var answer struct{ ID int }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.ID != i {
			t.Fatalf("answer %d has the id %d (%v)", i, answer.ID, err)
		}
		io.Copy(io.Discard, resp.Body)
	}
}

// hidden is a request inside or behind the body of another. If the server and
// a proxy in front of it disagree about where a body ends, it may run.
var hidden = func() string {
	body := rpcBody("create_client", "hidden")
	return "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + length(body) + "\r\n\r\n" + body
}()

func TestNothingIsSmuggled(t *testing.T) {
	t.Parallel()
	r := start(t)
	const post, get, host = "POST / HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\n", "Host: localhost\r\n"
	const noChunks = "\r\n0\r\n\r\n" // ends the header, then a chunked body without chunks
	for what, request := range map[string]string{
		"length and chunked":                post + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" + noChunks,
		"chunked and length":                post + host + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" + noChunks,
		"chunked after a tab":               post + host + "Content-Length: 5\r\nTransfer-Encoding:\tchunked\r\n" + noChunks,
		"chunked in capitals":               post + host + "Content-Length: 5\r\nTransfer-Encoding: CHUNKED\r\n" + noChunks,
		"chunked, but HTTP/1.0":             "POST / HTTP/1.0\r\n" + host + "Connection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" + noChunks,
		"two lengths":                       post + host + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
		"two lengths in a line":             post + host + "Content-Length: 5, 6\r\n\r\n",
		"length +5":                         post + host + "Content-Length: +5\r\n\r\n",
		"length -5":                         post + host + "Content-Length: -5\r\n\r\n",
		"length 0x5":                        post + host + "Content-Length: 0x5\r\n\r\n",
		"length 5 5":                        post + host + "Content-Length: 5 5\r\n\r\n",
		"length of many digits":             post + host + "Content-Length: 99999999999999999999\r\n\r\n",
		"space before the colon":            post + host + "Content-Length : 5\r\n\r\n",
		"space before the colon of chunked": post + host + "Transfer-Encoding : chunked\r\n" + noChunks,
		"unknown encoding":                  post + host + "Transfer-Encoding: xchunked\r\n" + noChunks,
		"two encodings":                     post + host + "Transfer-Encoding: chunked, identity\r\n" + noChunks,
		"chunked twice":                     post + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + noChunks,
		"gzip, chunked":                     post + host + "Transfer-Encoding: gzip, chunked\r\n" + noChunks,
		"chunk size 0x0":                    post + host + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
		"chunk size too large":              post + host + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
		"chunk size negative":               post + host + "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
		"chunk longer than it says":         post + host + "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
		"two hosts":                         post + host + host + "\r\n",
		"no host":                           post + "\r\n",
		"a null byte":                       post + host + "X: a\x00b\r\n\r\n",
		"a null byte in a name":             post + host + "X\x00: a\r\n\r\n",
		"a bare CR":                         post + host + "X: a\rTransfer-Encoding: chunked\r\n\r\n",
		"a header without a colon":          post + host + "X\r\n\r\n",
		"a header without a name":           post + host + ": x\r\n\r\n",
		"a first line of two words":         "POST /\r\n" + host + "\r\n",
		"HTTP/2.0 in plain":                 "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"HTTP/1.2.3":                        "POST / HTTP/1.2.3\r\n" + host + "\r\n",
		"GET with a body":                   get + host + "Content-Length: " + length(hidden) + "\r\n\r\n",
		"GET with a chunked body":           get + host + "Transfer-Encoding: chunked\r\n" + noChunks,
		"GET with both":                     get + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" + noChunks,
		"nothing here with a body":          "POST /nothing HTTP/1.1\r\n" + host + "Content-Length: " + length(hidden) + "\r\n\r\n",
		"a page's call with a body":         post + host + "Origin: http://evil.test\r\nContent-Length: " + length(hidden) + "\r\n\r\n",
		"a static file with a body":         "GET /static/shaveet.js HTTP/1.1\r\n" + host + "Content-Length: " + length(hidden) + "\r\n\r\n",
	} {
		answers := raw(t, r.main, request+hidden)
		if n := strings.Count(answers, "HTTP/1.1 "); n > 1 {
			t.Errorf("%s: %d answers on one connection:\n%s", what, n, answers)
		}
	}
	if _, fault := r.try("get_client_channels", "hidden"); fault == "" {
		t.Error("a request hidden in another has run")
	}
}

// Unread, a poll's body would hide from us that the reader has gone.
func TestPollWithBodyIsRefused(t *testing.T) {
	t.Parallel()
	r := start(t)
	key := r.client("a", "room")
	for _, body := range []string{"Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"} {
		if status := rawStatus(t, r.pub, "GET "+pollPath("a", key)+" HTTP/1.1\r\nHost: x\r\n"+body); status != 400 {
			t.Errorf("a poll with %q: %d, want 400 and the connection closed", body, status)
		}
	}
}

// Who is slow loses the connection, and costs nobody else anything.
func TestSlowClientsAreCut(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) {
		c.HeaderTimeout, c.BodyTimeout, c.KeepAlive = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	})
	for what, tt := range map[string]struct {
		sends  string
		status int // 0: none, or an error
	}{
		"nothing":                  {"", 0},
		"half a request line":      {"POST / HT", 0},
		"half a header":            {"POST / HTTP/1.1\r\nHost: local", 0},
		"half a body":              {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{", 400},
		"half a chunk":             {"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", 400},
		"one request and no other": {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200},
	} {
		c := dial(t, r.main)
		io.WriteString(c, tt.sends)
		if status, _ := get(t, "http://"+r.main+"/healthz"); status != 200 {
			t.Errorf("beside %s: %d", what, status)
		}
		answer, err := io.ReadAll(c)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays open", what)
		}
		var status int
		fmt.Sscanf(string(answer), "HTTP/1.1 %d", &status)
		if status != tt.status && (tt.status != 0 || status < 400) {
			t.Errorf("%s: %d, want %d", what, status, tt.status)
		}
	}
}

// The time for a body ends with the body: the work it asks for may take longer.
func TestSlowWorkIsNotCut(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.DrainDelay, cfg.BodyTimeout = 0, 50*time.Millisecond
	r := prepare(t, cfg)
	r.srv.admin = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		select {
		case <-req.Context().Done():
			io.WriteString(w, "cut")
		case <-time.After(4 * cfg.BodyTimeout):
			io.WriteString(w, "done")
		}
	})
	r.serve(Doors{Main: listen(t)})
	if answer := raw(t, r.main, "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"); !strings.HasSuffix(answer, "done") {
		t.Errorf("%q, want the work done", answer)
	}
}

// Who asks and never reads does not hold the connection for ever.
func TestReaderThatNeverReadsIsCut(t *testing.T) {
	t.Parallel()
	for _, request := range []string{
		getRequest("/static/shaveet.js"),
		getRequest("/healthz"),
		getRequest("/nothing"),
		getRequest("/message_updates"),
		postRequest(rpcBody("info")),
	} {
		inBubble(t, nil, func(t *testing.T, r *running, main, _ *pipeListener) {
			c := main.send(t, request)
			time.Sleep(r.srv.cfg.BodyTimeout + r.srv.cfg.WriteTimeout + time.Second)
			synctest.Wait()
			if n, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%.30q: the server still waits for its answer to be read (%d, %v)", request, n, err)
			}
			r.stop()
			<-r.done
		})
	}
}

// A body that nobody wants, and that does not come, holds its connection for a
// moment only.
func TestUnwantedBodyThatDoesNotCome(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/healthz", "/nothing", "/static/shaveet.js", "/message_updates", "/websocket", "/metrics", "/"} {
		for _, body := range []string{"Content-Length: 2000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n5\r\nab"} {
			inBubble(t, nil, func(t *testing.T, r *running, main, _ *pipeListener) {
				c := main.send(t, "POST "+path+" HTTP/1.1\r\nHost: evil.example.org\r\n"+body)
				began := time.Now()
				if _, err := io.ReadAll(c); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > unreadTime {
					t.Errorf("%s: it was held for %v", path, took)
				}
				r.stop()
				<-r.done
			})
		}
	}
}

// A poll may be held longer than any other answer may take.
func TestHeldPollOutlivesTheWriteTimeout(t *testing.T) {
	t.Parallel()
	inBubble(t, func(c *Config) { c.PollTimeout = 2 * (c.BodyTimeout + c.WriteTimeout) }, func(t *testing.T, r *running, main, _ *pipeListener) {
		answer := main.send(t, getRequest(pollPath("alice", pipeReader(t, r, "alice", "a")))).answers()
		if got := <-answer; got != "200 close=false /**/cb({});" {
			t.Errorf("%q, want an empty answer", got)
		}
		r.stop()
		<-r.done
	})
}

func TestCompressedBodyIsRefused(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, coding := range []string{"gzip", "deflate", "br", "zstd", "identity, gzip", "GZIP"} {
		status := rawStatus(t, r.main, "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Encoding: "+coding+
			"\r\nContent-Length: 2\r\n\r\n\x1f\x8b")
		if status != 415 {
			t.Errorf("Content-Encoding: %s: %d, want 415", coding, status)
		}
	}
}

// inside is what only somebody inside of the program should see.
var inside = regexp.MustCompile(`\.go\b|goroutine|panic|runtime|/work|/home|/root|github\.com|\*?\b(http|hub|rpc|json|url|net|strconv|reflect)\.[A-Za-z]|0x[0-9a-f]{6}|unmarshal|nil pointer`)

func TestErrorsTellNothingOfTheInside(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.client("a", "room")
	requests := []string{
		"GET / HTTP/1.1\r\nHost: x\r\n", "\x00\x01\x02\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: x\r\n", "GET /healthz HTTP/9.9\r\nHost: x\r\n",
		"GET /message_updates?callback=%zz HTTP/1.1\r\nHost: x\r\n", "GET /message_updates?callback=a;b HTTP/1.1\r\nHost: x\r\n",
		"GET /message_updates?callback=cb&client_id=%ff_!!_x HTTP/1.1\r\nHost: x\r\n",
		"POST /message_updates HTTP/1.1\r\nHost: x\r\n", "GET /" + strings.Repeat("x", 1<<16) + " HTTP/1.1\r\nHost: x\r\n",
	}
	for _, body := range []string{
		"", "{", "[]", "[1]", `"x"`, "null", `{"method":5}`, `{"method":"nope"}`, `{"method":"Admin.CreateClient","params":["a"]}`,
		`{"method":"create_client"}`, `{"method":"create_client","params":[5]}`, `{"method":"create_client","params":{"nope":1}}`,
		`{"method":"create_client","params":["a","b","c"]}`, `{"method":"create_client","params":["` + strings.Repeat("x", 300) + `"]}`,
		`{"method":"subscribe","params":["nobody","room"]}`, `{"method":"subscribe_many","params":[[1]]}`,
		`{"method":"new_message","params":["a",{},[],"x"]}`, `{"method":"create_client","params":["\ud800"]}`, "\xff\xfe",
		strings.Repeat("[", 10_001), `{"a":1,"a":2}`, `{"method":"info","params":7}`, `{"method":"info","id":{}}`,
	} {
		for _, version := range []string{"", `"jsonrpc":"2.0",`} {
			b := strings.Replace(body, "{", "{"+version, 1)
			requests = append(requests, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: "+length(b)+"\r\n\r\n"+b)
		}
	}
	for _, request := range requests {
		request = strings.Replace(request, "\r\n", "\r\nConnection: close\r\n", 1)
		if !strings.HasPrefix(request, "POST /\x20") {
			request += "\r\n"
		}
		answer := raw(t, r.main, request)
		if found := inside.FindString(answer); found != "" {
			t.Errorf("%.100q: the answer has %q:\n%s", request, found, answer)
		}
		if strings.HasPrefix(answer, "HTTP/1.1 500") {
			t.Errorf("%.100q: %s", request, answer)
		}
	}
}
