package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// A pipeListener hands out one end of pipes, so that a whole server runs inside
// of a test's own time.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return loopbackConn{c}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (l *pipeListener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// loopbackConn is a pipe whose ends are on this machine.
type loopbackConn struct{ net.Conn }

func (loopbackConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }

// send connects and writes request, without waiting for it to be read.
func (l *pipeListener) send(t *testing.T, request string) *pipeClient {
	t.Helper()
	c, s := net.Pipe()
	select {
	case l.conns <- s:
	case <-l.closed:
		t.Fatal("the door is shut")
	}
	p := &pipeClient{t: t, Conn: c, in: bufio.NewReader(c)}
	go io.WriteString(c, request)
	return p
}

type pipeClient struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

// read reads an answer.
func (p *pipeClient) read() (*http.Response, string) {
	p.t.Helper()
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		p.t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp, string(body)
}

// answers collects an answer as soon as there is one.
func (p *pipeClient) answers() <-chan string {
	got := make(chan string, 1)
	go func() {
		resp, err := http.ReadResponse(p.in, nil)
		if err != nil {
			got <- err.Error()
			return
		}
		body, _ := io.ReadAll(resp.Body)
		got <- fmt.Sprintf("%d close=%v %s", resp.StatusCode, resp.Close, body)
	}()
	return got
}

// none reports whether there is no answer yet.
func none(answers <-chan string) bool {
	synctest.Wait()
	return len(answers) == 0
}

func getRequest(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n" }

func postRequest(body string) string {
	return "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + length(body) + "\r\n\r\n" + body
}

// inBubble runs a server on pipes in a test's own time.
func inBubble(t *testing.T, change func(*Config), story func(t *testing.T, r *running, main, public *pipeListener)) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.MaxConnections = 100
		if change != nil {
			change(&cfg)
		}
		r := prepare(t, cfg)
		main, public := newPipeListener(), newPipeListener()
		r.serve(Doors{Main: main, Public: public})
		story(t, r, main, public)
	})
}

// pipeReader makes a client whose next poll is held.
func pipeReader(t *testing.T, r *running, id, channel string) (key string) {
	t.Helper()
	ctx := context.Background()
	key, _, err := r.srv.hub.CreateClient(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.srv.hub.Subscribe(ctx, []hub.Pair{{Client: id, Channel: channel}}); err != nil {
		t.Fatal(err)
	}
	poll, err := r.srv.hub.AttachPoll(ctx, []hub.Credentials{{ID: id, Key: key}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer poll.Close()
	if _, err := poll.Next(ctx); err != nil { // the notice of its joining
		t.Fatal(err)
	}
	poll.Done(true)
	return key
}

// Readiness goes first, while everything else goes on; then the doors; then
// what is held is answered. Pages whose polls were answered earlier would come
// back at once.
func TestOrderOfDrain(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, r *running, main, public *pipeListener) {
		alice, bob := pipeReader(t, r, "alice", "a"), pipeReader(t, r, "bob", "b")
		atMain := main.send(t, getRequest(pollPath("alice", alice))).answers()
		atPublic := public.send(t, getRequest(pollPath("bob", bob))).answers()
		if _, body := main.send(t, getRequest("/readyz")).read(); body != "ready\r\n" {
			t.Errorf("readiness before: %q", body)
		}

		begun := time.Now()
		r.stop()
		synctest.Wait()
		resp, body := main.send(t, getRequest("/readyz")).read()
		if resp.StatusCode != 503 || body != "draining\r\n" {
			t.Errorf("readiness: %d %q", resp.StatusCode, body)
		}
		if resp, _ := main.send(t, getRequest("/healthz")).read(); resp.StatusCode != 200 {
			t.Errorf("health: %d", resp.StatusCode)
		}
		if !none(atMain) || !none(atPublic) {
			t.Error("a poll is answered before the doors are shut")
		}

		// What is published meanwhile is delivered.
		if _, body := main.send(t, postRequest(rpcBody("new_message", "x", "hello", "a", false))).read(); !strings.Contains(body, `"result"`) {
			t.Errorf("publishing: %s", body)
		}
		if got := <-atMain; !strings.Contains(got, "hello") {
			t.Errorf("the poll got %s, want the message", got)
		}
		atMain = main.send(t, getRequest(pollPath("alice", alice))).answers()

		time.Sleep(r.srv.cfg.DrainDelay - time.Since(begun) - time.Millisecond)
		if !none(atMain) || !none(atPublic) || main.isClosed() || public.isClosed() {
			t.Error("the balancer had no time to notice")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !main.isClosed() || !public.isClosed() {
			t.Error("a door is still open")
		}
		for _, poll := range []<-chan string{atMain, atPublic} {
			if got := <-poll; got != "200 close=true /**/cb({});" {
				t.Errorf("a held poll was answered %q", got)
			}
		}
		<-r.done
		if r.err != nil {
			t.Errorf("Serve: %v", r.err)
		}
		if took := time.Since(begun); took > r.srv.cfg.DrainDelay+time.Second {
			t.Errorf("the drain took %v", took)
		}
	})
}

// No poll is answered while any door is open: by that one its page would come
// back.
func TestPollsAreHeldUntilAllDoorsAreShut(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, r *running, main, public *pipeListener) {
		key := pipeReader(t, r, "alice", "a")
		answer := main.send(t, getRequest(pollPath("alice", key))).answers()
		synctest.Wait()
		r.stop()
		<-answer
		if !main.isClosed() || !public.isClosed() {
			t.Errorf("main shut: %v, public shut: %v", main.isClosed(), public.isClosed())
		}
	})
}

// A call that came through the door before it was shut is a call like any other.
func TestCallUnderWayEndsWell(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, r *running, main, _ *pipeListener) {
		request := postRequest(rpcBody("create_client", "late"))
		half := len(request) - 10
		call := main.send(t, request[:half])
		synctest.Wait()
		r.stop()
		time.Sleep(r.srv.cfg.DrainDelay + time.Second)
		if !main.isClosed() {
			t.Fatal("the door is open")
		}
		go io.WriteString(call, request[half:])
		resp, body := call.read()
		if resp.StatusCode != 200 || !strings.Contains(body, `"result"`) || !resp.Close {
			t.Errorf("%d %s, closing: %v, want a result and the connection closed", resp.StatusCode, body, resp.Close)
		}
		if r.srv.hub.Stats().Clients != 1 {
			t.Error("the call did nothing")
		}
		<-r.done
		if r.err != nil {
			t.Errorf("Serve: %v", r.err)
		}
	})
}

// Whoever does not end in time does not keep the server from ending in time.
func TestNobodyHoldsTheExit(t *testing.T) {
	t.Parallel()
	for what, connect := range map[string]func(t *testing.T, r *running, main *pipeListener){
		"a reader that does not read": func(t *testing.T, r *running, main *pipeListener) {
			key := pipeReader(t, r, "alice", "a")
			main.send(t, getRequest(pollPath("alice", key)))
			synctest.Wait()
			if _, err := r.srv.hub.Publish(context.Background(), hub.Publication{Channel: "a", Sender: []byte(`"x"`), Data: []byte(`"y"`)}); err != nil {
				t.Fatal(err)
			}
		},
		"a poll that nobody reads": func(t *testing.T, r *running, main *pipeListener) {
			main.send(t, getRequest(pollPath("alice", pipeReader(t, r, "alice", "a"))))
		},
		"a body that does not come": func(t *testing.T, _ *running, main *pipeListener) {
			main.send(t, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
		},
		"a header that does not come": func(t *testing.T, _ *running, main *pipeListener) {
			main.send(t, "POST / HT")
		},
		"a connection that is silent": func(t *testing.T, _ *running, main *pipeListener) {
			main.send(t, "")
		},
		"a connection kept for later": func(t *testing.T, _ *running, main *pipeListener) {
			main.send(t, getRequest("/healthz")).read()
		},
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, r *running, main, _ *pipeListener) {
				connect(t, r, main)
				synctest.Wait()
				begun := time.Now()
				r.stop()
				<-r.done
				if took, most := time.Since(begun), r.srv.cfg.DrainDelay+r.srv.cfg.DrainTimeout+time.Second; took > most {
					t.Errorf("the drain took %v, want at most %v", took, most)
				}
				if r.err != nil && !strings.Contains(r.err.Error(), "drain_timeout") {
					t.Errorf("Serve: %v, want it to name drain_timeout", r.err)
				}
			})
		})
	}
}

// Browsers connect in advance. Nobody waits for such a connection at the end.
func TestSilentConnectionsDoNotDelayTheExit(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, r *running, main, _ *pipeListener) {
		for range 3 {
			main.send(t, "")
		}
		synctest.Wait()
		begun := time.Now()
		r.stop()
		<-r.done
		if took, most := time.Since(begun), r.srv.cfg.DrainDelay+time.Second; r.err != nil || took > most {
			t.Errorf("the drain took %v (%v), want at most %v", took, r.err, most)
		}
	})
}

// When a part fails, so does the server: it lets go of everybody, closes what
// it was given and says why.
func TestServeReturnsTheErrorOfAPart(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for what, tt := range map[string]struct {
		broker hub.Broker
		doors  func(main, public *pipeListener) Doors
	}{
		"the log": {
			failingBroker{memory.New(), broken},
			func(main, public *pipeListener) Doors { return Doors{Main: main, Public: public} },
		},
		"a door": {
			memory.New(),
			func(main, public *pipeListener) Doors {
				return Doors{Main: main, Public: failingListener{public, broken}}
			},
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, err := New(DefaultConfig(), tt.broker, Options{Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				main, public := newPipeListener(), newPipeListener()
				if err := srv.Serve(t.Context(), tt.doors(main, public)); !errors.Is(err, broken) {
					t.Errorf("Serve: %v, want the part's error", err)
				}
				if !main.isClosed() || !public.isClosed() {
					t.Error("a door is left open")
				}
			})
		})
	}
}

// failingBroker is a log that breaks a moment after it was found.
type failingBroker struct {
	*memory.Broker
	err error
}

func (b failingBroker) Run(ctx context.Context, s hub.State) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Second, b.err)
	defer cancel()
	return b.Broker.Run(ctx, s)
}

type failingListener struct {
	net.Listener
	err error
}

func (l failingListener) Accept() (net.Conn, error) { return nil, l.err }

// A server that is told to end before it has begun ends at once.
func TestServeAfterTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.DrainDelay = 0
		srv, err := New(cfg, memory.New(), Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		main := newPipeListener()
		if err := srv.Serve(ctx, Doors{Main: main}); err != nil {
			t.Errorf("Serve: %v", err)
		}
		if !main.isClosed() {
			t.Error("the door is left open")
		}
	})
}

// Until the log is found, nobody should be sent here.
func TestNotReadyBeforeTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.DrainDelay = 0
		srv, err := New(cfg, lateBroker{memory.New()}, Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		main := newPipeListener()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- srv.Serve(ctx, Doors{Main: main}) }()
		if resp, body := main.send(t, getRequest("/readyz")).read(); resp.StatusCode != 503 || body != "waiting for the log\r\n" {
			t.Errorf("readiness before the log: %d %q", resp.StatusCode, body)
		}
		if resp, body := main.send(t, postRequest(rpcBody("create_client", "a"))).read(); resp.StatusCode != 200 || !strings.Contains(body, "-32005") {
			t.Errorf("a call before the log: %d %s, want -32005", resp.StatusCode, body)
		}
		time.Sleep(2 * time.Minute)
		if resp, _ := main.send(t, getRequest("/readyz")).read(); resp.StatusCode != 200 {
			t.Errorf("readiness with the log: %d", resp.StatusCode)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// lateBroker is a log that is found after a minute.
type lateBroker struct{ *memory.Broker }

func (b lateBroker) Run(ctx context.Context, s hub.State) error {
	select {
	case <-time.After(time.Minute):
		return b.Broker.Run(ctx, s)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A handler that panics fails its own request, and the log says so.
func TestPanicIsSurvived(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.DrainDelay = 0
	r := prepare(t, cfg)
	r.srv.live.Load().poll = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("out of cheese") })
	r.serve(Doors{Main: listen(t)})
	if answer := raw(t, r.main, getRequest(pollPath("a", "secret-key"))); strings.Contains(answer, "200") || strings.Contains(answer, "cheese") {
		t.Errorf("the request was answered %q", answer)
	}
	if status, _ := get(t, "http://"+r.main+"/healthz"); status != 200 {
		t.Errorf("health: %d", status)
	}
	log := r.log.String()
	if !strings.Contains(log, `"level":"ERROR","msg":"a handler panicked"`) || !strings.Contains(log, "out of cheese") {
		t.Errorf("the log does not tell: %s", log)
	}
	if strings.Contains(log, "secret-key") {
		t.Errorf("the log has the key: %s", log)
	}
}
