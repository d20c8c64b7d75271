package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/shaveet/shaveet/server/hub"
)

// Run implements [hub.Broker]. It looks for the log for as long as it takes, and
// fails only where waiting does not help.
func (b *Broker) Run(ctx context.Context, s hub.State) error {
	b.mu.Lock()
	b.state = s
	b.replica, _ = s.(hub.Replica)
	b.mu.Unlock()
	inner, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	for i := range lanes {
		l := &lane{broker: b, name: strconv.Itoa(i)}
		parts.Go(func() { l.run(inner) })
	}
	parts.Go(func() { b.runSyncs(inner) })
	parts.Go(func() { b.nodes.run(inner) })
	err := b.follow(ctx)
	b.leave()
	cancel()
	parts.Wait()
	b.end()
	return err
}

// end has the broker be as before Run.
func (b *Broker) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state, b.replica, b.at.ready = nil, nil, false
	for _, q := range b.waiting {
		q.tell(unknown)
	}
	if b.conn != nil {
		b.conn.Close()
		b.conn = nil
	}
	b.notify()
}

// notify tells whoever waits that the state has moved. b.mu is held.
func (b *Broker) notify() {
	close(b.moved)
	b.moved = make(chan struct{})
}

// errFatal is what waiting does not help.
var errFatal = errors.New("redis")

// follow connects, finds the log, and reads it, until ctx ends.
func (b *Broker) follow(ctx context.Context) error {
	trouble := troubles{log: b.log, what: "the log in Redis cannot be followed; it is tried again", over: "the log in Redis is followed again"}
	for pause := time.Duration(0); ; {
		err := b.followOnce(ctx, func() {
			trouble.end()
			pause = 0
		})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errFatal):
			return err
		case !errors.Is(err, errOther):
			trouble.tell(err)
			pause = min(max(2*pause, 20*time.Millisecond), time.Second)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// followOnce follows the log until something goes wrong. well is called when it
// has been found, and can be read.
func (b *Broker) followOnce(ctx context.Context, well func()) error {
	conn, err := b.connect()
	if err != nil {
		return err
	}
	w, err := b.find(ctx, conn)
	if err != nil {
		return err
	}
	goesOn, err := b.goesOn(ctx, conn, w)
	if err != nil {
		return err
	}
	if !goesOn {
		if err := b.load(ctx, conn, w); err != nil {
			return err
		}
	}
	b.nodes.signal()
	return b.tail(ctx, conn, well)
}

// connect returns the connection to Redis, made anew if there is none.
func (b *Broker) connect() (rueidis.Client, error) {
	b.mu.Lock()
	conn := b.conn
	b.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	conn, err := rueidis.NewClient(b.client)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conn = conn
	return conn, nil
}

// whereabouts say where the log is.
type whereabouts struct {
	own   bool // it is the server's that has said so
	epoch uint64
	seq   uint64
	began uint64
	set   string
	ends  map[uint64]uint64
	skew  time.Duration // by how much this process's clock is before Redis'
}

func (b *Broker) where(ctx context.Context, conn rueidis.Client) (w whereabouts, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	before := time.Now()
	a, err := whereScript.Exec(ctx, conn, []string{b.logKey()}, nil).AsStrSlice()
	if err != nil {
		return w, err
	}
	ms, err := strconv.ParseInt(a[0], 10, 64)
	if err != nil {
		return w, errEntry
	}
	w.skew = before.Add(time.Since(before) / 2).Sub(time.UnixMilli(ms))
	b.heard()
	if len(a) != 8 {
		return w, nil
	}
	var errs [4]error
	w.own = a[2] == "1"
	w.epoch, errs[0] = parseEpoch(a[1])
	w.seq, errs[1] = strconv.ParseUint(a[3], 10, 64)
	w.began, errs[2] = strconv.ParseUint(a[4], 10, 64)
	w.set = a[5]
	w.ends, errs[3] = parseEnds(a[6])
	if err := errors.Join(errs[:]...); err != nil {
		return w, fmt.Errorf("%w: %s is not the log: %w", errFatal, b.logKey(), err)
	}
	if a[7] != strconv.Itoa(format) {
		return w, fmt.Errorf("%w: the log is of format %s, and this version knows %d: all nodes must be of versions that share one", errFatal, a[7], format)
	}
	return w, nil
}

// parseEnds reads the ends of former epochs. Where an epoch ended at more than
// one place, which a copy of a copy may do, the lowest counts.
func parseEnds(s string) (map[uint64]uint64, error) {
	ends := make(map[uint64]uint64)
	lowest := uint64(1<<64 - 1)
	for _, one := range strings.Fields(s) { // the newest first
		name, seq, _ := strings.Cut(one, "=")
		epoch, err := parseEpoch(name)
		if err != nil {
			return nil, err
		}
		end, err := strconv.ParseUint(seq, 10, 64)
		if err != nil {
			return nil, err
		}
		lowest = min(lowest, end)
		if _, known := ends[epoch]; !known {
			ends[epoch] = lowest
		}
	}
	return ends, nil
}

// find returns where the log is, which is begun, or adopted, if need be.
func (b *Broker) find(ctx context.Context, conn rueidis.Client) (whereabouts, error) {
	for range 10 {
		w, err := b.where(ctx, conn)
		if err != nil || w.own && w.epoch != b.broken {
			return w, err
		}
		if err := b.checkServer(ctx, conn); err != nil {
			return w, err
		}
		epoch, broken := newEpoch(), ""
		if b.broken != 0 {
			broken = formatEpoch(b.broken)
		}
		call, cancel := context.WithTimeout(ctx, b.opts.Timeout)
		done, err := adoptScript.Exec(call, conn, []string{b.logKey()}, []string{b.root(), formatEpoch(epoch), newName(),
			strconv.Itoa(format), string(beginning(epoch, b.node)), broken}).ToString()
		cancel()
		if err != nil {
			return w, err
		}
		if done == "begun" {
			b.counts.epochs.Add(1)
			b.log.Info("a new epoch of the log begins", "epoch", formatEpoch(epoch), "former", formatEpoch(w.epoch))
		}
	}
	return whereabouts{}, errors.New("the log changes hands too often")
}

// checkServer says what is wrong with the server, before anything is written.
func (b *Broker) checkServer(ctx context.Context, conn rueidis.Client) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	text, err := conn.Do(ctx, conn.B().Info().Section("server", "memory").Build()).ToString()
	if err != nil {
		return err
	}
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		info[name] = value
	}
	version := info["redis_version"]
	if major, _, _ := strings.Cut(version, "."); len(major) == 1 && major < "7" {
		return fmt.Errorf("%w: the server is of version %s; 7 or later is needed", errFatal, version)
	}
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		b.log.Warn("Redis may throw away what the log needs, and all readers begin anew then: set maxmemory-policy to noeviction",
			"maxmemory_policy", policy)
	}
	return nil
}

// goesOn reports whether the state is one that only has to read on: what it has
// not read is in the stream. What comes after a hole there is looked at when it is
// read; but after the last entry nothing may ever come.
func (b *Broker) goesOn(ctx context.Context, conn rueidis.Client, w whereabouts) (bool, error) {
	at := b.now()
	if !at.ready || at.epoch != w.epoch || at.set != w.set || at.seq > w.seq {
		return false, nil
	}
	if at.seq == w.seq {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	next, err := conn.Do(ctx, conn.B().Xrange().Key(b.prefix(at.set)+"entries").Start("("+decimal(at.seq)+"-0").End("+").Count(1).Build()).AsXRange()
	if err != nil {
		return false, fmt.Errorf("reading the log: %w", err)
	}
	if len(next) == 0 {
		b.log.Warn("the log has not any more what this node has missed; it reads its state anew", "had", at.seq)
	}
	return len(next) > 0, nil
}

// How the stream is read: so many entries at once, about so many bytes of them,
// and so long one call waits.
const (
	tailCount = 512
	tailBytes = 4 << 20
	tailBlock = time.Second
)

// nextCount returns how many entries to read after so many of so many bytes.
func nextCount(entries, bytes int) int64 {
	if entries == 0 || bytes == 0 {
		return tailCount
	}
	return int64(min(tailCount, max(1, tailBytes/(bytes/entries+1))))
}

// tail reads the stream and applies it, until something goes wrong or somebody
// has seen that the log is another one. well is called each time that it was read.
func (b *Broker) tail(ctx context.Context, conn rueidis.Client, well func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel(nil)
	reader, release := conn.Dedicate()
	defer release()
	watch.Go(func() {
		select {
		case <-b.lost:
			cancel(errOther)
		case <-ctx.Done():
		}
		reader.Close() // nobody waits for the answer any more
	})
	count := int64(16)
	for {
		if err := b.readOn(ctx, reader, &count); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
		well()
	}
}

func (b *Broker) readOn(ctx context.Context, reader rueidis.DedicatedClient, count *int64) error {
	b.mu.Lock()
	at := b.at
	b.mu.Unlock()
	call, cancel := context.WithTimeout(ctx, tailBlock+b.opts.Timeout)
	defer cancel()
	key := b.prefix(at.set) + "entries"
	read, err := reader.Do(call, reader.B().Xread().Count(*count).Block(tailBlock.Milliseconds()).
		Streams().Key(key).Id(decimal(at.seq)+"-0").Build()).AsXRead()
	if rueidis.IsRedisNil(err) {
		return nil // nothing was said; nodes.go asks where the log is
	}
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	bytes := 0
	for _, x := range read[key] {
		bytes += len(x.FieldValues["b"])
	}
	*count = nextCount(len(read[key]), bytes)
	return b.applyAll(ctx, reader, at, read[key])
}

func (b *Broker) applyAll(ctx context.Context, reader rueidis.DedicatedClient, at place, entries []rueidis.XRangeEntry) error {
	all := make([]hub.Entry, 0, len(entries))
	headers := make([]header, 0, len(entries))
	defer func() { b.apply(all, headers, entries) }() // also what came before a break
	next := at.seq + 1
	for _, x := range entries {
		e, h, err := readEntry(x)
		if err != nil && h.epoch == at.epoch {
			return fmt.Errorf("%w: another version has written to the log, which this one cannot read: %w", errFatal, err)
		}
		if err != nil {
			b.log.Error("the log has an entry that is not of it: somebody else has written to its keys. It begins a new epoch",
				"key", b.prefix(at.set)+"entries", "entry", x.ID, "err", err)
			b.broken = at.epoch
			b.setUnready()
			return errOther
		}
		if e.Op == 0 || e.Epoch != at.epoch || e.First < next {
			b.setUnready()
			return errOther // the state is read anew
		}
		if e.First > next {
			if err := b.checkHole(ctx, reader, at, next); err != nil {
				return err
			}
		}
		e.Foreign = h.node != b.node
		all, headers = append(all, e), append(headers, h)
		next = e.Last + 1
	}
	return nil
}

// checkHole says whether numbers from next on are burnt: their entry has never
// been. If it has, and the stream does not have it any more, the state is to be
// read anew.
func (b *Broker) checkHole(ctx context.Context, reader rueidis.DedicatedClient, at place, next uint64) error {
	call, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	oldest, err := reader.Do(call, reader.B().Xrange().Key(b.prefix(at.set)+"entries").Start("-").End("+").Count(1).Build()).AsXRange()
	if err != nil {
		return err
	}
	if len(oldest) == 1 {
		if seq, err := streamSeq(oldest[0].ID); err == nil && seq < next {
			b.counts.burnt.Add(1)
			return nil
		}
	}
	b.log.Warn("the log has gone on without this node, which reads its state anew", "had", next-1)
	b.setUnready()
	return errOther
}

func (b *Broker) setUnready() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at.ready = false
}

func streamSeq(id string) (uint64, error) {
	seq, _, _ := strings.Cut(id, "-")
	return strconv.ParseUint(seq, 10, 64)
}

func readEntry(x rueidis.XRangeEntry) (e hub.Entry, h header, err error) {
	last, err := streamSeq(x.ID)
	if err != nil {
		return e, h, err
	}
	ms, err := strconv.ParseInt(x.FieldValues["t"], 10, 64)
	if err != nil {
		return e, h, errEntry
	}
	h, cmd, err := decode(x.FieldValues["b"])
	if err != nil {
		return e, h, err
	}
	if h.numbers > last {
		return e, h, errEntry
	}
	return hub.Entry{Epoch: h.epoch, First: last - h.numbers + 1, Last: last, Time: time.UnixMilli(ms), Command: cmd}, h, nil
}

// apply has the state apply the entries, and tells who has waited for them.
func (b *Broker) apply(all []hub.Entry, headers []header, raw []rueidis.XRangeEntry) {
	if len(all) == 0 {
		return
	}
	skew := b.nodes.skew()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range all {
		e := &all[i]
		e.Local = e.Time.Add(skew)
		id := b.state.Apply(*e)
		b.at.seq = e.Last
		if t := b.size.add(e.Last, len(raw[i].FieldValues["b"]), b.opts.LogBytes); t > 0 {
			b.trim = t
		}
		if q := b.waiting[headers[i].request]; q != nil && !e.Foreign {
			q.tell(outcome{kind: isEntry, id: id, at: hub.Position{Epoch: e.Epoch, Seq: e.Last}, messages: e.Messages})
		}
	}
	b.at.heard = time.Now()
	b.counts.entries.Add(uint64(len(all)))
	b.counts.lag.Store(int64(max(0, time.Since(all[len(all)-1].Local)))) // clocks are not exact
	b.notify()
}

func (b *Broker) trimmedTo() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.trim
}

// refusals are what Redis has refused to write.
type refusals struct {
	mu   sync.Mutex // guards all below
	told time.Time
	more int // since then
}

// tell tells of one a second.
func (r *refusals) tell(log *slog.Logger, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.told) < newTroubleStep {
		r.more++
		return
	}
	log.Error("Redis has refused to write", "err", err, "before", r.more)
	r.told, r.more = now, 0
}

// troubles says in the log what is wrong: at once, and then now and then.
type troubles struct {
	log        interface{ Warn(string, ...any) }
	what, over string // it is, and that it is over
	since      time.Time
	told       time.Time
	text       string // of what was told last
}

// How often the same trouble is told, and another one.
const (
	troubleStep    = 10 * time.Second
	newTroubleStep = time.Second
)

func (t *troubles) tell(err error) {
	now := time.Now()
	if t.since.IsZero() {
		t.since = now
	}
	step := troubleStep
	if err.Error() != t.text {
		step = newTroubleStep
	}
	if now.Sub(t.told) < step {
		return
	}
	t.told, t.text = now, err.Error()
	t.log.Warn(t.what, "err", err, "for", now.Sub(t.since).Round(time.Second))
}

func (t *troubles) end() {
	if !t.since.IsZero() {
		t.log.Warn(t.over, "after", time.Since(t.since).Round(time.Millisecond))
	}
	t.since = time.Time{} // when it was told last stays: it may come and go
}
