package hub

import (
	"fmt"
	"math"
	"slices"
)

// fold is the hub as the log sees it: a [State]. It is a type of its own so
// that nobody else is tempted to call its methods, for which the log's lock is
// held.
type fold struct{ *Hub }

var _ State = fold{}

// Check resolves cmd: afterwards it names exactly what will happen.
func (h fold) Check(cmd *Command) (Result, error) {
	r, err := h.resolveCommand(cmd)
	if err == nil {
		h.settle(cmd)
	}
	return r, err
}

func (h fold) resolveCommand(cmd *Command) (Result, error) {
	top := Result{Position: h.Position()}
	switch cmd.Op {
	case OpPublish:
		return h.checkPublish(cmd, top)
	case OpBroadcast:
		return h.checkBroadcast(cmd, top)
	case OpCreate:
		return h.checkCreate(cmd, top)
	case OpKill:
		return h.checkKill(cmd, top)
	case OpSubscribe:
		return top, h.checkSubscribe(cmd)
	case OpUnsubscribe:
		return h.checkUnsubscribe(cmd, top)
	case OpRevive:
		return top, h.checkRevive(cmd)
	case OpRotate:
		top.Key = cmd.Key
		return top, h.checkRotate(cmd)
	case OpDisconnect:
		return top, h.mustKnow(cmd.Client, false)
	case OpDelete:
		return top, h.checkDelete(cmd)
	case OpEmit:
		return h.checkEmit(cmd, top)
	case OpSocket:
		return top, h.checkSocket(cmd)
	case OpForgetSocket:
		h.checkForgetSocket(cmd)
	case OpData:
		return top, h.checkData(cmd)
	case OpDeclare:
		return top, h.checkDeclare(cmd)
	case OpTake:
		return top, h.checkTake(cmd)
	case OpLetGo:
		h.checkLetGo(cmd)
	case OpForget:
		cmd.Clients = slices.DeleteFunc(cmd.Clients, func(id string) bool {
			c := h.clients.get(id)
			return c == nil || c.stateNow() != letGo
		})
	case OpDrop:
		cmd.Channels = slices.DeleteFunc(cmd.Channels, func(name string) bool { return !h.mayDrop(name) })
	case OpCount:
		cmd.Channels = slices.DeleteFunc(cmd.Channels, func(name string) bool { return !h.mustCount(name) })
	}
	return top, nil
}

func (h fold) checkPublish(cmd *Command, top Result) (Result, error) {
	var err error
	if top.Earlier, err = h.checkRetry(cmd); err != nil || top.Earlier != nil {
		return top, err
	}
	m := cmd.Message
	m.channel = h.channels.get(m.name)
	if m.channel != nil {
		return top, nil
	}
	d := draft{hub: h.Hub}
	err = d.create(m.name)
	cmd.Creates = d.creates
	return top, err
}

func (h fold) checkBroadcast(cmd *Command, top Result) (Result, error) {
	var err error
	if top.Earlier, err = h.checkRetry(cmd); err != nil || top.Earlier != nil {
		return top, err
	}
	d := draft{hub: h.Hub, many: true}
	for _, m := range cmd.Messages {
		if err := d.create(m.name); err != nil {
			return top, err
		}
	}
	cmd.Creates = d.creates
	return top, nil
}

// mustKnow says that there is no such client, if so; one that was let go
// counts only where letGoToo.
func (h fold) mustKnow(id string, letGoToo bool) error {
	c := h.clients.get(id)
	if c == nil || !letGoToo && c.stateNow() != live {
		return unknownClient(id)
	}
	return nil
}

func (h fold) checkDelete(cmd *Command) error {
	for _, name := range cmd.Channels {
		if name == AdminChannel {
			return &Error{Kind: Invalid, Name: name, Text: fmt.Sprintf("the channel %q cannot be deleted", name)}
		}
		if h.channels.get(name) == nil {
			return unknownChannel(name)
		}
	}
	return nil
}

// checkCreate turns the creation of a let-go client into its revival, and that
// of a live one into nothing.
func (h fold) checkCreate(cmd *Command, top Result) (Result, error) {
	c := h.clients.get(cmd.Client)
	if c == nil {
		top.Key = cmd.Key
		return top, h.roomForClient(false)
	}
	if c.socket {
		return top, isSocket(c.id)
	}
	top.Key = *c.key.Load()
	cmd.Key = top.Key
	cmd.Op = OpRevive
	return top, h.checkRevive(cmd)
}

// checkRotate refuses to tell the key of a socket, by which it comes back.
func (h fold) checkRotate(cmd *Command) error {
	if c := h.clients.get(cmd.Client); c != nil && c.socket {
		return isSocket(c.id)
	}
	return h.mustKnow(cmd.Client, true)
}

func isSocket(id string) error {
	return &Error{Kind: Invalid, Name: id, Text: fmt.Sprintf("%q is a socket of Socket.IO, and no client", id)}
}

// roomForClient says that there are too many clients, or, where one is asked
// for, sockets: there may be as many of these, so that strangers who connect
// leave the backend's clients alone.
func (h fold) roomForClient(socket bool) error {
	limit := h.limits().Clients
	n := h.nClients.Load() - h.nSockets.Load()
	if socket {
		n = h.nSockets.Load()
	}
	if n >= int64(limit) {
		return limitReached("clients", limit)
	}
	return nil
}

// checkRevive resolves a revival to the memberships it brings back. Reviving a
// live client has no effect.
func (h fold) checkRevive(cmd *Command) error {
	c := h.clients.get(cmd.Client)
	if !c.opens(cmd.Key) {
		return ErrBadCredentials
	}
	if c.stateNow() == live {
		*cmd = Command{}
		return nil
	}
	cmd.Pairs = c.pairs()
	return h.roomForClient(c.socket)
}

// checkKill turns the killing of a let-go client into its forgetting: for the
// caller it is unknown, but it must not come back.
func (h fold) checkKill(cmd *Command, top Result) (Result, error) {
	c := h.clients.get(cmd.Client)
	if c == nil {
		return top, unknownClient(cmd.Client)
	}
	if c.stateNow() == letGo {
		*cmd = Command{Op: OpForget, Clients: []string{cmd.Client}}
		top.Refused = unknownClient(c.id)
		return top, nil
	}
	cmd.Pairs = c.pairs()
	return top, nil
}

func (h fold) checkSubscribe(cmd *Command) error {
	d := draft{hub: h.Hub, many: len(cmd.Pairs) > 1}
	for _, p := range cmd.Pairs {
		if err := d.subscribe(p); err != nil {
			return err
		}
	}
	cmd.Pairs, cmd.Creates = d.pairs, d.creates
	return nil
}

// checkUnsubscribe keeps the pairs that are memberships. Where a let-go client
// is named, its pairs are done and the others are not: the caller is told that
// the client is unknown, which means that nothing visible has happened.
func (h fold) checkUnsubscribe(cmd *Command, top Result) (Result, error) {
	d := draft{hub: h.Hub, many: len(cmd.Pairs) > 1}
	var away draft
	away.hub, away.many = d.hub, d.many
	for _, p := range cmd.Pairs {
		c := h.clients.get(p.Client)
		switch {
		case c == nil && cmd.Lenient:
		case c == nil:
			top.Refused = unknownClient(p.Client)
		case c.stateNow() == letGo:
			if !cmd.Lenient && top.Refused == nil {
				top.Refused = unknownClient(p.Client)
			}
			away.unsubscribe(c, p)
		default:
			d.unsubscribe(c, p)
		}
	}
	cmd.Pairs = d.pairs
	if top.Refused != nil {
		cmd.Pairs = away.pairs
	}
	return top, nil
}

// checkLetGo keeps the clients that are idle, and claims them: from here on
// nobody can attach to them without reviving them first. Deciding and claiming
// are one step under the client's lock, so no session can come in between.
func (h fold) checkLetGo(cmd *Command) {
	now := h.now()
	cmd.Clients = slices.DeleteFunc(cmd.Clients, func(id string) bool {
		c := h.clients.get(id)
		if c == nil || !h.holds(c) || !c.claim(now, cmd.Idle, h.shared == nil) {
			return true
		}
		cmd.Pairs = append(cmd.Pairs, c.pairs()...)
		return false
	})
}

// claim has c leave if it is idle. Applying will let it go. Where the log is
// shared that may not come to pass, and c is not kept waiting for it: readers
// that come meanwhile bring it back.
func (c *client) claim(now int64, idle Idle, leaves bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != live || c.attached.Load() > 0 || c.dueAtLocked(now, idle) > now {
		return false
	}
	if leaves {
		c.state = leaving
	}
	return true
}

// dueAtLocked returns when c may be let go, if nothing happens until then.
func (c *client) dueAtLocked(now int64, idle Idle) int64 {
	seen := c.lastSeen.Load()
	if c.attached.Load() > 0 {
		seen = now
	}
	if c.socket {
		idle.After = max(idle.After, idle.Socket)
	}
	return max(c.created.Load()+int64(idle.MinAge), seen+int64(idle.After)+1)
}

// pairs returns c's memberships by name.
func (c *client) pairs() []Pair {
	c.mu.Lock()
	defer c.mu.Unlock()
	pairs := make([]Pair, 0, len(c.subs))
	for _, m := range c.subs {
		if !m.channel.gone() {
			pairs = append(pairs, Pair{c.id, m.channel.name})
		}
	}
	return pairs
}

// mayDrop reports whether the channel exists and holds nothing for nobody.
func (h fold) mayDrop(name string) bool {
	ch := h.channels.get(name)
	if ch == nil {
		return false
	}
	ch.listed.Store(false)
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	return ch.idleLocked()
}

// mustCount reports whether the channel's members have changed untold.
func (h fold) mustCount(name string) bool {
	ch := h.channels.get(name)
	if ch == nil {
		return false
	}
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	return ch.uncounted && ch.settings().Presence
}

// A draft collects what a command will do, so that it is checked as a whole
// before any of it happens.
type draft struct {
	hub     *Hub
	many    bool // more than one pair was given, so they can repeat each other
	pairs   []Pair
	creates []string
	seen    map[Pair]struct{}
	named   map[string]struct{} // creates
	added   map[string]int      // pairs by client
	room    map[string]int      // members that channels with a limit still have room for
}

// create makes sure that the channel exists: if it must begin, there must be
// room for it. The first channel ever brings the admin channel with it.
func (d *draft) create(name string) error {
	h := d.hub
	if _, ok := d.named[name]; ok || h.channels.get(name) != nil {
		return nil
	}
	if len(d.creates) == 0 && name != AdminChannel && h.channels.get(AdminChannel) == nil {
		d.begin(AdminChannel)
	}
	l := h.limits()
	if h.nChannels.Load()+int64(len(d.creates)) >= int64(l.Channels) {
		return limitReached("channels", l.Channels)
	}
	if h.bytes.Load() > l.TotalBytes/8*7 {
		return limitReached("total_bytes", int(l.TotalBytes))
	}
	d.begin(name)
	return nil
}

func (d *draft) begin(name string) {
	d.creates = append(d.creates, name)
	if d.many {
		if d.named == nil {
			d.named = make(map[string]struct{})
		}
		d.named[name] = struct{}{}
	}
}

// once reports whether p is new to the draft.
func (d *draft) once(p Pair) bool {
	if !d.many {
		return true
	}
	if d.seen == nil {
		d.seen = make(map[Pair]struct{})
	}
	_, again := d.seen[p]
	d.seen[p] = struct{}{}
	return !again
}

func (d *draft) subscribe(p Pair) error {
	h := d.hub
	c := h.clients.get(p.Client)
	if c == nil || c.stateNow() != live {
		return unknownClient(p.Client)
	}
	if ch := h.channels.get(p.Channel); ch != nil && c.subLocked(ch) != nil {
		return nil
	}
	if !d.once(p) {
		return nil
	}
	if d.added == nil {
		d.added = make(map[string]int)
	}
	d.added[p.Client]++
	if limit := h.limits().SubscriptionsPerClient; d.added[p.Client] > limit-c.subscriptions() {
		return limitReached("subscriptions_per_client", limit)
	}
	if err := d.roomForMember(p.Channel); err != nil {
		return err
	}
	if err := d.create(p.Channel); err != nil {
		return err
	}
	d.pairs = append(d.pairs, p)
	return nil
}

// roomForMember takes up room for one more member of the channel.
func (d *draft) roomForMember(name string) error {
	c := d.hub.conf.Load()
	if !c.capped {
		return nil
	}
	room, known := d.room[name]
	if !known {
		room = d.hub.roomIn(name)
	}
	if room == 0 {
		return limitReached("members", c.find(name).Members)
	}
	if d.room == nil {
		d.room = make(map[string]int)
	}
	d.room[name] = room - 1
	return nil
}

// roomIn returns how many members more the channel may have, should it exist.
func (h *Hub) roomIn(name string) int {
	ch := h.channels.get(name)
	var set *settings
	if ch != nil {
		set = ch.settings()
	} else {
		set = h.conf.Load().find(name)
	}
	if set.Members == 0 {
		return math.MaxInt
	}
	return max(0, set.Members-ch.memberCount())
}

func (d *draft) unsubscribe(c *client, p Pair) {
	if ch := d.hub.channels.get(p.Channel); ch != nil && c.subLocked(ch) != nil && d.once(p) {
		d.pairs = append(d.pairs, p)
	}
}
