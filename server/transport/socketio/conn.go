package socketio

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// A conn is one connection. It is an [engine.App]; its lock is taken after that
// of its session.
type conn struct {
	server   *Server
	settings *settings // those it began with
	session  *engine.Session
	first    *first // what is kept of its first request; nil: nothing

	mu      sync.Mutex                 // guards all below but old, and the sockets
	asm     *packet.Assembler          // waits for attachments; nil: none are missing
	sockets []*Socket                  // of the namespaces it has joined, or is about to
	own     *own                       // nil: nothing
	heard   int                        // bytes of what handlers have not been told yet
	parted  map[string]hub.Credentials // of an old client, whose sockets have the same ids again: those that have left
	pending int32                      // bytes of a packet that is not whole
	old     bool                       // it speaks protocol 4, which says less
	joined  bool                       // it has been in a namespace
	full    bool                       // something found no room in out, without which the client would wait for ever
	closed  bool
	away    bool // it is to end when its sockets have left
}

// own is what is said to a connection alone, which most of the time is nothing. That
// of a conn is guarded by its lock.
type own struct {
	out       []message
	saying    int            // bytes of out
	said      int            // how many of out are under way
	undecided []undecidedOne // what nobody could decide about, and the client has not been told of yet
}

// waiting returns what is to be said.
func (o *own) waiting() []message {
	if o == nil {
		return nil
	}
	return o.out
}

// untold returns what nobody could decide about.
func (o *own) untold() []undecidedOne {
	if o == nil {
		return nil
	}
	return o.undecided
}

// owned returns what is said to c alone, to be changed.
func (c *conn) owned() *own {
	if c.own == nil {
		c.own = new(own)
	}
	return c.own
}

// disown lets go of it if it is nothing.
func (c *conn) disown() {
	if o := c.own; o != nil && len(o.out) == 0 && len(o.undecided) == 0 {
		c.own = nil
	}
}

// first is what a connection's first request has told.
type first struct {
	auth
	address string
	header  http.Header
}

// A message is one of Engine.IO's.
type message struct {
	binary bool
	data   []byte
}

// unlock ends a method of the app, and the session if that has to be.
func (c *conn) unlock() {
	if c.full {
		c.session.Fail(engine.Behind)
	}
	c.mu.Unlock()
}

// Received is part of [engine.App].
func (c *conn) Received(m engineio.Packet) {
	c.mu.Lock()
	defer c.unlock()
	if c.asm == nil {
		c.asm = assemblers.Get().(*packet.Assembler)
		c.asm.Begin(&c.settings.limits)
	}
	read := c.asm.Text
	if m.Binary {
		read = c.asm.Binary
	}
	p, whole, err := read(m.Data)
	switch {
	case errors.Is(err, packet.ErrTooLarge):
		c.session.Fail(engine.TooMuch)
	case err != nil:
		c.session.Fail(engine.ParseError)
	case whole:
		c.pend(0)
		assemblers.Put(c.asm)
		c.asm = nil
		c.take(&p)
	default:
		c.await()
	}
}

// assemblers are those of nobody: hardly any client has attachments under way.
var assemblers = sync.Pool{New: func() any { return new(packet.Assembler) }}

// await has a packet wait for its attachments, if it is of a namespace that
// has been joined, and if not too many do.
func (c *conn) await() {
	namespace, bytes := c.asm.Waiting()
	if s := c.socket(namespace); s == nil || s.state != connected {
		c.session.Fail(engine.Invalid)
		return
	}
	if c.pend(bytes); c.server.pending.Load() > int64(c.settings.MaxPending) {
		c.session.Fail(engine.TooMuch)
	}
}

// pend notes how many bytes wait for their attachments.
func (c *conn) pend(bytes int) {
	c.server.pending.Add(int64(bytes) - int64(c.pending))
	c.pending = int32(bytes)
}

// take takes a packet.
func (c *conn) take(p *packet.Packet) {
	if p.Type == packet.Connect {
		c.connect(p)
		return
	}
	s := c.socket(p.Namespace)
	if s == nil || s.state != connected {
		if c.old && p.Type == packet.Disconnect {
			return // they say it of what they were not let into, too
		}
		c.session.Fail(engine.Invalid)
		return
	}
	switch p.Type.Plain() {
	case packet.Event:
		s.event(p)
	case packet.Ack:
		s.answered(p)
	case packet.Disconnect:
		c.leave(s, "client namespace disconnect", false)
	default:
		c.session.Fail(engine.Invalid)
	}
}

// connect takes a CONNECT.
func (c *conn) connect(p *packet.Packet) {
	name, said := p.Namespace, auth{}
	if c.old {
		var query string
		name, query = packet.CutQuery(p.Namespace)
		if c.wants(name) {
			return // they say so of the root, where they are already
		}
		said = parseQuery(query)
	} else if len(p.JSON) <= c.settings.MaxAuth {
		said = parseAuth(p.JSON)
	}
	if !said.keyed() && c.first != nil {
		said.client, said.key = c.first.client, c.first.key
	}
	switch {
	case c.away:
		return // it will see
	case c.wants(name):
		c.session.Fail(engine.Invalid)
		return
	case len(p.JSON) > c.settings.MaxAuth: // it is kept as long as the socket is there
		c.refuse(name, "auth: too large", []byte(`{"code":413,"type":"too_large"}`))
		return
	case c.heard > c.settings.MaxWaiting: // of handlers that are still busy with those who have left
		c.session.Fail(engine.TooMuch)
		return
	}
	c.join(strings.Clone(name), said)
}

// join has a socket be connected to a namespace, if there is one and there is
// room. The session's lock is held, or nobody knows it yet.
func (c *conn) join(name string, said auth) {
	ns := c.server.namespace(c.settings, name)
	switch {
	case ns == nil:
		c.refuse(name, "Invalid namespace", nil)
		return
	case len(c.sockets)+len(c.own.untold()) >= c.settings.MaxNamespaces:
		c.refuse(name, "limit reached", []byte(`{"code":429,"type":"limit_reached"}`))
		return
	}
	s := &Socket{conn: c, namespace: ns}
	c.sockets = append(c.sockets, s)
	s.begin(said)
}

// refuse answers a CONNECT that is not granted. data is JSON, or nil.
func (c *conn) refuse(namespace, why string, data []byte) {
	c.server.counts.refused.Add(1)
	if c.old {
		c.must(packet.AppendError(nil, namespace, why, data))
	} else {
		c.must(packet.AppendConnectError(nil, namespace, why, data))
	}
}

// left returns the credentials of the socket of an old client that has left.
func (c *conn) left(id string) hub.Credentials {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parted[id]
}

// socket returns the one in a namespace, or nil.
func (c *conn) socket(namespace string) *Socket {
	for _, s := range c.sockets {
		if s.namespace.Name == namespace {
			return s
		}
	}
	return nil
}

// wants reports whether the client has joined a namespace, or has not been told yet
// what comes of it.
func (c *conn) wants(namespace string) bool {
	return c.socket(namespace) != nil ||
		slices.ContainsFunc(c.own.untold(), func(o undecidedOne) bool { return o.namespace == namespace })
}

// say has messages be sent, for which somebody has to call Wake. It reports
// whether there was room for them.
func (c *conn) say(all ...message) bool {
	if c.closed || c.own != nil && c.own.saying > c.settings.MaxWaiting {
		return false // the last one may have been large
	}
	o := c.owned()
	for _, m := range all {
		o.saying += len(m.data) + messageCost
	}
	o.out = append(o.out, all...)
	c.session.Wake()
	return true
}

// must has a packet be sent. If there is no room, the connection ends.
func (c *conn) must(text []byte) { c.full = !c.say(message{data: text}) || c.full }

// messageCost is what a message counts beside its bytes.
const messageCost = 64

// packetOf returns a packet with its attachments as messages.
func packetOf(p *packet.Packet, attached [][]byte) []message {
	all := make([]message, 0, 1+len(attached))
	all = append(all, message{data: packet.Append(nil, p)})
	for _, a := range attached {
		all = append(all, message{binary: true, data: a})
	}
	return all
}

// Next is part of [engine.App].
func (c *conn) Next(out *engine.Writer) {
	c.mu.Lock()
	defer c.unlock()
	before := c.own.waiting()
	for _, m := range before {
		put(out, m)
	}
	for i := 0; i < len(c.sockets); {
		s := c.sockets[i]
		if s.state == connected {
			s.read(out)
		}
		if s.leaving && s.state == connected && !s.more {
			c.dismiss(s) // it has heard everything
		}
		if i < len(c.sockets) && c.sockets[i] == s { // it has not left
			i++
		}
	}
	// What was said in between, because of what was read.
	for _, m := range c.own.waiting()[len(before):] {
		put(out, m)
	}
	if c.own != nil {
		c.own.said = len(c.own.out)
	}
	if c.away && len(c.sockets) == 0 {
		c.session.Fail(engine.Forced)
	}
}

func put(out *engine.Writer, m message) {
	if m.binary {
		out.Binary(m.data)
	} else {
		out.Text(m.data)
	}
}

// Sent is part of [engine.App].
func (c *conn) Sent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.own; o != nil {
		for _, m := range o.out[:o.said] {
			o.saying -= len(m.data) + messageCost
		}
		o.out, o.said = slices.Delete(o.out, 0, o.said), 0
		c.disown()
	}
	for _, s := range c.sockets {
		if s.batch {
			s.batch, s.fresh = false, false
			s.session.Commit()
			if !s.more {
				s.session.Writable()
			}
		}
	}
}

// Ready is part of [engine.App].
func (c *conn) Ready() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sockets {
		if s.state == connected && !s.batch && !s.more {
			s.session.Writable()
		}
	}
}

// Due is part of [engine.App]: the time for the first CONNECT is over.
func (c *conn) Due() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.joined {
		c.session.Fail(engine.Late)
	}
}

// Closed is part of [engine.App].
func (c *conn) Closed(why engine.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.own = nil
	c.pend(0)
	text, mayReturn := reasonOf(why)
	for len(c.sockets) > 0 {
		c.leave(c.sockets[len(c.sockets)-1], text, mayReturn)
	}
	c.server.working.end() // those of its handlers are counted by now
}
