package hub

import (
	"context"
	"sync"
	"time"
)

// A Shared is a [Broker] whose log several processes follow, each with a hub of
// its own. What a hub knows is then a little older than the log, so whatever it
// would deny is denied only after it has caught up.
type Shared interface {
	Broker
	// Sync returns when the State has applied all that was in the log when it
	// was called. The error is [ErrUnavailable], or ctx's cause.
	Sync(ctx context.Context) error
	// InTouch reports whether the log has been heard of within that time.
	InTouch(within time.Duration) bool
	// Stale reports whether it has not been for so long that nobody is let in
	// any more: it may have said that a key is void.
	Stale() bool
	// Keeper reports whether it is this process that looks after what belongs
	// to none of them.
	Keeper() bool
}

// A Replica is a [State] of which each process that follows a [Shared] log has
// its own. The [Hub] is one. Its methods are called like those of State: one at
// a time, by the broker.
type Replica interface {
	State
	// Grounds says what a command that Check has resolved rests on. It is an
	// entry only if the shared log finds all of that as it is named; else
	// the State has to apply what it did not know, and Check is asked again.
	Grounds(cmd *Command) []Ground
	// Restore has the State be what img says, in place of what it was.
	Restore(img *Image)
	// TakeHeld returns which clients this process looks after from now on, and
	// which it does not any more, and forgets that.
	TakeHeld() []Holding
	// Hold has it look after clients that another process has left behind.
	Hold(ids []string)
	// Release says that others look after these clients.
	Release(ids []string)
	// HoldAgain has all that it looks after be named by TakeHeld once more.
	HoldAgain()
	// Keeps returns the seq of the oldest message that a channel keeps, and for
	// how long it keeps one.
	Keeps(channel string) (oldest uint64, window time.Duration)
	// RetryAge returns for how long publish ids are remembered.
	RetryAge() time.Duration
}

// A Holding says whether this process looks after a client: finds out when it is
// idle.
type Holding struct {
	Client   string
	Held     bool
	Attached bool // of a socket: it is read for here
}

// A Ground is something a command rests on.
type Ground struct {
	Kind    GroundKind
	Name    string // of the client, or the channel
	Version uint64
	LastID  uint64 // GroundIdle: the channel's last id
}

// A GroundKind says what a [Ground]'s version is.
type GroundKind uint8

// The kinds.
const (
	GroundClient  GroundKind = iota + 1 // the last number of the entry that has changed the client last; 0: there is none
	GroundChannel                       // the number with which the channel began; 0: there is none
	GroundIdle                          // the number with which somebody joined the channel last; nothing was said on it since LastID
	GroundTaken                         // what the client's pages have that keep no position
)

// Sync returns when the hub knows all that was in the log when it was called.
// With a log of its own it always does.
func (h *Hub) Sync(ctx context.Context) error {
	if h.shared == nil {
		return nil
	}
	if !h.mayWait(ctx) {
		return ErrUnavailable
	}
	return h.shared.Sync(ctx)
}

// mayWait says that who has come with ctx is about to wait for a log that is
// shared, and reports whether so many may.
func (h *Hub) mayWait(ctx context.Context) bool {
	return h.waits == nil || h.shared == nil || h.waits(ctx)
}

// InTouch reports whether the log has been heard of within that time. One that is
// the hub's own always has.
func (h *Hub) InTouch(within time.Duration) bool {
	return h.shared == nil || h.shared.InTouch(within)
}

// keeper reports whether this hub looks after what belongs to nobody.
func (h *Hub) keeper() bool { return h.shared == nil || h.shared.Keeper() }

// Grounds is part of [Replica].
func (h fold) Grounds(cmd *Command) []Ground {
	g := grounds{hub: h.Hub, seen: make(map[Ground]bool)}
	switch cmd.Op {
	case OpTake:
		for _, t := range cmd.Takes {
			g.add(Ground{Kind: GroundTaken, Name: t.Client, Version: t.From})
		}
		return g.all
	case OpDrop:
		for _, name := range cmd.Channels {
			g.idle(name)
		}
		return g.all
	case OpSocket:
		g.client(cmd.Client)
		if cmd.Owner != "" {
			g.client(cmd.Owner)
		}
	case OpCreate, OpKill, OpRevive, OpRotate, OpDisconnect, OpForgetSocket, OpData:
		g.client(cmd.Client)
	}
	for _, id := range cmd.Clients {
		g.client(id)
	}
	for _, p := range cmd.Pairs {
		g.client(p.Client)
		g.channel(p.Channel)
	}
	for _, name := range cmd.Channels {
		g.channel(name)
	}
	for _, name := range cmd.Creates {
		g.channel(name)
	}
	if m := cmd.Message; m != nil {
		g.channel(m.name)
	}
	for _, m := range cmd.Messages {
		g.channel(m.name)
	}
	return g.all
}

type grounds struct {
	hub  *Hub
	all  []Ground
	seen map[Ground]bool
}

func (g *grounds) add(one Ground) {
	if !g.seen[one] {
		g.seen[one] = true
		g.all = append(g.all, one)
	}
}

func (g *grounds) client(id string) {
	one := Ground{Kind: GroundClient, Name: id}
	if c := g.hub.clients.get(id); c != nil {
		one.Version = g.hub.versionOf(c)
	}
	g.add(one)
}

func (g *grounds) channel(name string) {
	one := Ground{Kind: GroundChannel, Name: name}
	if ch := g.hub.channels.get(name); ch != nil {
		one.Version = ch.began
	}
	g.add(one)
}

func (g *grounds) idle(name string) {
	one := Ground{Kind: GroundIdle, Name: name}
	if ch := g.hub.channels.get(name); ch != nil {
		ch.mu.RLock()
		one.Version, one.LastID = ch.joined, ch.lastID
		ch.mu.RUnlock()
	}
	g.add(one)
}

// settle decides which turns are told by a notice: so it is the same for all
// who follow the log, whatever their settings say.
func (h fold) settle(cmd *Command) {
	if h.shared == nil || len(cmd.Pairs) == 0 {
		return
	}
	change := 1
	switch cmd.Op {
	case OpUnsubscribe, OpKill, OpLetGo, OpForgetSocket:
		change = -1
	case OpSubscribe, OpEmit:
		cmd.Ended = h.endedOf(cmd.Pairs)
	}
	sizes := make(map[string]int)
	cmd.Told = make([]bool, len(cmd.Pairs))
	for i, p := range cmd.Pairs {
		ch := h.channels.get(p.Channel)
		size, known := sizes[p.Channel]
		if !known {
			size = ch.memberCount()
		}
		if c := h.clients.get(p.Client); change < 0 && c != nil && c.stateNow() == letGo {
			continue // it has left already, and nobody is told again
		}
		sizes[p.Channel] = size + change
		set := h.settingsOf(ch, p.Channel)
		cmd.Told[i] = set.tells(size + change)
	}
}

// endedOf returns what is left of memberships of those who join: their channels have
// ended.
func (h fold) endedOf(joins []Pair) (ended []Pair) {
	seen := make(map[string]bool)
	for _, p := range joins {
		c := h.clients.get(p.Client)
		if c == nil || seen[p.Client] {
			continue
		}
		seen[p.Client] = true
		c.mu.Lock()
		for _, m := range c.subs {
			if m.channel.gone() {
				ended = append(ended, Pair{c.id, m.channel.name})
			}
		}
		for _, name := range c.rare().ended {
			ended = append(ended, Pair{c.id, name})
		}
		c.mu.Unlock()
	}
	return ended
}

func (h *Hub) settingsOf(ch *channel, name string) *settings {
	if ch != nil {
		return ch.settings()
	}
	return h.conf.Load().find(name)
}

// reached lists the clients of which others have to hear whether this process
// looks after them.
type reached struct {
	mu  sync.Mutex // guards ids; no other lock is taken under it
	ids map[string]struct{}
}

func (r *reached) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = make(map[string]struct{})
	}
	r.ids[id] = struct{}{}
}

func (r *reached) take() map[string]struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := r.ids
	r.ids = nil
	return ids
}

// hold has this process find out when c, for which a reader has come, is idle.
func (h *Hub) hold(c *client, due int64) {
	if h.shared == nil {
		return
	}
	if held := h.wheel.hold(c, true); !held || c.socket {
		h.reached.add(c.id)
	}
	h.wheel.add(c, due)
}

// unhold says that nobody reads for c here any more. Of a socket others have to
// know that, since it is over when its connection is.
func (h *Hub) unhold(c *client) {
	if h.shared != nil && c.socket && h.wheel.holds(c) {
		h.reached.add(c.id)
	}
}

// holds reports whether this process looks after c. Else it cannot know whether
// somebody reads for it.
func (h *Hub) holds(c *client) bool { return h.shared == nil || h.wheel.holds(c) }

// TakeHeld is part of [Replica].
func (h fold) TakeHeld() (all []Holding) {
	for id := range h.reached.take() {
		one := Holding{Client: id}
		if c := h.clients.get(id); c != nil { // as it is now: it may be another one since
			one.Held = h.wheel.holds(c)
			one.Attached = one.Held && c.socket && c.attached.Load() > 0
		}
		all = append(all, one)
	}
	return all
}

// letGoOf has c, which others have ended or let go, be looked after no more.
func (h fold) letGoOf(c *client) {
	if h.wheel.hold(c, false) && h.stamp.foreign {
		h.reached.add(c.id)
	}
	h.wheel.remove(c)
}

// Keeps is part of [Replica].
func (h fold) Keeps(name string) (oldest uint64, window time.Duration) {
	ch := h.channels.get(name)
	if ch != nil {
		ch.mu.RLock()
		if ch.messages.n > 0 {
			oldest = ch.messages.at(0).Seq
		} else {
			oldest = ch.messages.evicted + 1
		}
		ch.mu.RUnlock()
	}
	return oldest, h.settingsOf(ch, name).Window
}

// RetryAge is part of [Replica].
func (h fold) RetryAge() time.Duration { return h.limits().PublishIDAge }

// Hold is part of [Replica].
func (h fold) Hold(ids []string) {
	now := h.now()
	for _, id := range ids {
		c := h.clients.get(id)
		if c == nil || c.stateNow() != live {
			h.reached.add(id) // others are to hear that it has ended
			continue
		}
		if h.wheel.hold(c, true) {
			continue
		}
		c.lastSeen.Store(max(c.lastSeen.Load(), now))
		h.wheel.add(c, now)
		if c.socket && h.inherits != nil && c.attached.Load() == 0 {
			h.inherits(Credentials{id, *c.key.Load()})
		}
	}
}

// Release is part of [Replica].
func (h fold) Release(ids []string) {
	for _, id := range ids {
		if c := h.clients.get(id); c != nil && c.attached.Load() == 0 {
			h.wheel.hold(c, false)
			h.wheel.remove(c)
		}
	}
}

// HoldAgain is part of [Replica].
func (h fold) HoldAgain() {
	h.clients.each(func(_ string, c *client) {
		if h.wheel.holds(c) {
			h.reached.add(c.id)
		}
	})
}

// missed are clients that were let go although readers had come for them: others
// did not know that yet.
type missed struct {
	mu      sync.Mutex // guards clients; no other lock is taken under it
	clients []*client
}

func (m *missed) add(c *client) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clients = append(m.clients, c)
}

func (m *missed) take() []*client {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.clients
	m.clients = nil
	return all
}

// reviveMissed brings back who is read for.
func (h *Hub) reviveMissed() {
	for _, c := range h.missed.take() {
		h.errands.run(func(ctx context.Context) {
			_, err := h.append(ctx, Command{Op: OpRevive, Client: c.id, Key: *c.key.Load()})
			if err != nil && c.stateNow() == letGo && c.attached.Load() > 0 {
				h.missed.add(c) // until the next entry, or the sweeper's next round
			}
		})
	}
}

// errands are small things that have to wait for the log, each on a goroutine
// of its own, so many at once at most.
type errands struct {
	mu      sync.Mutex // guards all below
	ctx     context.Context
	under   sync.WaitGroup
	running int
	waiting []func(context.Context)
}

// maxErrands is how many are under way at once.
const maxErrands = 512

// run has f called soon. ctx ends with the hub; before it has begun, and after
// it has ended, nothing is called.
func (e *errands) run(f func(ctx context.Context)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx == nil || e.ctx.Err() != nil {
		return
	}
	if e.running == maxErrands {
		e.waiting = append(e.waiting, f)
		return
	}
	e.running++
	ctx := e.ctx
	e.under.Go(func() { e.work(ctx, f) })
}

func (e *errands) work(ctx context.Context, f func(context.Context)) {
	for f != nil {
		f(ctx)
		f = e.next()
	}
}

func (e *errands) next() (f func(context.Context)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) == 0 || e.ctx == nil || e.ctx.Err() != nil {
		e.running--
		return nil
	}
	f, e.waiting[0] = e.waiting[0], nil
	e.waiting = e.waiting[1:]
	return f
}

func (e *errands) begin(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ctx = ctx
}

// end waits until all have seen that ctx has ended.
func (e *errands) end() {
	e.mu.Lock()
	e.ctx, e.waiting = nil, nil // nothing is begun any more
	e.mu.Unlock()
	e.under.Wait()
}
