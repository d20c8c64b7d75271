package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/shaveet/shaveet/server/hub"
)

// load reads the state as the directory has it, and has the hub begin with it.
// What has changed while it is read comes again by the stream, which is read
// from w on.
func (b *Broker) load(ctx context.Context, conn rueidis.Client, w whereabouts) error {
	began := time.Now()
	b.setUnready()
	img := &hub.Image{Epoch: w.epoch, Began: w.began, Ends: w.ends, Seq: w.seq, Skew: w.skew}
	l := loader{broker: b, conn: conn, prefix: b.prefix(w.set), img: img}
	b.mu.Lock()
	replica := b.replica
	b.mu.Unlock()
	if err := l.trim(ctx); err != nil {
		b.log.Warn("the log in Redis cannot be kept short", "err", err)
	}
	if replica != nil {
		// Clients first: so whatever channel one of them is on is here, or has
		// ended.
		for _, part := range []func(context.Context) error{l.clients, l.channels, l.namespaces} {
			if err := part(ctx); err != nil {
				return fmt.Errorf("reading the state: %w", err)
			}
		}
	}
	b.begin(img, w)
	b.counts.reloads.Add(1)
	b.log.Info("the state was read", "epoch", formatEpoch(w.epoch), "seq", w.seq, "clients", len(img.Clients),
		"channels", len(img.Channels), "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// begin has the state be that of img, and be followed from there.
func (b *Broker) begin(img *hub.Image, w whereabouts) {
	b.nodes.setSkew(w.skew)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.replica != nil:
		b.replica.Restore(img)
		b.replica.HoldAgain()
	case b.at.epoch == 0:
		b.state.Apply(hub.Entry{Epoch: w.epoch, Last: w.seq})
	}
	b.at = place{ready: true, epoch: w.epoch, set: w.set, seq: w.seq, loads: b.at.loads + 1, heard: time.Now()}
	b.size, b.trim = logSize{}, 0
	for _, q := range b.waiting {
		b.tellMissed(q)
	}
	b.notify()
}

// What is read at once.
const (
	loadNames    = 500 // names of clients or channels
	loadChannels = 16  // channels with what they keep
)

// A loader reads the parts of an image.
type loader struct {
	broker *Broker
	conn   rueidis.Client
	prefix string
	img    *hub.Image
}

// do calls Redis, with the time that a large answer needs.
func (l *loader) do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(ctx, 2*l.broker.opts.Timeout)
	defer cancel()
	return l.conn.Do(ctx, cmd)
}

// trim sees to it that the stream does not grow with each node that begins: what has
// been there before, no node counts.
func (l *loader) trim(ctx context.Context) error {
	key, limit := l.prefix+"entries", l.broker.opts.LogBytes
	bytes, err := l.do(ctx, l.conn.B().MemoryUsage().Key(key).Build()).AsInt64()
	if rueidis.IsRedisNil(err) || err == nil && bytes <= 2*limit {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := l.do(ctx, l.conn.B().Xlen().Key(key).Build()).AsInt64()
	if err != nil {
		return err
	}
	keep := int64(float64(entries) * float64(limit) / float64(bytes)) // as long as the average
	return l.do(ctx, l.conn.B().Xtrim().Key(key).Maxlen().Almost().Threshold(decimal(uint64(keep))).Build()).Error()
}

// scan reads a set or the fields of a hash, a part at a time.
func (l *loader) scan(ctx context.Context, hash bool, key string, f func([]string) error) error {
	for cursor := uint64(0); ; {
		var r rueidis.RedisResult
		if hash {
			r = l.do(ctx, l.conn.B().Hscan().Key(key).Cursor(cursor).Count(loadNames).Build())
		} else {
			r = l.do(ctx, l.conn.B().Sscan().Key(key).Cursor(cursor).Count(loadNames).Build())
		}
		part, err := r.AsScanEntry()
		if err != nil {
			return err
		}
		if err := f(part.Elements); err != nil {
			return err
		}
		if cursor = part.Cursor; cursor == 0 {
			return nil
		}
	}
}

func (l *loader) clients(ctx context.Context) error {
	seen := make(map[string]bool)
	return l.scan(ctx, false, l.prefix+"clients", func(ids []string) error {
		var cmds []rueidis.Completed
		var asked []string
		for _, id := range ids {
			if seen[id] || id == "" {
				continue // a scan may name it twice; and nobody is called nothing
			}
			seen[id] = true
			asked = append(asked, id)
			cmds = append(cmds, l.conn.B().Hgetall().Key(l.prefix+"c:"+id).Build())
		}
		ctx, cancel := context.WithTimeout(ctx, 2*l.broker.opts.Timeout)
		defer cancel()
		for i, r := range l.conn.DoMulti(ctx, cmds...) {
			fields, err := r.AsStrMap()
			if err != nil {
				return err
			}
			if c, ok := l.clientOf(asked[i], fields); ok {
				l.img.Clients = append(l.img.Clients, c)
			}
		}
		return nil
	})
}

// clientOf makes a client of what is kept of it. It is not ok if it has ended.
func (l *loader) clientOf(id string, fields map[string]string) (c hub.ClientImage, ok bool) {
	if fields["k"] == "" {
		return c, false
	}
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(fields[name], 10, 64)
		return n
	}
	c = hub.ClientImage{ID: id, Key: fields["k"], Socket: fields["z"] == "1", Born: number("b"), Owner: fields["o"], OwnedBy: number("ob"), LetGo: fields["g"] == "1",
		Since: time.UnixMilli(int64(number("t"))).Add(l.img.Skew), Changed: number("h"), Left: number("l"), Version: number("v"), Taken: number("u")}
	if data, there := fields["d"]; there {
		c.Data = []byte(data)
	}
	for name, value := range fields {
		channel, isSub := strings.CutPrefix(name, "s:")
		if !isSub {
			continue
		}
		var sub hub.SubImage
		if _, err := fmt.Sscanf(value, "%d:%d:%d", &sub.Since, &sub.SinceID, &sub.Joined); err != nil {
			continue // nobody of us has written that
		}
		sub.Channel = channel
		if revived := int64(number("t")); !c.LetGo {
			sub.Joined = max(sub.Joined, revived)
		}
		c.Subs = append(c.Subs, sub)
	}
	return c, true
}

func (l *loader) channels(ctx context.Context) error {
	seen := make(map[string]bool)
	return l.scan(ctx, true, l.prefix+"channels", func(fields []string) error {
		var names []string
		for i := 0; i+1 < len(fields); i += 2 {
			if name := fields[i]; name != "" && !seen[name] { // no channel is called nothing
				seen[name] = true
				names = append(names, name)
			}
		}
		for len(names) > 0 {
			n := min(len(names), loadChannels)
			if err := l.someChannels(ctx, names[:n]); err != nil {
				return err
			}
			names = names[n:]
		}
		return nil
	})
}

func (l *loader) someChannels(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*l.broker.opts.Timeout)
	defer cancel()
	parts, err := channelsScript.Exec(ctx, l.conn, []string{l.broker.logKey()}, append([]string{l.prefix}, names...)).ToArray()
	if err != nil {
		return err
	}
	if len(parts) != 1+4*len(names) {
		return errEntry
	}
	asOf, err := parts[0].AsUint64()
	if err != nil {
		return errOther // it is gone
	}
	for i, name := range names {
		ch, err := channelOf(name, asOf, parts[1+4*i:])
		if err != nil {
			return err
		}
		if ch.Began > 0 {
			l.img.Channels = append(l.img.Channels, ch)
		}
	}
	return nil
}

func channelOf(name string, asOf uint64, parts []rueidis.RedisMessage) (ch hub.ChannelImage, err error) {
	ch = hub.ChannelImage{Name: name, AsOf: asOf}
	began, err := parts[0].ToString()
	if err != nil || began == "" {
		return ch, err
	}
	ids, err := parts[1].ToString()
	if err != nil {
		return ch, err
	}
	joined, err := parts[2].ToString()
	if err != nil {
		return ch, err
	}
	ch.Began, _ = strconv.ParseUint(began, 10, 64)
	ch.Joined, _ = strconv.ParseUint(joined, 10, 64)
	var newest uint64
	if _, err := fmt.Sscanf(ids, "%d:%d", &ch.LastID, &newest); err != nil {
		return ch, errEntry
	}
	kept, err := parts[3].AsXRange()
	if err != nil {
		return ch, err
	}
	for _, x := range kept {
		m, before, err := keptMessage(name, x)
		if err != nil {
			return ch, err
		}
		if len(ch.Messages) == 0 {
			ch.Lost = before
		}
		ch.Messages = append(ch.Messages, m)
	}
	if len(kept) == 0 {
		ch.Lost = newest
	}
	return ch, nil
}

// keptMessage reads a message of a channel's stream, and the seq of the one
// before it on that channel.
func keptMessage(channel string, x rueidis.XRangeEntry) (m *hub.Message, before uint64, err error) {
	seq, err := streamSeq(x.ID)
	if err != nil {
		return nil, 0, err
	}
	id, err := strconv.ParseUint(x.FieldValues["i"], 10, 64)
	if err != nil {
		return nil, 0, errEntry
	}
	ms, err := strconv.ParseInt(x.FieldValues["t"], 10, 64)
	if err != nil {
		return nil, 0, errEntry
	}
	before, err = strconv.ParseUint(cmp.Or(x.FieldValues["p"], "0"), 10, 64)
	if err != nil {
		return nil, 0, errEntry
	}
	m, err = decodeMessage(x.FieldValues["b"], channel, seq, id, ms)
	return m, before, err
}

func (l *loader) namespaces(ctx context.Context) error {
	all, err := l.do(ctx, l.conn.B().Hgetall().Key(l.prefix+"namespaces").Build()).AsStrMap()
	if err != nil {
		return err
	}
	for _, text := range all {
		n := new(hub.Namespace)
		if json.Unmarshal([]byte(text), n) == nil {
			l.img.Namespaces = append(l.img.Namespaces, n)
		}
	}
	return nil
}
