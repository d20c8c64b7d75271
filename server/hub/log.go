package hub

import (
	"context"
	"time"
)

// An Op is what a [Command] does.
type Op uint8

// The commands. Everything that changes who hears what is one of them.
const (
	OpPublish      Op = iota + 1 // Message goes to its channel
	OpCreate                     // Client exists from now on, with Key
	OpKill                       // Client leaves everything and its key is void
	OpSubscribe                  // every one of Pairs begins
	OpUnsubscribe                // every one of Pairs ends
	OpLetGo                      // Clients were idle: they leave, and may be revived
	OpRevive                     // Client is back on its channels, with Key
	OpForget                     // Clients that were let go cannot be revived any more
	OpDrop                       // Channels that hold nothing and matter to nobody go
	OpCount                      // Channels are too large for notices: their members are counted
	OpBroadcast                  // Messages go to their channels, each to its own
	OpRotate                     // Client's key is Key from now on; who came with the old one is gone
	OpDelete                     // Channels end, with all that they hold and all memberships
	OpDisconnect                 // Client's sessions end: all, or those called Session
	OpEmit                       // Emit is said to who is meant
	OpForgetSocket               // Client, a socket that nobody reads for, leaves and its Key is void
	OpSocket                     // Client exists from now on, with Key: it is a socket, on the channels of Pairs
	OpData                       // Client, a socket, has Data
	OpDeclare                    // Namespace is as it says
	OpTake                       // Takes are what pages have that keep no position
)

// A Pair names a client on a channel.
type Pair struct{ Client, Channel string }

// A Command asks for a change of the log's state. Made by [Hub], numbered by a
// [Broker], checked and resolved before it becomes an [Entry].
type Command struct {
	Op       Op
	Client   string      // create, kill, revive, rotate, disconnect, socket, data
	Key      string      // forget socket: the one it must have; create, socket: the key to use if the client is new; revive: the key shown; rotate: the new one
	Clients  []string    // let go, forget
	Pairs    []Pair      // subscribe, unsubscribe, socket; emit, resolved: who joins a channel for it
	Within   uint64      // take: the epoch it is of, in which alone its numbers mean anything; 0: any
	Owner    string      // socket: the client whose key was shown; "": nobody's
	Channels []string    // drop, count, delete
	Message  *Message    // publish; numbered by whoever applies it
	Messages []*Message  // broadcast: one for each channel; emit: resolved, the same
	Emit     *Emission   // emit
	Idle     Idle        // let go: who counts as idle
	Lenient  bool        // unsubscribe: unknown clients are passed over
	Session  string      // disconnect
	Data     []byte      // data: any JSON value
	Retry    *PublishKey // publish, broadcast: what makes a retry harmless; nil: nothing does

	Namespace *Namespace // declare
	Takes     []Take     // take

	// What checking adds. A resolved command says by itself which numbers it
	// takes, so that every node which applies it does exactly the same.
	Creates []string // channels that begin with this command, in order
	// Told says for each of Pairs whether a notice tells of it, which takes a
	// number of its channel. nil: the State, which is the only one, says so.
	Told []bool
	// Ended are memberships of who joins whose channels have ended. A log that is
	// shared need not keep them any longer.
	Ended []Pair
}

// A Take says what the pages of 2010, which keep no position, have of a client:
// it was everything up to From, and is everything up to UpTo. It goes back when
// an answer was lost.
type Take struct {
	Client     string
	From, UpTo uint64
}

// Numbers returns how many seqs a resolved command takes: one for each channel
// it creates (announced on the admin channel), one for each membership that
// begins or ends, one for a message, and at least one if it does anything.
func (c *Command) Numbers() uint64 {
	n := len(c.Creates) + len(c.Pairs)
	switch c.Op {
	case OpPublish:
		n++
	case OpBroadcast, OpEmit:
		n += len(c.Messages)
	case OpSubscribe, OpUnsubscribe:
		// Without an effective pair there is nothing to say.
	case OpCreate, OpKill, OpRevive, OpRotate, OpDisconnect, OpSocket, OpForgetSocket, OpData, OpDeclare, OpTake:
		n = max(n, 1)
	case OpLetGo, OpForget:
		n = max(n, min(len(c.Clients), 1))
	case OpDrop, OpCount, OpDelete:
		n = min(len(c.Channels), 1)
	}
	return uint64(n)
}

// An Entry is a resolved command with its place in the log. It covers the seqs
// First to Last. An entry with Op 0 begins the log; it comes first, and once,
// unless a [Replica] is restored in its place.
type Entry struct {
	Epoch       uint64
	First, Last uint64
	Time        time.Time // of the numbering, by the log's clock; the same for every State
	Local       time.Time // the same by the clock of this process; zero: that is the log's
	Foreign     bool      // another process has asked for it
	Command
}

// A Result is what the log answers to a command.
type Result struct {
	Position Position // of the entry's last number; of the log's top if nothing changed
	ID       uint64   // publish: the message's number in its channel
	// Messages are those of a broadcast as they were applied.
	Messages []*Message
	// Earlier is where the same publish id has put these messages before:
	// they are not said again.
	Earlier []Published
	Key     string // create: the client's key, new or not
	// Refused is the error to tell the caller even though the log changed:
	// a let-go client is beyond kill and unsubscribe for the one who asks
	// (it is unknown), but must not come back as if nothing had been said.
	Refused error
}

// localTime returns when the entry was made, by the clock of this process.
func (e *Entry) localTime() time.Time {
	if e.Local.IsZero() {
		return e.Time
	}
	return e.Local
}

// A State is what a log is folded into. The [Hub] is one; tests have others.
//
// A broker calls both methods for one entry at a time, in the log's order.
type State interface {
	// Check resolves cmd against the state and answers what can be answered
	// before it is numbered. A command that takes no numbers afterwards has no
	// effect and must not become an entry; with an error it must not either.
	// A broker which resolves commands by a state of its own (a shared store)
	// need not call it.
	Check(cmd *Command) (Result, error)
	// Apply makes e happen. It does not fail and does not call the broker. It
	// returns the number a published message has in its channel.
	Apply(e Entry) (id uint64)
}

// A Broker is the log: it numbers commands and hands the entries to every
// State in the same order.
type Broker interface {
	// Append makes cmd an entry and returns when this node's State has applied
	// it. The error is an [*Error]; ErrUnavailable when the log is not running.
	// Append may be called by many goroutines at once, never by a State.
	Append(ctx context.Context, cmd Command) (Result, error)
	// Run feeds s until ctx ends, beginning with the entry that names the
	// epoch. It is called once.
	Run(ctx context.Context, s State) error
}

// Idle says which clients may be let go.
type Idle struct {
	After  time.Duration // since the last session ended
	MinAge time.Duration // since the client was created or revived
	Socket time.Duration // since the last session of a socket ended, if that is longer than After
}
