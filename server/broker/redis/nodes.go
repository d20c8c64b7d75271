package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/shaveet/shaveet/server/hub"
)

// said is what a node says of itself, as it stands in Redis.
type said struct {
	Name    string `json:"name,omitempty"`
	Addr    string `json:"addr,omitempty"`
	Version string `json:"version,omitempty"`
	Began   int64  `json:"began"` // Unix ms
	Seq     uint64 `json:"seq"`
	Epoch   string `json:"epoch"`
	LagUS   int64  `json:"lag_us"`
	Readers int    `json:"readers"`
	Left    bool   `json:"left,omitempty"` // it has ended, and has said so
}

// beatStep is how often a node says that it is alive.
const beatStep = time.Second

// nodes knows who is alive, and says so of this one.
type nodes struct {
	broker *Broker
	wake   chan struct{} // holds a token when it should beat now
	secret string        // to use if there is none yet
	began  time.Time

	mu      sync.Mutex // guards all below
	all     []hub.Node // alive, in the order of their names
	left    []string   // the ids of those that have said that they end
	agreed  string     // the secret of all
	keeper  bool
	clock   time.Duration // by how much this process's clock is before Redis'
	addr    string        // of this node
	readers func() int
	last    time.Time // when the others were last heard of
	first   time.Time // when this node was first said to be alive
}

func (n *nodes) begin(b *Broker) {
	n.broker, n.wake, n.began = b, make(chan struct{}, 1), time.Now()
	n.secret = newSecret()
	n.addr = b.opts.Advertise
}

func (n *nodes) signal() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *nodes) skew() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.clock
}

func (n *nodes) setSkew(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clock = d
}

// run says that the node is alive, and does what follows from who else is,
// until ctx ends.
func (n *nodes) run(ctx context.Context) {
	trouble := troubles{log: n.broker.log, what: "this node cannot say in Redis that it is alive", over: "this node says again that it is alive"}
	tick := time.NewTicker(beatStep)
	defer tick.Stop()
	failed := 0 // in a row
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-n.wake:
		}
		err := n.beat(ctx)
		if err == nil {
			failed = 0
			trouble.end()
			continue
		}
		if ctx.Err() != nil {
			return
		}
		n.broker.counts.errors.Add(1)
		n.silence()
		if errors.Is(err, errAway) { // of which who follows the log tells
			failed = 0
			continue
		}
		if failed++; failed > 1 {
			trouble.tell(err)
		}
	}
}

// silence has the node not be the keeper any more when nobody has heard it for
// long: another one is by then.
func (n *nodes) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if time.Since(n.last) > n.broker.opts.DeadAfter/2 {
		n.keeper = false
	}
}

func (n *nodes) beat(ctx context.Context) error {
	b := n.broker
	conn, at, err := b.connection()
	if err != nil {
		return err
	}
	w, err := b.where(ctx, conn)
	if err != nil {
		return fmt.Errorf("%w: %w", errAway, err)
	}
	if !w.own || at.ready && (w.epoch != at.epoch || w.set != at.set) {
		b.loseLog()
		return nil
	}
	n.setSkew(w.skew)
	if !at.ready {
		return nil
	}
	b.notice(w)
	fresh, err := n.tell(ctx, conn, at)
	if err != nil {
		return err
	}
	if fresh {
		if err := n.resume(ctx, conn, at); err != nil {
			return err
		}
		b.holdAgain()
	}
	if err := b.flushHeld(ctx, conn, at); err != nil {
		return err
	}
	if err := b.inherit(ctx, conn, at); err != nil {
		return err
	}
	return b.compareHolds(ctx, conn, at)
}

// tell says that the node is alive, and hears who is. It is fresh if it has not
// counted as alive before.
func (n *nodes) tell(ctx context.Context, conn rueidis.Client, at place) (fresh bool, err error) {
	o := n.broker.opts
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	text, err := json.Marshal(n.said(at))
	if err != nil {
		return false, err
	}
	answer, err := beatScript.Exec(ctx, conn, []string{n.broker.logKey()}, []string{n.broker.node, string(text), n.secret,
		millis(o.DeadAfter + 5*time.Second), millis(o.Grace)}).AsStrSlice()
	if err != nil {
		return false, err
	}
	if len(answer) < 2 || len(answer)%3 != 2 {
		return false, errEntry
	}
	n.hear(answer[0], answer[2:])
	return answer[1] == "0", nil
}

// resume keeps what Redis knows of the batches of a node that was thought dead.
func (n *nodes) resume(ctx context.Context, conn rueidis.Client, at place) error {
	ctx, cancel := context.WithTimeout(ctx, n.broker.opts.Timeout)
	defer cancel()
	return conn.Do(ctx, conn.B().Persist().Key(n.broker.prefix(at.set)+"lanes:"+n.broker.node).Build()).Error()
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func (n *nodes) said(at place) said {
	o := n.broker.opts
	n.mu.Lock()
	defer n.mu.Unlock()
	s := said{Name: o.Name, Addr: n.addr, Version: o.Version, Began: n.began.UnixMilli(), Seq: at.seq,
		Epoch: formatEpoch(at.epoch), LagUS: n.broker.counts.lag.Load() / 1000}
	if n.readers != nil {
		s.Readers = n.readers()
	}
	return s
}

// hear notes who is alive: for each its id, the ms since it was heard of, and
// what it says. The first by its id is the keeper.
func (n *nodes) hear(secret string, parts []string) {
	dead := n.broker.opts.DeadAfter
	var all []hub.Node
	var left []string
	for ; len(parts) >= 3; parts = parts[3:] {
		ms, _ := strconv.ParseInt(parts[1], 10, 64)
		var s said
		_ = json.Unmarshal([]byte(parts[2]), &s) // what a stranger has written says nothing
		if s.Left {
			left = append(left, parts[0])
		}
		epoch, _ := parseEpoch(s.Epoch)
		all = append(all, hub.Node{ID: parts[0], Name: s.Name, Addr: s.Addr, Version: s.Version, Began: time.UnixMilli(s.Began),
			At: hub.Position{Epoch: epoch, Seq: s.Seq}, Lag: time.Duration(s.LagUS) * time.Microsecond, Readers: s.Readers, Silent: time.Duration(ms) * time.Millisecond})
	}
	slices.SortFunc(all, func(a, b hub.Node) int { return cmp.Compare(a.ID, b.ID) })
	first := slices.IndexFunc(all, func(o hub.Node) bool { return o.Silent <= dead })
	if first >= 0 {
		all[first].Keeper = true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all, n.left, n.agreed, n.last = all, left, secret, time.Now()
	if n.first.IsZero() {
		n.first = n.last
	}
	n.keeper = first >= 0 && all[first].ID == n.broker.node
}

// hasLeft reports whether a node has said that it ends.
func (n *nodes) hasLeft(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.left, id)
}

// Keeper implements [hub.Shared].
func (b *Broker) Keeper() bool {
	b.nodes.mu.Lock()
	defer b.nodes.mu.Unlock()
	return b.nodes.keeper
}

// NodeID implements [hub.Cluster].
func (b *Broker) NodeID() string { return b.node }

// Nodes implements [hub.Cluster].
func (b *Broker) Nodes() []hub.Node {
	b.nodes.mu.Lock()
	defer b.nodes.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.nodes.all), func(o hub.Node) bool { return o.Silent > b.opts.DeadAfter })
}

// Secret implements [hub.Cluster].
func (b *Broker) Secret() string {
	b.nodes.mu.Lock()
	defer b.nodes.mu.Unlock()
	return b.nodes.agreed
}

// Introduce implements [hub.Cluster].
func (b *Broker) Introduce(addr string, readers func() int) {
	b.nodes.mu.Lock()
	defer b.nodes.mu.Unlock()
	b.nodes.addr, b.nodes.readers = addr, readers
}

// Known implements [hub.Cluster]: a beat later all have beaten, too, if there is
// anybody but this node.
func (b *Broker) Known() bool {
	n := &b.nodes
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.first.IsZero() && (len(n.all) < 2 || time.Since(n.first) > beatStep+beatStep/4)
}

// LogStats implements [hub.Cluster].
func (b *Broker) LogStats() hub.LogStats {
	c := &b.counts
	return hub.LogStats{
		Nodes: len(b.Nodes()), InTouch: b.InTouch(2*b.opts.Timeout + beatStep), Lag: time.Duration(c.lag.Load()),
		Entries: c.entries.Load(), Batches: c.batches.Load(), Conflicts: c.conflicts.Load(), Syncs: c.syncs.Load(),
		Errors: c.errors.Load(), Restored: c.reloads.Load(), Epochs: c.epochs.Load(), Burnt: c.burnt.Load(),
	}
}

// notice has the log be looked for again if this node is behind it although the
// stream says nothing: its connection may be to a server that nobody writes to
// any more, or the end of the log is not in the stream.
func (b *Broker) notice(w whereabouts) {
	b.mu.Lock()
	at := b.at
	b.mu.Unlock()
	behind := at.ready && at.epoch == w.epoch && at.seq < w.seq
	if !behind {
		b.behindSince.Store(0)
		return
	}
	now := time.Now().UnixNano()
	if !b.behindSince.CompareAndSwap(0, now) && b.behindAt.Load() == at.seq && now-b.behindSince.Load() > int64(3*time.Second) {
		b.behindSince.Store(0)
		b.loseLog()
	}
	b.behindAt.Store(at.seq)
}

// leave says that this node goes: others need not wait until it counts as dead.
func (b *Broker) leave() {
	conn, at, err := b.connection()
	if err != nil || !at.ready {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(b.opts.Timeout, time.Second))
	defer cancel()
	// As if it had been silent for long: its clients are taken over then.
	past := float64(time.Now().Add(-b.nodes.skew() - 2*b.opts.DeadAfter).UnixMilli())
	last := b.nodes.said(at)
	last.Left = true
	text, _ := json.Marshal(last) // it has no parts that cannot be
	for _, r := range conn.DoMulti(ctx,
		conn.B().Hset().Key(b.logKey()+":nodes").FieldValue().FieldValue(b.node, string(text)).Build(),
		conn.B().Zadd().Key(b.logKey()+":alive").ScoreMember().ScoreMember(past, b.node).Build()) {
		err = errors.Join(err, r.Error())
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		b.log.Debug("could not say that this node goes", "err", err)
	}
}
