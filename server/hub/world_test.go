package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"github.com/shaveet/shaveet/server/hub"
)

func (w *world) publish(channel string) {
	w.t.Logf("publish %s", channel)
	pub := hub.Publication{Channel: channel, Sender: json.RawMessage(`"x"`), Data: json.RawMessage(`1`)}
	switch w.draw(8) {
	case 0:
		pub.Exclude = []string{w.client(), w.client()}
	case 1:
		pub.TTL = time.Duration(1+w.draw(30)) * time.Second
	}
	p, err := w.hub.Publish(context.Background(), pub)
	e := w.model.publish(channel)
	e.exclude, e.ttl = pub.Exclude, pub.TTL
	w.went("publish", p, err, e, false)
}

// went says that a message went where the model says.
func (w *world) went(what string, p hub.Published, err error, e *event, repeated bool) {
	if err != nil || p.Position.Seq != e.seq || p.ID != e.id || p.Repeated != repeated || p.Channel != e.channel {
		w.t.Fatalf("%s: %+v (%v), the model has seq %d, id %d on %s", what, p, err, e.seq, e.id, e.channel)
	}
}

func (w *world) broadcast() {
	channels := []string{w.channel(), w.channel()}
	w.t.Logf("broadcast %v", channels)
	all, err := w.hub.Broadcast(context.Background(), channels, hub.Publication{Sender: json.RawMessage(`"x"`), Data: json.RawMessage(`1`)})
	said := w.model.broadcast(slices.Compact(channels))
	if len(all) != len(said) {
		w.t.Fatalf("broadcast to %v: %v, %v", channels, all, err)
	}
	for i, e := range said {
		w.went("broadcast", all[i], err, e, false)
	}
}

func (w *world) publishAll() {
	channels := []string{w.channel(), w.channel(), w.channel()}
	w.t.Logf("publish to each of %v", channels)
	var all []hub.Publication
	for _, name := range channels {
		all = append(all, hub.Publication{Channel: name, Sender: json.RawMessage(`"x"`), Data: json.RawMessage(`1`)})
	}
	said := make([]*event, 0, len(channels))
	if w.count > 1 { // a shared log has them as one entry
		said = w.model.broadcast(channels)
	} else {
		for _, name := range channels {
			said = append(said, w.model.publish(name))
		}
	}
	w.hub.PublishAll(context.Background(), all, func(p hub.Published, err error) {
		w.went("publish to each", p, err, said[0], false)
		said = said[1:]
	})
	if len(said) > 0 {
		w.t.Fatalf("%d were not told of", len(said))
	}
}

func (w *world) publishOnce(channel string) {
	id, data := rapid.SampledFrom([]string{"x", "y"}).Draw(w.t, "publish id"), 1+w.draw(4)/3
	w.t.Logf("publish %s under %s", channel, id)
	p, err := w.hub.Publish(context.Background(), hub.Publication{
		Channel: channel, PublishID: id, Sender: json.RawMessage(`"x"`), Data: json.RawMessage(strconv.Itoa(data))})
	e, repeated, refusal := w.model.publishOnce(channel, id, data)
	if refusal != nil {
		if !errors.Is(err, refusal) {
			w.t.Fatalf("publish under an id: %+v, %v; the model says %v", p, err, refusal)
		}
		return
	}
	w.went("publish under an id", p, err, e, repeated)
}

func (w *world) deleteChannel(name string) {
	w.t.Logf("delete %s", name)
	_, err := w.hub.DeleteChannel(context.Background(), name)
	if ok := w.model.deleteChannel(name); ok != (err == nil) || !ok && !errors.Is(err, hub.ErrUnknownChannel) {
		w.t.Fatalf("delete %s: %v, the model says ok = %v", name, err, ok)
	}
	w.compareMembers(name)
}

func (w *world) rotate(id string) {
	w.t.Logf("rotate %s", id)
	key, _, err := w.hub.RotateKey(context.Background(), id)
	w.must("rotate", w.model.rotate(id), err)
	if err == nil {
		w.keys[id] = key
		w.reader.revoked = w.reader.revoked || w.reads(id)
	}
}

// reads reports whether the reader is attached to the client.
func (w *world) reads(id string) bool {
	return w.reader.session != nil && slices.Contains(w.reader.objects, w.model.clients[id])
}

func (w *world) disconnect(id string) {
	w.t.Logf("disconnect %s", id)
	_, err := w.hub.Disconnect(context.Background(), id, "")
	w.must("disconnect", w.model.disconnect(id), err)
	if err == nil {
		w.reader.dismissed = w.reader.dismissed || w.reads(id)
	}
}

// must says that the call's outcome is what the model says.
func (w *world) must(what string, ok bool, err error) {
	if ok != (err == nil) || !ok && !errors.Is(err, hub.ErrUnknownClient) {
		w.t.Fatalf("%s: %v, the model says ok = %v", what, err, ok)
	}
}

func (w *world) create(id string) {
	w.t.Logf("create %s", id)
	key, _, err := w.hub.CreateClient(context.Background(), id)
	w.model.create(id)
	w.must("create", true, err)
	w.keys[id] = key
}

func (w *world) kill(id string) {
	w.t.Logf("kill %s", id)
	err := w.hub.KillClient(context.Background(), id)
	w.must("kill", w.model.kill(id), err)
}

func (w *world) subscribe(id, channel string) {
	w.t.Logf("subscribe %s %s", id, channel)
	_, err := w.hub.Subscribe(context.Background(), []hub.Pair{{Client: id, Channel: channel}})
	w.must("subscribe", w.model.subscribe(id, channel), err)
	w.compareMembers(channel)
}

func (w *world) unsubscribe(id, channel string) {
	w.t.Logf("unsubscribe %s %s", id, channel)
	_, err := w.hub.Unsubscribe(context.Background(), []hub.Pair{{Client: id, Channel: channel}})
	w.must("unsubscribe", w.model.unsubscribe(id, channel), err)
	w.compareMembers(channel)
}

func (w *world) compareMembers(channel string) {
	var want []string
	for id, c := range w.model.clients {
		if !c.away && c.sub(channel) != nil {
			want = append(want, id)
		}
	}
	got := w.hub.Members(channel)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		w.t.Fatalf("members of %s: %v, the model has %v", channel, got, want)
	}
}

// expire sweeps, one client at a time, so that the model can follow the order.
func (w *world) expire() {
	w.t.Logf("expire")
	for i := 0; i < len(w.nodes); {
		w.hub = w.nodes[i].Hub
		w.hub.Sync(context.Background())
		_, more, err := w.hub.Expire(context.Background(), idle, 1)
		if err != nil {
			w.t.Fatalf("expire: %v", err)
		}
		if !more {
			i++
		}
		for id, c := range w.model.clients {
			_, err := w.hub.ClientChannels(id)
			if gone := err != nil; gone && !c.away {
				if !w.model.due(c, idle, 0) {
					w.t.Fatalf("client %s was let go before its time", id)
				}
				w.t.Logf("let go %s, %d channels", id, len(c.subs))
				w.model.letGo(c)
			}
		}
	}
	for id, c := range w.model.clients {
		// The wheel counts in seconds: who is due by less may stay.
		if w.model.due(c, idle, 2*time.Second) {
			w.t.Fatalf("client %s should have been let go", id)
		}
	}
}

func (w *world) evictAged() {
	w.t.Logf("evict aged")
	w.tellAll()
	for _, node := range w.nodes {
		for n := 0; node.EvictAged(1); n++ {
			if n > 10_000 {
				w.t.Fatalf("there is always more to evict")
			}
		}
	}
	w.model.evictAged()
}

func (w *world) tidy() {
	w.t.Logf("tidy")
	w.tellAll()
	for _, n := range w.nodes {
		if err := n.Tidy(context.Background()); err != nil {
			w.t.Fatalf("tidy: %v", err)
		}
	}
	w.model.tidy()
	w.hub.Sync(context.Background())
	if got := w.hub.Stats().Channels; got != len(w.model.channels) {
		w.t.Fatalf("%d channels, the model has %d", got, len(w.model.channels))
	}
}

// replace has a client of the same name take the place of another.
func (w *world) replace(id string) {
	w.kill(id)
	w.make(id)
	w.subscribe(id, w.channel())
	w.publish(w.channel())
}

// quiet lets time pass until nobody is there and most is forgotten, but not the
// clients that were let go.
func (w *world) quiet() {
	w.reader.hangUp()
	time.Sleep(w.limits.Window + time.Second)
	w.expire()
	w.evictAged()
	w.tidy()
}

// restart kills the process. The backend may notice, and set up its clients
// again, before the reader is back, or later.
func (w *world) restart() {
	w.t.Logf("restart")
	w.reader.hangUp()
	w.stopHub()
	w.start()
	if w.draw(2) == 0 {
		w.makeListener()
	}
}
