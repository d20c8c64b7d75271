package rpcapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// newWaiting returns an API of a hub that does not run, where bob does not
// answer.
func newWaiting(opts Options) *API {
	h := newHall()
	h.waits = true
	opts.Sockets, opts.Logger = h, quiet
	return New(hub.New(hub.Config{NewKey: newKey}, nil), opts)
}

func ackOf(id, timeout int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"emit_with_ack","params":{"event":"e","timeout_ms":%d},"id":%d}`, timeout, id)
}

// The call lasts as long as it was told to wait, and no longer than the last
// answer.
func TestEmitWithAckWaits(t *testing.T) {
	for _, tt := range []struct {
		params string
		want   time.Duration
	}{
		{`{"event":"e"}`, 5 * time.Second},
		{`{"event":"e","timeout_ms":1}`, time.Millisecond},
		{`{"event":"e","timeout_ms":60000}`, time.Minute},
		{`{"event":"e","to":"client:alice"}`, 0},
		{`{"event":"e","to":"nobody"}`, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newWaiting(Options{})
			began := time.Now()
			answer := handle(a, `{"jsonrpc":"2.0","method":"emit_with_ack","params":`+tt.params+`,"id":1}`)
			if took := time.Since(began); took != tt.want {
				t.Errorf("%s took %v, want %v", tt.params, took, tt.want)
			}
			if got := strings.Contains(answer, `"reason":"timeout"`); got != (tt.want > 0) {
				t.Errorf("%s: %s", tt.params, answer)
			}
		})
	}
}

// The calls of a batch wait a minute together; what could take longer is not
// begun. The next request has a minute of its own.
func TestBatchesWaitAMinute(t *testing.T) {
	const refused = "limit reached: the calls of one request may wait 60000 ms together; this one was not made"
	synctest.Test(t, func(t *testing.T) {
		a := newWaiting(Options{})
		for range 2 {
			began := time.Now()
			answer := handle(a, "["+ackOf(1, 40_000)+","+ackOf(2, 20_001)+","+ackOf(3, 20_000)+","+ackOf(4, 1)+"]")
			if took := time.Since(began); took != time.Minute {
				t.Errorf("took %v", took)
			}
			var all []struct {
				ID     int
				Result *ackAnswer
				Error  struct {
					Code    int
					Message string
				}
			}
			if err := json.Unmarshal([]byte(answer), &all); err != nil || len(all) != 4 {
				t.Fatal(err, answer)
			}
			for _, one := range all {
				made := one.ID == 1 || one.ID == 3
				if made != (one.Result != nil) || !made && (one.Error.Code != CodeLimitReached || one.Error.Message != refused) {
					t.Errorf("%+v", one)
				}
			}
			if asked := a.opts.Sockets.(*hall).take(); len(asked) != 2 {
				t.Errorf("asked %q", asked)
			}
		}
	})
}

// What did not have to be waited for does not count.
func TestAnswersInTimeCostNoWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newWaiting(Options{})
		call := `{"jsonrpc":"2.0","method":"emit_with_ack","params":{"event":"e","to":"client:alice","timeout_ms":60000},"id":1}`
		answer := handle(a, "["+call+","+call+","+ackOf(2, 60_000)+"]")
		if strings.Contains(answer, `"error":{"code"`) {
			t.Error(answer)
		}
	})
}

// pipes is a listener without a network.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// serveInBubble serves the API by HTTP, with the time that the server gives
// every answer, and returns how to call it.
func serveInBubble(t *testing.T, a *API, version2 bool, writes time.Duration) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!version2)
	protocols.SetUnencryptedHTTP2(version2)
	listener := newPipes()
	srv := &http.Server{Handler: a, WriteTimeout: writes, Protocols: protocols}
	served := make(chan error)
	go func() { served <- srv.Serve(listener) }()
	transport := &http.Transport{DialContext: listener.dial, Protocols: protocols}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = srv.Close()
		<-served
	})
	return &http.Client{Transport: transport}
}

// An answer that was waited for longer than answers may take is written all the
// same, by both versions of HTTP; in a batch also after the second wait.
func TestLateAnswersAreWritten(t *testing.T) {
	for name, version2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		for what, body := range map[string]string{
			"one":   ackOf(1, 60_000),
			"batch": "[" + ackOf(1, 25_000) + "," + ackOf(2, 35_000) + "]",
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client := serveInBubble(t, newWaiting(Options{WriteTimeout: 10 * time.Second}), version2, 20*time.Second)
					began := time.Now()
					resp, err := client.Post("http://pipes/", "application/json", strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					answer, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if took := time.Since(began); err != nil || took != time.Minute || !strings.Contains(string(answer), `"reason":"timeout"`) {
						t.Errorf("after %v: %v %s", took, err, answer)
					}
				})
			})
		}
	}
}

// deadlines is an HTTP answer that remembers until when it has to be written.
type deadlines struct {
	header http.Header
	all    []time.Time
	atEnd  time.Time
}

func (d *deadlines) Header() http.Header { return d.header }
func (d *deadlines) WriteHeader(int)     {}
func (d *deadlines) Write(b []byte) (int, error) {
	if len(d.all) > 0 {
		d.atEnd = d.all[len(d.all)-1]
	}
	return len(b), nil
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.all = append(d.all, t)
	return nil
}

// Who takes a late answer too slowly is cut off as anybody else; answers that are
// not late keep the time that the server gives them.
func TestLateAnswersHaveTheirTime(t *testing.T) {
	for _, tt := range []struct {
		body string
		want time.Duration // from the end of the call; 0: the server's
	}{
		{ackOf(1, 60_000), 7 * time.Second},
		{`{"method":"emit_with_ack","params":{"event":"e","to":"client:alice"}}`, 7 * time.Second},
		{`{"method":"fetch_sockets"}`, 0},
		{`{"method":"emit_with_ack","params":{"event":""}}`, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newWaiting(Options{WriteTimeout: 7 * time.Second})
			w := &deadlines{header: make(http.Header)}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			a.ServeHTTP(w, r)
			var got time.Duration
			if !w.atEnd.IsZero() {
				got = time.Until(w.atEnd)
			}
			if got != tt.want {
				t.Errorf("%s: %v to write it, want %v", tt.body, got, tt.want)
			}
		})
	}
}
