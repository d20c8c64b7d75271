package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/shaveet/shaveet/server/hub"
)

// changeSockets says an event, or has a socket begin or end.
func (w *world) changeSockets() {
	switch n := w.draw(12); {
	case n < 9:
		w.emit(w.emission())
	case n < 11:
		w.make(w.socket())
	default:
		w.forgetSocket(w.socket())
	}
}

// make makes a client, or a socket, if it is not there.
func (w *world) make(id string) {
	if !strings.HasPrefix(id, "~") {
		w.create(id)
		return
	}
	namespace, owner := w.namespace(), rapid.SampledFrom([]string{"a", "b", ""}).Draw(w.t, "owner")
	if i := slices.Index(w.reader.clients, id); i >= 0 {
		namespace, owner = w.reader.namespace, w.reader.clients[0]
		if i == 0 {
			owner = ""
		}
	}
	w.createSocket(id, namespace, owner)
}

// namespace is mostly the reader's.
func (w *world) namespace() string {
	if ns := w.reader.namespace; ns != "" && w.draw(5) > 0 {
		return ns
	}
	return rapid.SampledFrom([]string{"/", "/n"}).Draw(w.t, "namespace")
}

func (w *world) createSocket(id, namespace, owner string) {
	w.t.Logf("socket %s of %q in %s", id, owner, namespace)
	cr, at, err := w.hub.CreateSocket(context.Background(), id, namespace, owner)
	if !w.model.createSocket(id, namespace, owner) {
		if !errors.Is(err, hub.ErrConflict) {
			w.t.Fatalf("there is a socket, and another one: %v", err)
		}
	} else if err != nil || at.Seq != w.model.top {
		w.t.Fatalf("socket: at %v, %v; the model has seq %d", at, err, w.model.top)
	} else {
		w.keys[id] = cr.Key
	}
	w.compareMembers(hub.RoomChannel(namespace, ""))
	owner = rapid.SampledFrom([]string{"a", "b", ""}).Draw(w.t, "owner")
	since, ok := w.hub.SocketSince(id, namespace, owner)
	if want, is := w.model.socketSince(id, namespace, owner); ok != is || since.Seq != want {
		w.t.Fatalf("%s is there for %q since %v (%v), the model says %d (%v)", id, owner, since, ok, want, is)
	}
}

func (w *world) forgetSocket(id string) {
	w.t.Logf("forget %s", id)
	cr := hub.Credentials{ID: id, Key: w.keys[id]}
	if w.draw(4) == 0 {
		cr.Key = "another"
	}
	if err := w.hub.ForgetSocket(context.Background(), cr); err != nil {
		w.t.Fatalf("forget %s: %v", id, err)
	}
	if cr.Key == w.keys[id] {
		w.model.forgetSocket(id)
	}
	for name := range w.model.channels {
		w.compareMembers(name)
	}
}

// aRoom is of a namespace, or a client, or a socket.
var aRoom = rapid.SampledFrom(append([]string{"A", "B", "C", "client:a", "client:b", "client:" + socketIDs[0]}, socketIDs...))

// rooms are so many at most.
func (w *world) rooms(most int) (rooms []string) {
	for range w.draw(most + 1) {
		rooms = append(rooms, aRoom.Draw(w.t, "room"))
	}
	return rooms
}

func (w *world) emission() hub.Emission {
	e := hub.Emission{Namespace: w.namespace(), Rooms: w.rooms(4), Event: "e", Args: json.RawMessage(`[1]`), Sender: json.RawMessage(`"x"`)}
	if w.draw(3) == 0 {
		e.Except = w.rooms(2)
	}
	e.Volatile = w.draw(4) == 0
	switch w.draw(8) {
	case 0:
		e.PublishID = rapid.SampledFrom([]string{"x", "y"}).Draw(w.t, "publish id")
		if w.draw(2) == 0 && w.retry.PublishID != "" {
			e = w.retry
		}
		w.retry = e
	case 1:
		e.TTL = time.Duration(1+w.draw(30)) * time.Second
	}
	return e
}

func (w *world) emit(e hub.Emission) {
	w.t.Logf("emit in %s to %v but %v, volatile %v, once %q", e.Namespace, e.Rooms, e.Except, e.Volatile, e.PublishID)
	p, err := w.hub.Emit(context.Background(), e)
	last, repeated, refusal := w.model.emit(e)
	switch {
	case refusal != nil && !errors.Is(err, refusal):
		w.t.Fatalf("emit: %+v, %v; the model says %v", p, err, refusal)
	case refusal != nil:
	case last == nil && (err != nil || p != hub.Published{Position: w.hub.Position()} || p.Position.Seq != w.model.top):
		w.t.Fatalf("emit to nobody: %+v, %v", p, err)
	case last != nil:
		w.went("emit", p, err, last, repeated)
		w.compareMembers(last.channel)
	}
}
