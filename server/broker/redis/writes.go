package redis

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// A request is a command on its way into the log.
type request struct {
	number   uint64
	epoch    uint64 // of the log that it was prepared for
	entry    []byte
	numbers  uint64
	grounds  []hub.Ground
	letGo    []string        // clients that nobody else may look after
	forget   string          // the same, of a socket that goes for good
	retry    *hub.PublishKey // nil: it has none
	channels []string        // of its messages
	once     bool            // to do it twice is not the same
	writes   []string        // for append.lua
	done     chan outcome    // holds one
	at       hub.Position    // where the log has it, as Redis says; the broker's mu guards it
}

// args are what append.lua is given for a request.
func (q *request) args(dst []string) []string {
	dst = append(dst, decimal(q.numbers), string(q.entry))
	at := len(dst)
	dst = append(dst, "")
	n := 0
	ground := func(kind, name, value string) {
		dst = append(dst, kind, name, value)
		n++
	}
	for _, g := range q.grounds {
		switch g.Kind {
		case hub.GroundClient:
			ground("c", g.Name, decimal(g.Version))
		case hub.GroundChannel:
			ground("h", g.Name, decimal(g.Version))
		case hub.GroundIdle:
			ground("i", g.Name, decimal(g.Version)+":"+decimal(g.LastID))
		case hub.GroundTaken:
			from := decimal(g.Version)
			if g.Version == hub.TakeBack {
				from = ""
			}
			ground("t", g.Name, from)
		}
	}
	if q.retry != nil {
		ground("p", retryName(q.retry), "")
	}
	for _, id := range q.letGo {
		ground("l", id, "")
	}
	if q.forget != "" {
		ground("f", q.forget, "")
	}
	dst[at] = strconv.Itoa(n)
	dst = append(dst, strconv.Itoa(len(q.writes)))
	return append(dst, q.writes...)
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// retryName is what a publish id is called among the keys: no scope with a
// colon in its name can be taken for another.
func retryName(k *hub.PublishKey) string {
	return strconv.Itoa(len(k.Scope)) + ":" + k.Scope + ":" + k.ID
}

// A plan has the writes of a command, in the order in which the hub numbers
// what it does.
type plan struct {
	writes []string
	told   []bool
	keeps  keeps
}

// keeps says what a channel still has, so that its stream has no more.
type keeps interface {
	// Keeps returns the seq of the oldest message that the channel keeps, and
	// for how long it keeps one.
	Keeps(channel string) (oldest uint64, window time.Duration)
	// RetryAge is for how long publish ids are remembered.
	RetryAge() time.Duration
}

func (p *plan) add(args ...string) { p.writes = append(p.writes, args...) }

func flag(v bool) string {
	if v {
		return "1"
	}
	return "0"
}

// writesOf returns what becomes of the directory with cmd, whose messages are
// these parts of its entry.
func writesOf(cmd *hub.Command, messages []span, keeps keeps) []string {
	p := plan{told: cmd.Told, keeps: keeps}
	for _, name := range cmd.Creates {
		p.add("C", name, flag(hub.Quiet(name)))
	}
	p.begins(cmd)
	for _, old := range cmd.Ended {
		p.add("Q", old.Client, old.Channel)
	}
	p.turns(cmd)
	p.said(cmd, messages)
	p.ends(cmd)
	return p.writes
}

// begins has what must be there before the turns of its client.
func (p *plan) begins(cmd *hub.Command) {
	switch cmd.Op {
	case hub.OpCreate:
		p.add("N", cmd.Client, cmd.Key, "0", "")
	case hub.OpSocket:
		p.add("N", cmd.Client, cmd.Key, "1", cmd.Owner)
	case hub.OpRevive:
		p.add("V", cmd.Client)
	}
}

func (p *plan) turns(cmd *hub.Command) {
	write := ""
	switch cmd.Op {
	case hub.OpSubscribe, hub.OpSocket, hub.OpEmit:
		write = "J"
	case hub.OpUnsubscribe, hub.OpKill, hub.OpForgetSocket:
		write = "P"
	case hub.OpLetGo:
		write = "A"
	case hub.OpRevive:
		write = "B"
	}
	for i, pair := range cmd.Pairs {
		told := i < len(p.told) && p.told[i]
		p.add(write, pair.Client, pair.Channel, flag(told))
	}
}

func (p *plan) said(cmd *hub.Command, messages []span) {
	all := cmd.Messages
	if cmd.Message != nil {
		all = []*hub.Message{cmd.Message}
	}
	for i, m := range all {
		oldest, window := uint64(0), time.Duration(0)
		if p.keeps != nil {
			oldest, window = p.keeps.Keeps(m.Channel())
		}
		// Lua counts from 1, and names the last one.
		p.add("M", m.Channel(), strconv.Itoa(messages[i].from+1), strconv.Itoa(messages[i].to), flag(m.Volatile),
			decimal(oldest), strconv.FormatInt((window+keepLonger).Milliseconds(), 10))
	}
	if cmd.Retry != nil {
		age := time.Minute
		if p.keeps != nil {
			age = p.keeps.RetryAge()
		}
		p.add("Y", retryName(cmd.Retry), hex.EncodeToString(cmd.Retry.Hash[:]), strconv.FormatInt(age.Milliseconds(), 10))
	}
}

// keepLonger is how much longer a channel's stream stays than its messages.
const keepLonger = time.Minute

func (p *plan) ends(cmd *hub.Command) {
	switch cmd.Op {
	case hub.OpKill, hub.OpForgetSocket:
		p.add("D", cmd.Client)
	case hub.OpForget:
		for _, id := range cmd.Clients {
			p.add("D", id)
		}
	case hub.OpLetGo:
		for _, id := range cmd.Clients {
			p.add("G", id)
		}
	case hub.OpRotate:
		p.add("K", cmd.Client, cmd.Key)
	case hub.OpData:
		p.add("X", cmd.Client, string(cmd.Data))
	case hub.OpDelete, hub.OpDrop:
		for _, name := range cmd.Channels {
			p.add("R", name)
		}
	case hub.OpDeclare:
		ns := ""
		if !cmd.Namespace.Remove {
			ns = string(encodeNamespace(cmd.Namespace))
		}
		p.add("S", cmd.Namespace.Pattern, ns)
	case hub.OpTake:
		for _, t := range cmd.Takes {
			if t.From == hub.TakeBack {
				p.add("W", t.Client, decimal(t.UpTo))
			} else {
				p.add("U", t.Client, decimal(t.UpTo))
			}
		}
	}
}

// earlier reads where a publish id was used: the hash of what was said, the
// epoch, and for each message its seq and its id.
func earlier(where string, key *hub.PublishKey, channels []string) ([]hub.Published, error) {
	parts := strings.Fields(where)
	if len(parts) < 2 || len(parts)-2 > len(channels) {
		return nil, errEntry
	}
	if parts[0] != hex.EncodeToString(key.Hash[:]) {
		return nil, &hub.Error{Kind: hub.Conflict, Name: key.ID, Text: "the publish id has been used for another message"}
	}
	epoch, err := strconv.ParseUint(parts[1], 16, 64)
	if err != nil {
		return nil, errEntry
	}
	to := make([]hub.Published, 0, len(parts)-2)
	for i, place := range parts[2:] {
		at, id, _ := strings.Cut(place, ":")
		seq, err1 := strconv.ParseUint(at, 10, 64)
		n, err2 := strconv.ParseUint(id, 10, 64)
		if err1 != nil || err2 != nil {
			return nil, errEntry
		}
		to = append(to, hub.Published{Channel: channels[i], Position: hub.Position{Epoch: epoch, Seq: seq}, ID: n, Repeated: true})
	}
	return to, nil
}
