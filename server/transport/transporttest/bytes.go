package transporttest

// What comes by connections is the same, to the byte, in whichever form they are
// held.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// sameBytes plays a scene in each form, and compares what has come.
func sameBytes(t *testing.T, tr Transport) {
	t.Run("the same bytes in both forms", func(t *testing.T) {
		var first []string
		for i, f := range forms[:2] { // that of one node
			t.Run(f.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, tr, hub.Limits{ChannelMessages: 5, NoticeMembers: 3}, f)
					defer w.end()
					came := w.scene()
					if i == 0 {
						first = came
						return
					}
					if len(came) != len(first) {
						t.Errorf("there are %d connections in place of %d", len(came), len(first))
					}
					for n := range min(len(came), len(first)) {
						if came[n] != first[n] {
							t.Errorf("by connection %d comes\n%q\nand in the form %s\n%q", n, came[n], forms[0].name, first[n])
						}
					}
				})
			})
		}
	})
}

// scene plays what happens to readers, and returns what has come by each of their
// connections.
func (w *world) scene() []string {
	alice := w.client("alice", "room", "hall")
	for i := range 8 { // which are too many to be kept
		w.publish("room", fmt.Sprint("early ", i))
	}
	last, stop := w.keepReading(w.dial(alice))
	synctest.Wait()
	w.isHeld()
	w.publish("room", "short")
	synctest.Wait()
	w.publish("room", strings.Repeat("a long text comes again ", 500))
	synctest.Wait()
	w.say(hub.Publication{Channel: "room", Data: json.RawMessage(`"secret"`), Exclude: []string{"alice"}})
	synctest.Wait()
	for _, id := range []string{"zoe", "yan", "xia", "wim"} { // and then they are only counted
		w.client(id, "room")
		synctest.Wait()
	}
	_, err := w.hub.Broadcast(w.t.Context(), []string{"hall", "room"}, hub.Publication{Sender: json.RawMessage(`"bob"`), Data: json.RawMessage(`"to all"`)})
	w.must(err)
	synctest.Wait()
	w.unsubscribe("zoe", "room")
	time.Sleep(70 * time.Second) // some heartbeats
	w.cut()
	for i := range 8 {
		w.publish("room", fmt.Sprint("after it was cut off ", i))
	}
	time.Sleep(10 * time.Second)
	w.must(w.hub.KillClient(w.t.Context(), "wim"))
	synctest.Wait()
	w.cut()
	time.Sleep(time.Second)
	w.publish("hall", "last")
	synctest.Wait()
	last()
	w.drain()
	stop()

	w.network.mu.Lock()
	defer w.network.mu.Unlock()
	var all []string
	for _, c := range w.network.dialed {
		all = append(all, c.heard())
	}
	if text := strings.Join(all, ""); len(text) < 1000 || !strings.Contains(text, "HTTP/1.1 ") {
		w.t.Errorf("all that comes is %q", all)
	}
	return all
}

// keepReading reads until it is told that the next thing to come is the last.
func (w *world) keepReading(r Reader) (last, stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var over atomic.Bool
	var reading sync.WaitGroup
	reading.Go(func() {
		for !over.Load() {
			if _, err := r.Read(ctx); err != nil {
				time.Sleep(100 * time.Millisecond)
			}
		}
	})
	return func() { over.Store(true) }, func() { synctest.Wait(); cancel(); reading.Wait() }
}

// A record is what has come by a connection.
type record struct {
	mu   sync.Mutex
	came bytes.Buffer
}

func (r *record) add(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.came.Write(p)
}

// drawn is what is drawn anew each time.
var drawn = regexp.MustCompile(`(?i)(\r\nDate: |\r\nSec-WebSocket-Accept: |"sid":"|"pid":"|"retry_ms":|\nretry: )[^\r\n"}]*`)

func (r *record) heard() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return drawn.ReplaceAllString(r.came.String(), "$1…")
}

// A named log is one whose life has a given name.
type named struct {
	hub.Broker
	epoch uint64
}

func (l named) Append(ctx context.Context, cmd hub.Command) (hub.Result, error) {
	result, err := l.Broker.Append(ctx, cmd)
	if !result.Position.IsZero() {
		result.Position.Epoch = l.epoch
	}
	return result, err
}

func (l named) Run(ctx context.Context, s hub.State) error {
	return l.Broker.Run(ctx, namedState{s, l.epoch})
}

type namedState struct {
	hub.State
	epoch uint64
}

func (s namedState) Apply(e hub.Entry) (id uint64) {
	e.Epoch = s.epoch
	return s.State.Apply(e)
}

// firstLife has as many digits as most others.
const firstLife = 0x1123456789abcdef
