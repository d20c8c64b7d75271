package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// At the end all who are there leave, and the webhook has heard it when the server
// has ended.
func TestDrainTellsWhoLeaves(t *testing.T) {
	t.Parallel()
	k := newHook(t, nil)
	r := start(t, k.asks("/game"))
	const pages = 20
	all := make(map[string]bool)
	for range pages {
		all[joined(t, r, "/game").id] = true
		k.want("connect nobody to /game")
	}
	r.stop()
	if <-r.done; r.err != nil {
		t.Error(r.err)
	}
	if len(k.calls) != pages {
		t.Errorf("%d are told to have left, want %d", len(k.calls), pages)
	}
	for range len(k.calls) {
		h := k.next()
		if h.String() != "disconnect: server shutting down" || !all[h.Params.SID] {
			t.Errorf("%s of %s", h, h.Params.SID)
		}
		delete(all, h.Params.SID)
	}
}

// What was said before the end is heard before it, and answered.
func TestDrainHearsWhatWasSaid(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	k := newHook(t, func(_ http.ResponseWriter, h *heard) string {
		if h.Method == "event" {
			<-answer
		}
		return "null"
	})
	r := start(t, k.asks("/game"))
	c := joined(t, r, "/game")
	c.say(`42/game,["one"]`, `42/game,["two"]`)
	k.want("connect nobody to /game", "event one[]")
	r.stop()
	spin(t, func() bool { return refused(r.pub) })
	close(answer)
	<-r.done
	k.want("event two[]", "disconnect: server shutting down")
	k.silent()
	if r.err != nil {
		t.Error(r.err)
	}
}

// A webhook that does not answer does not hold the server longer than
// drain_timeout, whatever it was asked, and nobody else suffers for it.
func TestDrainDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"connect", "event", "disconnect"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			never := make(chan struct{})
			k := newHook(t, func(_ http.ResponseWriter, h *heard) string {
				if h.Method == method {
					<-never
				}
				return "null"
			})
			t.Cleanup(func() { close(never) }) // before the hook is closed
			r := start(t, k.asks("/game"), func(c *Config) {
				c.DrainTimeout = time.Second
				c.ClientHandler = BackendHandler
			})
			b := r.backend()
			b.serve()
			c := connect(t, r.pub, "")
			for _, said := range []string{"40/game,", `42/game,1["say"]`, "41/game,"} {
				c.say(said)
				if k.next().Method == method {
					break
				}
				c.hear("4") // there is an answer, or the packet of one who has left
			}
			r.kill("alice")
			b.reply("client_gone alice: killed []", "true")
			began := time.Now()
			r.stop()
			<-r.done
			if took := time.Since(began); took > r.srv.cfg.DrainTimeout+2*time.Second {
				t.Errorf("the end took %v", took)
			}
			if _, _, err := b.Read(b.ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
				t.Errorf("the backend's WebSocket is closed with %v", err)
			}
			if r.err != nil && !strings.Contains(r.err.Error(), "drain_timeout") {
				t.Error(r.err)
			}
		})
	}
}

// For the backend's WebSockets nobody waits when there are none: by the doors, which
// are shut, they cannot come.
func TestDrainWithoutBackend(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.ClientHandler = BackendHandler })
	r.kill("alice")
	began := time.Now()
	r.stop()
	<-r.done
	if took := time.Since(began); r.err != nil || took > r.srv.cfg.DrainTimeout/2 {
		t.Errorf("%v after %v", r.err, took)
	}
	if h := r.backendHandler(); h.GivenUp != 1 || h.Undelivered != 0 {
		t.Errorf("%+v", h)
	}
}
