package redis

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/shaveet/shaveet/server/hub"
)

// holds is how far this node is with comparing who looks after whom: what Redis
// says may have been lost with a failover, or come before the client that it is
// about.
type holds struct {
	own     uint64 // a cursor in the set of this node's clients
	orphans uint64 // a cursor in the set of all clients; the keeper's
}

// What is compared with each beat.
const (
	holdsStep   = 1000
	orphansStep = 1000
)

func (b *Broker) holdAgain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.replica != nil {
		b.replica.HoldAgain()
	}
}

func (b *Broker) hold(ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.replica != nil && len(ids) > 0 {
		b.replica.Hold(ids)
	}
}

// release says that other nodes look after these clients.
func (b *Broker) release(ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.replica != nil {
		b.replica.Release(ids)
	}
}

// compareHolds has this node look after some of the clients that Redis says it
// does, and the keeper after those that nobody does.
func (b *Broker) compareHolds(ctx context.Context, conn rueidis.Client, at place) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	own, err := conn.Do(ctx, conn.B().Zscan().Key(b.prefix(at.set)+"held:"+b.node).Cursor(b.holds.own).Count(holdsStep).Build()).AsScanEntry()
	if err != nil {
		return err
	}
	b.holds.own = own.Cursor
	var ids []string
	for i := 0; i+1 < len(own.Elements); i += 2 { // each with its score
		ids = append(ids, own.Elements[i])
	}
	b.hold(ids)
	if !b.Keeper() {
		return nil
	}
	all, err := conn.Do(ctx, conn.B().Sscan().Key(b.prefix(at.set)+"clients").Cursor(b.holds.orphans).Count(orphansStep).Build()).AsScanEntry()
	if err != nil {
		return err
	}
	b.holds.orphans = all.Cursor
	if len(all.Elements) == 0 {
		return nil
	}
	args := append([]string{b.prefix(at.set), b.node, millis(b.opts.DeadAfter)}, all.Elements...)
	orphans, err := orphansScript.Exec(ctx, conn, []string{b.logKey()}, args).AsStrSlice()
	if err != nil {
		return err
	}
	b.hold(orphans)
	return nil
}

// flushHeld says which clients this node looks after from now on, and which it
// does not any more.
func (b *Broker) flushHeld(ctx context.Context, conn rueidis.Client, at place) error {
	b.mu.Lock()
	replica := b.replica
	b.mu.Unlock()
	if replica == nil {
		return nil
	}
	changes := replica.TakeHeld()
	key := b.prefix(at.set) + "held:" + b.node
	for len(changes) > 0 {
		part := changes[:min(len(changes), 500)]
		ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
		err := flushPart(ctx, conn, key, part)
		cancel()
		if err != nil {
			b.holdAgain()
			return err
		}
		changes = changes[len(part):]
	}
	return nil
}

// flushPart writes some changes, each of another client. Of a socket that is read
// for the score is infinite; else it says nothing.
func flushPart(ctx context.Context, conn rueidis.Client, key string, part []hub.Holding) error {
	now := float64(time.Now().UnixMilli())
	add := conn.B().Zadd().Key(key).ScoreMember()
	var adds int
	var drops []string
	for _, h := range part {
		switch {
		case h.Attached:
			add = add.ScoreMember(math.Inf(1), h.Client)
			adds++
		case h.Held:
			add = add.ScoreMember(now, h.Client)
			adds++
		default:
			drops = append(drops, h.Client)
		}
	}
	if adds > 0 {
		if err := conn.Do(ctx, add.Build()).Error(); err != nil {
			return err
		}
	}
	if len(drops) > 0 {
		return conn.Do(ctx, conn.B().Zrem().Key(key).Member(drops...).Build()).Error()
	}
	return nil
}

// inheritStep is how many clients of a dead node are taken over at once.
const inheritStep = 500

// inherit has the keeper look after the clients of nodes that are dead.
func (b *Broker) inherit(ctx context.Context, conn rueidis.Client, at place) error {
	b.nodes.mu.Lock()
	keeper := b.nodes.keeper
	var dead []string
	for _, o := range b.nodes.all {
		if o.Silent > b.opts.DeadAfter {
			dead = append(dead, o.ID)
		}
	}
	b.nodes.mu.Unlock()
	if !keeper {
		return nil
	}
	for _, id := range dead {
		if err := b.inheritFrom(ctx, conn, at, id); err != nil {
			return err
		}
	}
	return nil
}

func (b *Broker) inheritFrom(ctx context.Context, conn rueidis.Client, at place, dead string) error {
	total := 0
	for {
		call, cancel := context.WithTimeout(ctx, b.opts.Timeout)
		answer, err := inheritScript.Exec(call, conn, []string{b.logKey()}, []string{b.prefix(at.set), b.node, dead,
			strconv.Itoa(inheritStep), millis(b.opts.DeadAfter)}).AsStrSlice()
		cancel()
		if err != nil {
			return err
		}
		if len(answer) == 0 || answer[0] == "alive" {
			return nil
		}
		if answer[0] == "over" {
			break
		}
		b.hold(answer[1:])
		total += len(answer) - 1
	}
	if b.nodes.hasLeft(dead) {
		b.log.Info("a node has ended; its clients are let go unless they come to another", "node", dead, "clients", total)
		return nil
	}
	b.log.Warn("a node is gone; its clients are let go unless they come to another", "node", dead, "clients", total)
	return nil
}
