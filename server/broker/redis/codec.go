package redis

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// format is the version of what is kept in Redis: of the entries, the keys and
// the scripts. Nodes of different formats must not share a log.
const format = 1

// A header begins an entry.
type header struct {
	epoch   uint64
	node    string // who has asked for it; 8 bytes
	request uint64 // its number there
	numbers uint64 // seqs that it takes
}

// nodeBytes is how many bytes the name of a node has.
const nodeBytes = 8

// The fields of a command, as they are marked in an entry.
const (
	fieldClient byte = iota + 1
	fieldKey
	fieldClients
	fieldPairs
	fieldOwner
	fieldChannels
	fieldMessage
	fieldSession
	fieldData
	fieldRetry
	fieldNamespace
	fieldCreates
	fieldTold
	fieldTakes
)

var errEntry = errors.New("an entry of the log cannot be read")

// span is a part of an entry.
type span struct{ from, to int }

// encode returns cmd as an entry, and where its messages are in it.
func encode(h header, cmd *hub.Command) (entry []byte, messages []span) {
	b := append([]byte{format}, binary.BigEndian.AppendUint64(nil, h.epoch)...)
	b = append(b, h.node...)
	b = binary.AppendUvarint(b, h.request)
	b = binary.AppendUvarint(b, h.numbers)
	w := writer{append(b, byte(cmd.Op))}
	w.text(fieldClient, cmd.Client)
	w.text(fieldKey, cmd.Key)
	w.list(fieldClients, cmd.Clients)
	if len(cmd.Pairs) > 0 {
		w.mark(fieldPairs, len(cmd.Pairs))
		for _, p := range cmd.Pairs {
			w.put(p.Client)
			w.put(p.Channel)
		}
	}
	w.text(fieldOwner, cmd.Owner)
	w.list(fieldChannels, cmd.Channels)
	w.text(fieldSession, cmd.Session)
	w.text(fieldData, string(cmd.Data))
	if r := cmd.Retry; r != nil {
		w.b = append(w.b, fieldRetry)
		w.put(r.Scope)
		w.put(r.ID)
		w.b = append(w.b, r.Hash[:]...)
	}
	if n := cmd.Namespace; n != nil {
		w.text(fieldNamespace, string(encodeNamespace(n)))
	}
	w.list(fieldCreates, cmd.Creates)
	if len(cmd.Told) > 0 {
		w.mark(fieldTold, len(cmd.Told))
		for _, told := range cmd.Told {
			w.bool(told)
		}
	}
	if len(cmd.Takes) > 0 {
		w.mark(fieldTakes, len(cmd.Takes))
		for _, t := range cmd.Takes {
			w.put(t.Client)
			w.number(t.From)
			w.number(t.UpTo)
		}
	}
	all := cmd.Messages
	if cmd.Message != nil {
		all = []*hub.Message{cmd.Message}
	}
	for i, m := range all {
		w.b = append(w.b, fieldMessage)
		w.put(m.Channel())
		at := len(w.b)
		w.message(m, i)
		messages = append(messages, span{at, len(w.b)})
	}
	return w.b, messages
}

// beginning returns the entry with which an epoch begins.
func beginning(epoch uint64, node string) []byte {
	entry, _ := encode(header{epoch: epoch, node: node, numbers: 1}, &hub.Command{})
	return entry
}

func encodeNamespace(n *hub.Namespace) []byte {
	b, err := json.Marshal(n)
	if err != nil {
		panic(err) // strings and booleans cannot fail
	}
	return b
}

type writer struct{ b []byte }

func (w *writer) number(n uint64) { w.b = binary.AppendUvarint(w.b, n) }

func (w *writer) put(s string) {
	w.number(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) mark(field byte, n int) {
	w.b = append(w.b, field)
	w.number(uint64(n))
}

func (w *writer) text(field byte, s string) {
	if s != "" {
		w.b = append(w.b, field)
		w.put(s)
	}
}

func (w *writer) list(field byte, all []string) {
	if len(all) > 0 {
		w.mark(field, len(all))
		for _, s := range all {
			w.put(s)
		}
	}
}

func (w *writer) bool(v bool) {
	if v {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}

// What a message is, as bits.
const (
	isSystem byte = 1 << iota
	isVolatile
	hasTerms
	hasUnion
)

// message writes m without its channel; it is the copy i of those that are said
// together.
func (w *writer) message(m *hub.Message, i int) {
	var is byte
	if m.System {
		is |= isSystem
	}
	if m.Volatile {
		is |= isVolatile
	}
	t := m.Terms
	if t != nil {
		is |= hasTerms
		if t.Union != nil {
			is |= hasUnion
		}
	}
	w.b = append(w.b, is)
	w.put(string(m.Sender))
	w.put(string(m.Data))
	w.put(m.Event)
	if t == nil {
		return
	}
	w.number(uint64(t.TTL))
	for _, list := range [][]string{t.Exclude, t.ExceptClients, t.ExceptChannels} {
		w.strings(list)
	}
	if t.Union != nil {
		w.number(uint64(i))
		w.strings(t.Union.Channels)
	}
}

func (w *writer) strings(all []string) {
	w.number(uint64(len(all)))
	for _, s := range all {
		w.put(s)
	}
}

// decode reads an entry. What it returns shares nothing with s but its bytes.
func decode(s string) (h header, cmd hub.Command, err error) {
	r := reader{s: s}
	if v := r.byte(); v != format && !r.bad {
		return h, cmd, fmt.Errorf("%w: it is of format %d, and this node knows %d", errEntry, v, format)
	}
	if e := r.take(8); !r.bad {
		h.epoch = binary.BigEndian.Uint64([]byte(e))
	}
	h.node = r.take(nodeBytes)
	h.request, h.numbers = r.number(), r.number()
	cmd.Op = hub.Op(r.byte())
	for len(r.s) > 0 && !r.bad {
		r.field(r.byte(), &cmd)
	}
	if r.bad || h.epoch == 0 || h.numbers == 0 {
		return h, cmd, errEntry
	}
	r.one(&cmd)
	return h, cmd, nil
}

// A reader reads what a writer has written. Once something was wrong, all else
// is nothing.
type reader struct {
	s    string
	said []*hub.Message
	bad  bool
}

func (r *reader) take(n int) string {
	if n < 0 || n > len(r.s) {
		r.bad, r.s = true, ""
		return ""
	}
	part := r.s[:n]
	r.s = r.s[n:]
	return part
}

func (r *reader) byte() byte {
	if b := r.take(1); b != "" {
		return b[0]
	}
	return 0
}

func (r *reader) number() (n uint64) {
	for shift := 0; shift < 70; shift += 7 {
		b := r.byte()
		if r.bad || shift == 63 && b > 1 {
			break
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	r.bad, r.s = true, ""
	return 0
}

func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.s)) {
		r.bad, r.s = true, ""
		return ""
	}
	return r.take(int(n))
}

// count reads how many things follow, of so many bytes each at least.
func (r *reader) count(least int) int {
	n := r.number()
	if n > uint64(len(r.s)/least) {
		r.bad, r.s = true, ""
		return 0
	}
	return int(n)
}

func (r *reader) list() (all []string) {
	for range r.count(1) {
		all = append(all, r.text())
	}
	return all
}

func (r *reader) field(field byte, cmd *hub.Command) {
	switch field {
	case fieldClient:
		cmd.Client = r.text()
	case fieldKey:
		cmd.Key = r.text()
	case fieldClients:
		cmd.Clients = r.list()
	case fieldPairs:
		for range r.count(2) {
			cmd.Pairs = append(cmd.Pairs, hub.Pair{Client: r.text(), Channel: r.text()})
		}
	case fieldOwner:
		cmd.Owner = r.text()
	case fieldChannels:
		cmd.Channels = r.list()
	case fieldSession:
		cmd.Session = r.text()
	case fieldData:
		cmd.Data = []byte(r.text())
	case fieldRetry:
		cmd.Retry = &hub.PublishKey{Scope: r.text(), ID: r.text()}
		copy(cmd.Retry.Hash[:], r.take(len(cmd.Retry.Hash)))
	case fieldNamespace:
		cmd.Namespace = new(hub.Namespace)
		r.bad = r.bad || json.Unmarshal([]byte(r.text()), cmd.Namespace) != nil
	case fieldCreates:
		cmd.Creates = r.list()
	case fieldTold:
		for range r.count(1) {
			cmd.Told = append(cmd.Told, r.byte() == 1)
		}
	case fieldTakes:
		for range r.count(3) {
			cmd.Takes = append(cmd.Takes, hub.Take{Client: r.text(), From: r.number(), UpTo: r.number()})
		}
	case fieldMessage:
		m := hub.MessageOn(r.text())
		r.message(m, 0)
		r.said = append(r.said, m)
	default:
		r.bad = true
	}
}

// one puts what was said where the command has it.
func (r *reader) one(cmd *hub.Command) {
	if len(r.said) == 0 {
		return
	}
	if cmd.Op == hub.OpPublish {
		cmd.Message = r.said[0]
		return
	}
	cmd.Messages = r.said
	if t := r.said[0].Terms; t != nil && t.Union != nil {
		for _, m := range r.said {
			m.Terms = t // one event: where it begins is said once
		}
	}
}

// message reads m. at is its seq, 0 if it has none yet.
func (r *reader) message(m *hub.Message, at uint64) {
	is := r.byte()
	m.System, m.Volatile = is&isSystem != 0, is&isVolatile != 0
	m.Sender, m.Data = json.RawMessage(r.text()), json.RawMessage(r.text())
	m.Event = r.text()
	if is&hasTerms == 0 {
		return
	}
	ttl := r.number()
	if ttl > math.MaxInt64 {
		r.bad = true
	}
	m.Terms = &hub.Terms{TTL: time.Duration(ttl), Exclude: r.list(), ExceptClients: r.list(), ExceptChannels: r.list()}
	if is&hasUnion != 0 {
		before := r.number()
		m.Terms.Union = &hub.Union{First: at - before, Channels: r.list()}
	}
}

// decodeMessage reads one that is kept by itself.
func decodeMessage(s, channel string, seq, id uint64, ms int64) (*hub.Message, error) {
	m := hub.MessageOn(channel)
	r := reader{s: s}
	r.message(m, seq)
	if r.bad || r.s != "" {
		return nil, errEntry
	}
	m.Seq, m.ID, m.Time = seq, id, ms
	return m, nil
}
