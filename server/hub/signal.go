package hub

// A Reason says why messages are not kept any more.
type Reason uint8

// The reasons.
const (
	ReasonCount  Reason = iota + 1 // the channel held too many
	ReasonAge                      // they were older than the window
	ReasonBytes                    // the channel held too many bytes
	ReasonMemory                   // all channels together held too many bytes
	ReasonNode                     // they were said before this node began to follow the log
)

var reasonNames = [...]string{ReasonCount: "count", ReasonAge: "age", ReasonBytes: "bytes", ReasonMemory: "memory", ReasonNode: "node"}

func (r Reason) String() string { return reasonNames[r] }

// A SignalType is what a [Signal] tells.
type SignalType uint8

// The signals.
const (
	// SignalReset: the reader's position is of another life of the log. It
	// begins anew at Batch.Position; what it had not read is lost.
	SignalReset SignalType = iota + 1
	// SignalChannels: the memberships have changed since the reader's
	// position. Channels has them all; a Since newer than the reader knew
	// means that what was said before is none of its business.
	SignalChannels
	// SignalGap: what was said on Channel after From, up to To, is lost.
	SignalGap
	// SignalResync: join or leave notices of Channel are lost. Whoever keeps a
	// list of members asks for it again.
	SignalResync
	// SignalCount: Channel has Count members; it is too large for notices.
	SignalCount
	// SignalGone: Client does not exist any more. Its batch has nothing else
	// and does not move the reader. Read for other clients in the same
	// session, or for a new one of the same name in a session of its own.
	SignalGone
	// SignalSuperseded: a newer session of the same id has taken over.
	SignalSuperseded
	// SignalSkip: the message ID of Channel is not for this reader. It was
	// excluded, or came when the message was worth hearing no more.
	SignalSkip
	// SignalDrain: the session ends, but may be begun again where it was.
	SignalDrain
)

// A Signal tells a reader what no message can. Signals carry no position (only
// a reset moves the reader), come before the messages of their batch, and may
// be repeated.
type Signal struct {
	Type     SignalType
	Channel  string
	From, To Position // gap, resync: after From, up to To
	Reason   Reason   // gap
	Count    int      // count
	ID       uint64   // skip
	Client   string   // gone
	Channels map[string]Membership
}

// A Membership says where a client's part of a channel begins.
type Membership struct {
	Since Position // everything after it is for the client
	ID    uint64   // the channel's last id then
}
