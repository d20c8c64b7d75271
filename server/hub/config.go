package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config is what a [Hub] is made with.
type Config struct {
	// NewKey returns a fresh secret for a client: at least 122 random bits as
	// text. It may be called by several goroutines at once. Required.
	NewKey func() string

	// Limits bound what the hub holds. A zero field means its default.
	Limits Limits

	// Lives, if not nil, is told when a client, which is not a socket, is let go,
	// killed or back: in the log's order, with its lock held. It must not block,
	// and not call the hub.
	Lives func(Life)

	// Inherited, if not nil, is told of a socket that another process has left
	// behind, which this one looks after from now on. It must not block, and not
	// call the hub.
	Inherited func(Credentials)

	// Waves, if not nil, is called with what wakes some of the readers that have
	// news, and calls it. It may take the time to serve them before others are
	// woken: so a channel with many readers keeps nobody else waiting, and who is
	// woken late finds more at once. late is how long the oldest news has been
	// waiting that somebody is still to be woken for.
	Waves func(late time.Duration, wake func())

	// MayWait, if not nil, is told with a caller's context that it is about to wait
	// for a log that others share, and reports whether so many may: if not, the
	// caller gets [ErrUnavailable] at once.
	MayWait func(ctx context.Context) bool
}

// Limits bound the memory and the work of one hub. Every limit is safe by
// default; a zero field means the default that [DefaultLimits] gives it. The
// tags say what each one is; configuration and its manual are made from them.
type Limits struct {
	Window          time.Duration `help:"how long a channel keeps a message"`
	ChannelBytes    int           `help:"bytes a channel keeps, each message charged its length + 256"`
	ChannelMessages int           `help:"messages a channel keeps; 0: as many as its bytes hold"`
	ChannelNotices  int           `help:"join, leave and other notices a channel keeps, and as many volatile events"`
	NoticeMembers   int           `help:"members above which a channel tells their number instead of who joins and leaves"`
	MessageBytes    int           `help:"bytes of one message, its sender included"`
	TotalBytes      int64         `help:"bytes all channels keep together; new channels are refused from 7/8 of it"`
	NameBytes       int           `help:"bytes of a client id or a channel name"`

	Channels               int           `help:"channels that exist at once"`
	Clients                int           `help:"clients that exist at once, those let go not counted; and as many sockets of Socket.IO"`
	SubscriptionsPerClient int           `help:"channels one client is subscribed to"`
	SessionsPerClient      int           `help:"readers attached to one client at once"`
	PairsPerCall           int           `help:"(client, channel) pairs in one subscribe or unsubscribe"`
	ChannelsPerCall        int           `help:"channels in one broadcast"`
	ExcludePerMessage      int           `help:"clients excluded from one message"`
	RoomsPerEmit           int           `help:"rooms in one emit, those it is not for among them"`
	PublishIDs             int           `help:"publish ids remembered, a broadcast's once for each channel; when there are as many, publishes with a new id are refused"`
	PublishIDAge           time.Duration `help:"how long a publish id is remembered, and a retry under it is harmless"`
	LetGoClients           int           `help:"clients let go that wait to be revived"`
	LetGoAge               time.Duration `help:"how long a client let go waits to be revived"`
	SocketDataBytes        int           `help:"bytes that the backend may keep with one socket of Socket.IO"`
	Namespaces             int           `help:"namespaces of Socket.IO that are declared at once"`

	BatchMessages int `help:"messages in one batch"`
	BatchBytes    int `help:"bytes in one batch, each message charged its length + 256; one message may be larger"`
}

// DefaultLimits returns the limits a hub has when nothing else is said.
func DefaultLimits() Limits {
	return Limits{
		Window:          5 * time.Minute,
		ChannelBytes:    1 << 20,
		ChannelMessages: 0,
		ChannelNotices:  100,
		NoticeMembers:   1000,
		MessageBytes:    256 << 10,
		TotalBytes:      256 << 20,
		NameBytes:       256,

		Channels:               1_000_000,
		Clients:                1_000_000,
		SubscriptionsPerClient: 128,
		SessionsPerClient:      16,
		PairsPerCall:           10_000,
		ChannelsPerCall:        1000,
		ExcludePerMessage:      100,
		RoomsPerEmit:           100,
		PublishIDs:             100_000,
		PublishIDAge:           5 * time.Minute,
		LetGoClients:           100_000,
		LetGoAge:               time.Hour,
		SocketDataBytes:        16 << 10,
		Namespaces:             1000,

		BatchMessages: 1000,
		BatchBytes:    512 << 10,
	}
}

// withDefaults fills the zero fields of l.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	orDefault(&l.Window, d.Window)
	orDefault(&l.ChannelBytes, d.ChannelBytes)
	orDefault(&l.ChannelNotices, d.ChannelNotices)
	orDefault(&l.NoticeMembers, d.NoticeMembers)
	orDefault(&l.MessageBytes, d.MessageBytes)
	orDefault(&l.TotalBytes, d.TotalBytes)
	orDefault(&l.NameBytes, d.NameBytes)
	orDefault(&l.Channels, d.Channels)
	orDefault(&l.Clients, d.Clients)
	orDefault(&l.SubscriptionsPerClient, d.SubscriptionsPerClient)
	orDefault(&l.SessionsPerClient, d.SessionsPerClient)
	orDefault(&l.PairsPerCall, d.PairsPerCall)
	orDefault(&l.ChannelsPerCall, d.ChannelsPerCall)
	orDefault(&l.ExcludePerMessage, d.ExcludePerMessage)
	orDefault(&l.RoomsPerEmit, d.RoomsPerEmit)
	orDefault(&l.PublishIDs, d.PublishIDs)
	orDefault(&l.PublishIDAge, d.PublishIDAge)
	orDefault(&l.LetGoClients, d.LetGoClients)
	orDefault(&l.LetGoAge, d.LetGoAge)
	orDefault(&l.SocketDataBytes, d.SocketDataBytes)
	orDefault(&l.Namespaces, d.Namespaces)
	orDefault(&l.BatchMessages, d.BatchMessages)
	orDefault(&l.BatchBytes, d.BatchBytes)
	return l
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate says all that is wrong with l, each limit named as configuration
// names it. All must be more than 0, but for channel_messages, which may be 0.
func (l Limits) Validate() error {
	var faults []error
	for name, n := range map[string]int64{
		"channel_bytes": int64(l.ChannelBytes), "channel_notices": int64(l.ChannelNotices),
		"notice_members": int64(l.NoticeMembers), "message_bytes": int64(l.MessageBytes),
		"total_bytes": l.TotalBytes, "name_bytes": int64(l.NameBytes), "channels": int64(l.Channels),
		"clients": int64(l.Clients), "subscriptions_per_client": int64(l.SubscriptionsPerClient),
		"sessions_per_client": int64(l.SessionsPerClient), "pairs_per_call": int64(l.PairsPerCall),
		"channels_per_call": int64(l.ChannelsPerCall), "exclude_per_message": int64(l.ExcludePerMessage),
		"rooms_per_emit": int64(l.RoomsPerEmit),
		"publish_ids":    int64(l.PublishIDs), "let_go_clients": int64(l.LetGoClients), "batch_messages": int64(l.BatchMessages),
		"batch_bytes": int64(l.BatchBytes), "socket_data_bytes": int64(l.SocketDataBytes), "namespaces": int64(l.Namespaces),
	} {
		if n <= 0 {
			faults = append(faults, fmt.Errorf("%s: must be more than 0", name))
		}
	}
	for name, d := range map[string]time.Duration{"window": l.Window, "let_go_age": l.LetGoAge, "publish_id_age": l.PublishIDAge} {
		if d <= 0 {
			faults = append(faults, fmt.Errorf("%s: must be more than 0, as in \"25s\"", name))
		}
	}
	if l.ChannelMessages < 0 {
		faults = append(faults, errors.New("channel_messages: must not be negative"))
	}
	if l.MessageBytes+overhead > l.ChannelBytes {
		faults = append(faults, fmt.Errorf("channel_bytes: must hold a message of message_bytes = %d and %d more", l.MessageBytes, overhead))
	}
	if int64(l.ChannelBytes) > l.TotalBytes {
		faults = append(faults, fmt.Errorf("total_bytes: must not be less than channel_bytes = %d", l.ChannelBytes))
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}
