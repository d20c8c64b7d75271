// Package redis has the log of several processes: one stream of a Redis (or
// Valkey) server, version 7 or later. A script numbers the commands and makes
// them entries; every process, which is called a node here, reads the whole
// stream, in order, and folds it into its own hub. Beside the stream there is a
// directory, which the same script keeps: with it begins who did not follow the
// stream from its beginning. docs/cluster.md tells the whole of it.
package redis

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/shaveet/shaveet/server/hub"
)

// Options say where the log is. Zero fields mean the defaults.
type Options struct {
	// URL is as [ParseURL] reads it. Required.
	URL string
	// Prefix begins the names of all keys, in braces, so that two deployments
	// can share a server. Default "shaveet".
	Prefix string
	// Name and Advertise are what other nodes are told of this one: a name for
	// people, and the address at which it answers nodes.
	Name, Advertise string
	Version         string

	Timeout   time.Duration // how long Redis may take for an answer; default 3 s
	DeadAfter time.Duration // a node that has been silent so long counts as dead; default 15 s
	StaleTime time.Duration // without Redis for so long, nobody is let in; default 60 s
	Grace     time.Duration // for how long nobody is let go when all nodes have been silent; default 25 s
	LogBytes  int64         // of entries that the stream keeps; default 256 MiB

	Logger *slog.Logger // default slog.Default()
}

func (o Options) withDefaults() Options {
	o.Prefix = cmp.Or(o.Prefix, "shaveet")
	o.Timeout = cmp.Or(o.Timeout, 3*time.Second)
	o.DeadAfter = cmp.Or(o.DeadAfter, 15*time.Second)
	o.StaleTime = cmp.Or(o.StaleTime, time.Minute)
	o.Grace = cmp.Or(o.Grace, 25*time.Second)
	o.LogBytes = cmp.Or(o.LogBytes, 256<<20)
	o.Version = cmp.Or(o.Version, "dev")
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

//go:embed append.lua
var appendLua string

//go:embed adopt.lua
var adoptLua string

//go:embed where.lua
var whereLua string

//go:embed beat.lua
var beatLua string

//go:embed inherit.lua
var inheritLua string

//go:embed orphans.lua
var orphansLua string

//go:embed channels.lua
var channelsLua string

var (
	appendScript   = rueidis.NewLuaScript(appendLua)
	adoptScript    = rueidis.NewLuaScript(adoptLua)
	whereScript    = rueidis.NewLuaScript(whereLua)
	beatScript     = rueidis.NewLuaScript(beatLua)
	inheritScript  = rueidis.NewLuaScript(inheritLua)
	orphansScript  = rueidis.NewLuaScript(orphansLua)
	channelsScript = rueidis.NewLuaScript(channelsLua)
)

// Broker is a [hub.Shared] log in Redis. Its methods may be called by many
// goroutines at once.
type Broker struct {
	opts   Options
	client rueidis.ClientOption
	node   string // this process
	log    *slog.Logger

	requests atomic.Uint64 // the number of the last one
	queue    queue         // of the lanes
	syncs    syncs
	lost     chan struct{} // holds a token when somebody has seen that the log is another one
	nodes    nodes
	holds    holds  // the beat's own
	broken   uint64 // the epoch whose stream cannot be read, if any; of Run alone
	counts   counts
	refusals refusals

	behindSince atomic.Int64  // ns; 0: it is not
	behindAt    atomic.Uint64 // where the node has been behind the log since

	mu      sync.Mutex // guards all below; entries are applied, and commands checked, under it
	state   hub.State  // nil while Run is not running
	replica hub.Replica
	conn    rueidis.Client // nil while there is none
	at      place
	waiting map[uint64]*request // that are to become entries, by their numbers
	moved   chan struct{}       // closed when more has been applied
	size    logSize
	trim    uint64 // the seq that the stream can be trimmed to
}

var _ hub.Cluster = (*Broker)(nil)

// A place is where the node is in the log.
type place struct {
	ready bool   // the state is that of the log there
	epoch uint64 // of the log
	set   string // of data; its keys begin with the prefix and this
	seq   uint64 // applied
	loads uint64 // how often the state was read as a whole
	heard time.Time
}

// New returns a broker whose log begins with Run. The error says what is wrong
// with the options.
func New(opts Options) (*Broker, error) {
	opts = opts.withDefaults()
	client, err := ParseURL(opts.URL)
	if err != nil {
		return nil, err
	}
	client.ConnWriteTimeout = opts.Timeout
	client.Dialer.Timeout = opts.Timeout
	b := &Broker{opts: opts, client: client, node: newName(), log: opts.Logger, lost: make(chan struct{}, 1),
		waiting: make(map[uint64]*request), moved: make(chan struct{})}
	b.queue.wake = make(chan struct{}, 1)
	b.syncs.wake = make(chan struct{}, 1)
	b.nodes.begin(b)
	return b, nil
}

// newName returns a name for a node: 48 random bits.
func newName() string {
	var b [6]byte
	rand.Read(b[:]) // does not fail
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// root begins the names of all keys. The braces keep them in one slot.
func (b *Broker) root() string { return "{" + b.opts.Prefix + "}:" }

func (b *Broker) logKey() string { return b.root() + "log" }

// prefix begins the names of the keys of a data set.
func (b *Broker) prefix(set string) string { return b.root() + set + ":" }

// maxTries is how often a command is checked again because what it rests on has
// changed.
const maxTries = 64

// Append implements [hub.Broker]. It returns [hub.ErrUnavailable] if Redis has
// not answered in time: then it is not known whether the command has become an
// entry, or still will.
func (b *Broker) Append(ctx context.Context, cmd hub.Command) (hub.Result, error) {
	if err := ctx.Err(); err != nil {
		return hub.Result{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.opts.Timeout, hub.ErrUnavailable)
	defer cancel()
	sure := false // that the state was not behind what the caller knows
	for range maxTries {
		q, result, err := b.prepare(ctx, cmd)
		if q == nil {
			if sure || errors.Is(err, hub.ErrUnavailable) || ctx.Err() != nil {
				return result, err
			}
			if err := b.Sync(ctx); err != nil {
				return hub.Result{}, err
			}
			sure = true
			continue
		}
		result, again, err := b.submit(ctx, q, result)
		if !again {
			return result, err
		}
		sure = false
	}
	return hub.Result{}, hub.ErrUnavailable
}

// prepare makes cmd a request. There is none if it is refused or changes
// nothing, as far as the state knows.
func (b *Broker) prepare(ctx context.Context, cmd hub.Command) (*request, hub.Result, error) {
	cmd = clone(cmd)
	to, grounds, result, err := b.check(ctx, &cmd)
	if err != nil {
		return nil, result, err
	}
	n := cmd.Numbers()
	if n == 0 {
		return nil, result, nil
	}
	q := &request{number: b.requests.Add(1), epoch: to.epoch, numbers: n, grounds: grounds, retry: cmd.Retry, done: make(chan outcome, 1)}
	switch cmd.Op {
	case hub.OpLetGo:
		q.letGo = cmd.Clients
	case hub.OpForgetSocket:
		q.forget = cmd.Client
	}
	var messages []span
	q.entry, messages = encode(header{epoch: to.epoch, node: b.node, request: q.number, numbers: n}, &cmd)
	q.channels = channelsOf(&cmd)
	q.once = len(q.channels) > 0 && q.retry == nil || cmd.Op == hub.OpTake
	q.writes = writesOf(&cmd, messages, to.keeps)
	return q, result, nil
}

// A target is the log that a command was checked for.
type target struct {
	epoch uint64
	keeps keeps // nil: the state does not say
}

// check resolves cmd, as soon as the state is that of the log.
func (b *Broker) check(ctx context.Context, cmd *hub.Command) (to target, grounds []hub.Ground, result hub.Result, err error) {
	for {
		b.mu.Lock()
		if b.state == nil {
			b.mu.Unlock()
			return to, nil, result, hub.ErrUnavailable
		}
		if b.at.ready {
			defer b.mu.Unlock()
			to.epoch = b.at.epoch
			result, err = b.state.Check(cmd)
			if err == nil && b.replica != nil {
				to.keeps = b.replica
				grounds = b.replica.Grounds(cmd)
			}
			return to, grounds, result, err
		}
		moved := b.moved
		b.mu.Unlock()
		if err := wait(ctx, moved); err != nil {
			return to, nil, result, err
		}
	}
}

// wait waits until moved is closed.
func wait(ctx context.Context, moved <-chan struct{}) error {
	select {
	case <-moved:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// clone returns a copy of cmd that can be resolved without changing it.
func clone(cmd hub.Command) hub.Command {
	cmd.Clients = append([]string(nil), cmd.Clients...)
	cmd.Channels = append([]string(nil), cmd.Channels...)
	cmd.Pairs = append([]hub.Pair(nil), cmd.Pairs...)
	return cmd
}

func channelsOf(cmd *hub.Command) (names []string) {
	if cmd.Message != nil {
		return []string{cmd.Message.Channel()}
	}
	for _, m := range cmd.Messages {
		names = append(names, m.Channel())
	}
	return names
}

// submit sends a request and waits for what becomes of it.
func (b *Broker) submit(ctx context.Context, q *request, result hub.Result) (_ hub.Result, again bool, err error) {
	b.mu.Lock()
	b.waiting[q.number] = q
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.waiting, q.number)
		b.mu.Unlock()
	}()
	b.queue.add(ctx, q)
	select {
	case o := <-q.done:
		return b.fare(ctx, q, o, result)
	case <-ctx.Done():
		return hub.Result{}, false, context.Cause(ctx)
	}
}

// fare says what an outcome means for the caller.
func (b *Broker) fare(ctx context.Context, q *request, o outcome, result hub.Result) (_ hub.Result, again bool, err error) {
	switch o.kind {
	case isEntry:
		result.ID, result.Position, result.Messages = o.id, o.at, o.messages
		return result, false, nil
	case hasChanged:
		b.counts.conflicts.Add(1)
		return result, true, b.Sync(ctx)
	case wasEarlier:
		result.Earlier, err = earlier(o.text, q.retry, q.channels)
		return result, false, err
	case isElsewhere:
		b.release(strings.Split(o.text, "\n"))
		return result, true, nil
	case isGrace:
		return result, false, nil
	}
	return hub.Result{}, false, o.err
}

// Sync implements [hub.Shared].
func (b *Broker) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.opts.Timeout, hub.ErrUnavailable)
	defer cancel()
	return b.syncs.wait(ctx)
}

// InTouch implements [hub.Shared].
func (b *Broker) InTouch(within time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at.ready && time.Since(b.at.heard) < within
}

// Stale implements [hub.Shared].
func (b *Broker) Stale() bool { return !b.InTouch(b.opts.StaleTime) }

// heard says that the log has been heard of.
func (b *Broker) heard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at.heard = time.Now()
}

// connection returns the connection to Redis, or an error if there is none.
func (b *Broker) connection() (rueidis.Client, place, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil {
		return nil, b.at, errAway
	}
	return b.conn, b.at, nil
}

// now returns how far the state is.
func (b *Broker) now() place {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

// loseLog has the log be looked for again.
func (b *Broker) loseLog() {
	select {
	case b.lost <- struct{}{}:
	default:
	}
}

func parseEpoch(s string) (uint64, error) {
	p, err := hex.DecodeString(s)
	if err != nil || len(p) != 8 {
		return 0, fmt.Errorf("%q is not an epoch", s)
	}
	return binary.BigEndian.Uint64(p), nil
}

func formatEpoch(e uint64) string { return fmt.Sprintf("%016x", e) }

// newSecret returns 256 random bits as text.
func newSecret() string {
	var b [32]byte
	rand.Read(b[:]) // does not fail
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// newEpoch returns a random number that is not 0.
func newEpoch() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:]) // does not fail
		if e := binary.BigEndian.Uint64(b[:]); e != 0 {
			return e
		}
	}
}

// A logSize knows how much of the stream has to stay.
type logSize struct {
	marks []mark
	total int64
}

// A mark is a step of the stream: that far, and so many bytes in all.
type mark struct {
	seq   uint64
	total int64
}

// markStep is how many bytes lie between two marks, at least.
const markStep = 64 << 10

// entryBytes is what an entry costs beside its bytes.
const entryBytes = 64

// add says that an entry was read, and returns up to where the stream can be
// trimmed; 0: nowhere.
func (l *logSize) add(seq uint64, bytes int, limit int64) uint64 {
	l.total += int64(bytes) + entryBytes
	if n := len(l.marks); n == 0 || l.total-l.marks[n-1].total >= markStep {
		l.marks = append(l.marks, mark{seq, l.total})
	}
	i := 0
	for i < len(l.marks)-1 && l.total-l.marks[i+1].total > limit {
		i++
	}
	l.marks = l.marks[i:]
	if l.total-l.marks[0].total <= limit {
		return 0
	}
	return l.marks[0].seq
}

// counts are since the broker began.
type counts struct {
	entries, conflicts, batches, syncs, errors, reloads, epochs, burnt atomic.Uint64
	lag                                                                atomic.Int64 // ns from numbering to applying, of the last entry
}
