package handler

import (
	"container/list"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/shaveet/shaveet/server/hub"
)

// A note is a notification that is to be delivered.
type note struct {
	method    string
	about     subject
	at        time.Time // when it happened
	epoch     uint64
	namespace string
	client    string
	reason    string
	data      json.RawMessage // of a socket
	channels  []string        // of a client

	// The courier's.
	node   string
	serial uint64
	id     string // "" before the first try
	tries  int
	heard  int           // tries that had an answer, which made no sense
	place  *list.Element // among all
	size   int
}

// A subject is a socket, or a client.
type subject struct {
	client bool
	id     string
}

// noteCost is what a note keeps beside its texts.
const noteCost = 512

func (n *note) cost() int {
	size := noteCost + len(n.data)
	for _, c := range n.channels {
		size += len(c) + 16
	}
	return size
}

// noteOfLife returns the note of a turn in a client's life.
func noteOfLife(l hub.Life) *note {
	n := &note{method: "client_gone", about: subject{client: true, id: l.Client}, at: time.Now(), epoch: l.At.Epoch, client: l.Client, channels: l.Channels}
	switch l.Kind {
	case hub.LetGo:
		n.reason = "idle"
	case hub.Killed:
		n.reason = "killed"
	case hub.Back:
		n.method = "client_back"
	}
	return n
}

// call returns the call that a note is. Its parameters are the same for all
// tries.
func (n *note) call() *Call {
	if n.id == "" {
		n.id = uuid.NewString()
	}
	p := begin(n.size, n.node, n.serial, n.epoch, n.at)
	c := &Call{Method: n.method, ID: n.id}
	if n.about.client {
		p.value("client_id", n.client)
		if n.reason != "" {
			p.value("reason", n.reason)
		}
		p.value("channels", append([]string{}, n.channels...)) // not null
	} else {
		c.Socket = n.about.id
		p.socket(n.about.id, n.namespace, n.client)
		p.value("reason", n.reason)
		p.raw("data", n.data)
	}
	c.Params = p.end()
	return c
}
