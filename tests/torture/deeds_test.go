package torture

import (
	"context"
	"fmt"

	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

// act does one deed.
func (w *world) act(ctx context.Context, d deed) error {
	client, channel := pick(w.rand, w.clients...), pick(w.rand, w.plan.channels...)
	switch d {
	case leaveAndJoin:
		if err := w.leave(ctx, client, channel); err != nil {
			return err
		}
		if err := w.missSome(ctx, channel); err != nil {
			return err
		}
		return w.join(ctx, client, channel)
	case rotateKey:
		var key struct{ Key string }
		if err := w.admin.do(ctx, "rotate_key", map[string]any{"client_id": client}, &key); err != nil {
			return err
		}
		w.keys.set(client, key.Key)
	case disconnect:
		return w.admin.do(ctx, "disconnect", map[string]any{"client_id": client}, nil)
	case deleteChannel:
		if err := w.delete(ctx, channel); err != nil {
			return err
		}
		return w.joinAll(ctx)
	case killClient:
		err := w.truth.end(func(s *stay) bool { return s.client == client }, func() error {
			return w.admin.do(ctx, "kill_client", map[string]any{"client_id": client}, nil)
		})
		if err == nil {
			err = w.create(ctx, client)
		}
		if err != nil {
			return err
		}
		return w.joinAll(ctx)
	case restart, powerCut:
		return w.restart(ctx, d == powerCut)
	}
	return nil
}

// missSome says things that nobody who has just left is to hear.
func (w *world) missSome(ctx context.Context, channel string) error {
	p := &publisher{w.admin, w}
	for i := range 1 + w.rand.IntN(3) {
		s := &saying{n: w.extra(), channel: channel, pad: fmt.Sprint("missed", i)}
		w.truth.saying(s)
		if err := p.say(ctx, []*saying{s}); err != nil {
			return err
		}
	}
	return nil
}

// extra is a number beyond those of the plan.
func (w *world) extra() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	w.plan.messages++
	return w.next - 1
}

func (w *world) delete(ctx context.Context, channel string) error {
	var at struct{ Position position }
	err := w.truth.end(func(s *stay) bool { return s.channel == channel }, func() error {
		return w.admin.do(ctx, "delete_channel", map[string]any{"channel": channel}, &at)
	})
	if err == nil {
		w.truth.deleted(channel, at.Position)
	}
	return err
}

// restart ends the server, gently or not, and begins another.
func (w *world) restart(ctx context.Context, abrupt bool) error {
	if abrupt {
		w.machine.kill()
	} else if err := w.machine.stop(); err != nil {
		return err
	}
	w.truth.died()
	for _, p := range []*faultproxy.Proxy{w.front, w.back, w.calm} {
		p.Retarget("")
		if abrupt {
			p.Sever()
		}
	}
	addr, err := w.machine.start()
	if err != nil {
		return err
	}
	return w.wake(ctx, addr)
}
