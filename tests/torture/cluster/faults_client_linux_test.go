package cluster

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// dial connects.
func dial(ctx context.Context, addr string) (*line, error) {
	d := net.Dialer{Timeout: 2 * time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return newLine(c), nil
}

// some are a share of the verified readers, in thousandths.
func (w *world) some(r *rand.Rand, share int) (all []*reader) {
	for _, x := range w.verified {
		if r.IntN(1000) < share {
			all = append(all, x)
		}
	}
	return all
}

var clientFaults = []*fault{
	{"answers cut", 0, 6, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		w.front.mood.Store(&mood{cut: 300, reach: 1500})
		defer w.front.mood.Store(&mood{})
		pause(ctx, between(r, 1500*time.Millisecond, 4*time.Second))
		return nil
	}},
	{"answers held up", 0, 3, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		w.front.mood.Store(&mood{stall: 300, reach: 1500, hold: 2 * time.Second})
		defer w.front.mood.Store(&mood{})
		pause(ctx, between(r, 1500*time.Millisecond, 4*time.Second))
		return nil
	}},
	{"readers stalled", 0, 5, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		for _, x := range w.some(r, 200) {
			x.stalls.Store(int64(between(r, time.Second, 4*time.Second)))
		}
		w.burst(ctx, r, 200)
		pause(ctx, 5*time.Second)
		return nil
	}},
	{"connections reset", 0, 6, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		w.front.resetAll(100 + r.IntN(400))
		return nil
	}},
	{"storm of reconnections", 0, 4, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		w.front.resetAll(1000)
		for _, x := range w.others {
			x.hangUp(true)
		}
		return nil
	}},
	{"double polls", 0, 4, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		for _, x := range w.some(r, 300) {
			x.doubles.Store(true)
		}
		pause(ctx, time.Second)
		return nil
	}},
	{"transports switched", 0, 5, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		for _, x := range w.some(r, 300) {
			if !x.io {
				x.turn.Store(int32(r.IntN(int(byFrames)+1)) + 1)
				x.hangUp(r.IntN(2) == 0)
			}
		}
		return nil
	}},
	{"clients killed", 0, 5, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		var all []*client
		for _, x := range w.some(r, 50) {
			all = append(all, x.client)
		}
		return w.kill(ctx, all)
	}},
	{"flood of subscriptions", 0, 3, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		return w.flood(ctx, r.Uint64(), 5, 1000)
	}},
	{"junk", 0, 4, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		w.junk(ctx, r)
		return nil
	}},
	{"publish burst", 0, 5, 0, func(ctx context.Context, w *world, r *rand.Rand) error {
		w.burst(ctx, r, min(1500, 2*w.plan.verified))
		return nil
	}},
}

// burst says much at once.
func (w *world) burst(ctx context.Context, r *rand.Rand, many int) {
	p := w.newPublisher(50)
	defer p.caller.http.CloseIdleConnections()
	for many > 0 && ctx.Err() == nil {
		words := make([]*word, min(many, 100))
		for i := range words {
			words[i] = p.word(w.channels[r.IntN(len(w.channels))], r.IntN(200), true)
		}
		p.say(ctx, words)
		many -= len(words)
	}
}

// flood subscribes clients to many channels, and has them leave.
func (w *world) flood(ctx context.Context, seed uint64, many, each int) error {
	var calls []call
	var ends []call
	for i := range many {
		id := fmt.Sprintf("flood-%x-%d", seed, i)
		channels := make(map[string][]string)
		for j := range each {
			channels[fmt.Sprintf("cold-%x-%d-%d", seed, i, j)] = []string{id}
		}
		calls = append(calls, call{"2.0", "create_client", map[string]any{"client_id": id}, 0},
			call{"2.0", "subscribe_many", map[string]any{"channels": channels}, 0})
		ends = append(ends, call{"2.0", "kill_client", map[string]any{"client_id": id}, 0})
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, err := w.backend.insist(ctx, calls); err != nil {
		return err
	}
	_, err := w.backend.insist(ctx, ends)
	return err
}

// junk says what makes no sense, to all doors.
func (w *world) junk(ctx context.Context, r *rand.Rand) {
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	words := []string{
		string(noise),
		"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-Large: "+strings.Repeat("y", 1000)+"\r\n", 40) + "\r\n",
		"POST /longpoll HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{",
		"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n[[[[[[[[[[",
		"GET /longpoll?cursor=nonsense&client_id=x HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /websocket HTTP/1.1\r\nHost: x\r\n" + upgradeFields + "\r\n" + string(noise),
		"POST /socket.io/?EIO=4&transport=polling&sid=nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n40{}}",
		"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n" + upgradeFields + "\r\n" + string(frame(opText, []byte("40{"))),
	}
	for range 100 {
		n := w.anyNode(r)
		addr := n.public
		if r.IntN(2) == 0 {
			addr = n.admin
		}
		l, err := dial(ctx, addr)
		if err != nil {
			continue
		}
		_, _ = io.WriteString(l, words[r.IntN(len(words))])
		l.patient(20 * time.Millisecond)
		_, _ = io.CopyN(io.Discard, l, 512)
		reset(l.Conn)
	}
}
