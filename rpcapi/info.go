package rpcapi

import (
	"fmt"
	"net/http"

	"github.com/shaveet/shaveet/server/hub"
)

// serverMethods are about the server itself.
var serverMethods = []Method{
	{
		Name:        "info",
		Summary:     "Returns the version, the position of the log, what the server holds and its limits.",
		Description: "The limits have the names that configuration has for them; durations are in seconds.",
		Examples: []Example{{"info", `{}`, `{"version": "1.0.0", "epoch": "6f1c2b9a04d7e358", "position": "6f1c2b9a04d7e358.7", "uptime": 17.042, ` +
			`"counts": {"clients": 2, "let_go_clients": 0, "channels": 2, "sessions": 1, "messages": 5, "bytes": 1431, "published": 1}, ` +
			`"limits": {"max_body_bytes": 2097152, "max_batch_calls": 1000, "max_answer_bytes": 8388608, "max_json_depth": 64, "name_bytes": 256, "message_bytes": 262144, ` +
			`"window": 300, "channel_bytes": 1048576, "channel_messages": 0, "channel_notices": 100, "notice_members": 1000, "total_bytes": 268435456, ` +
			`"channels": 1000000, "clients": 1000000, "subscriptions_per_client": 128, "sessions_per_client": 16, "pairs_per_call": 10000, ` +
			`"channels_per_call": 1000, "exclude_per_message": 100, "rooms_per_emit": 100, "publish_ids": 100000, "publish_id_age": 300, ` +
			`"let_go_clients": 100000, "let_go_age": 3600, "socket_data_bytes": 16384, "namespaces": 1000, "batch_messages": 1000, "batch_bytes": 524288}}`}},
	},
	{
		Name:        "stats",
		Summary:     "Returns the server's counts.",
		Description: "Each is right by itself; together they need not be of one instant. Those that only rise begin at 0 with the server.",
		Examples: []Example{{"stats", `{}`, `{"version": "1.0.0", "uptime_s": 17.042, ` +
			`"clients": 2, "sockets": 0, "let_go_clients": 0, "channels": 2, "sessions": 1, "messages": 5, "bytes": 1431, "publish_ids": 1, "top_seq": 7, ` +
			`"published": 1, "repeated": 0, "delivered": 0, "batches": 0, "attached": 1, "bad_keys": 0, "gaps": 0, "resets": 0, "let_go": 0, "revived": 0, "refused": 0, ` +
			`"evicted_count": 0, "evicted_age": 0, "evicted_bytes": 0, "evicted_memory": 0}`}},
	},
	clusterMethod,
	{
		Name:        discoverMethod,
		Summary:     "Returns this description of all methods as an OpenRPC document.",
		Description: "From it, clients for many languages can be generated.",
	},
}

// serverInfo answers serverMethods.
type serverInfo struct{ api *API }

type infoReply = struct {
	Version  string     `json:"version" help:"of the program"`
	Epoch    string     `json:"epoch" help:"of this life of the log: 16 hex digits"`
	Position cursor     `json:"position" help:"the position that the log ends with"`
	Uptime   float64    `json:"uptime" help:"seconds since the server began"`
	Counts   infoCounts `json:"counts" help:"what there is; stats has more"`
	Limits   infoLimits `json:"limits" help:"what there may be"`
}

type infoCounts struct {
	Clients      int    `json:"clients" help:"clients that live"`
	LetGoClients int    `json:"let_go_clients" help:"clients that wait to be revived"`
	Channels     int    `json:"channels" help:"channels that exist"`
	Sessions     int    `json:"sessions" help:"readers attached"`
	Messages     int    `json:"messages" help:"messages and notices kept"`
	Bytes        int64  `json:"bytes" help:"bytes charged for them and their encodings"`
	Published    uint64 `json:"published" help:"messages published since the server began"`
}

// infoLimits are the limits by the names that configuration has for them.
// Durations are in seconds. What the others are, hub.Limits says.
type infoLimits struct {
	MaxBodyBytes   int64 `json:"max_body_bytes" help:"bytes of one request"`
	MaxBatchCalls  int   `json:"max_batch_calls" help:"calls in one batch"`
	MaxAnswerBytes int   `json:"max_answer_bytes" help:"bytes of one answer to a batch or of history, beyond which nothing more is begun"`
	MaxJSONDepth   int   `json:"max_json_depth" help:"arrays and objects inside each other"`

	NameBytes       int     `json:"name_bytes"`
	MessageBytes    int     `json:"message_bytes"`
	Window          float64 `json:"window"`
	ChannelBytes    int     `json:"channel_bytes"`
	ChannelMessages int     `json:"channel_messages"`
	ChannelNotices  int     `json:"channel_notices"`
	NoticeMembers   int     `json:"notice_members"`
	TotalBytes      int64   `json:"total_bytes"`

	Channels               int     `json:"channels"`
	Clients                int     `json:"clients"`
	SubscriptionsPerClient int     `json:"subscriptions_per_client"`
	SessionsPerClient      int     `json:"sessions_per_client"`
	PairsPerCall           int     `json:"pairs_per_call"`
	ChannelsPerCall        int     `json:"channels_per_call"`
	ExcludePerMessage      int     `json:"exclude_per_message"`
	RoomsPerEmit           int     `json:"rooms_per_emit"`
	PublishIDs             int     `json:"publish_ids"`
	PublishIDAge           float64 `json:"publish_id_age"`
	LetGoClients           int     `json:"let_go_clients"`
	LetGoAge               float64 `json:"let_go_age"`
	SocketDataBytes        int     `json:"socket_data_bytes"`
	Namespaces             int     `json:"namespaces"`
	BatchMessages          int     `json:"batch_messages"`
	BatchBytes             int     `json:"batch_bytes"`
}

// Info is info().
func (s *serverInfo) Info(_ *http.Request, _ *noParams, reply *infoReply) error {
	position, stats := s.api.hub.Position(), s.api.hub.Stats()
	*reply = infoReply{
		Version:  s.api.opts.Version,
		Epoch:    fmt.Sprintf("%016x", position.Epoch),
		Position: cursor(position),
		Uptime:   s.api.uptime(),
		Counts:   countsFrom(stats),
		Limits:   limitsFrom(s.api.hub.Limits(), s.api.opts),
	}
	return nil
}

func countsFrom(s hub.Stats) infoCounts {
	return infoCounts{
		Clients:      s.Clients,
		LetGoClients: s.LetGoClients,
		Channels:     s.Channels,
		Sessions:     s.Sessions,
		Messages:     s.Messages,
		Bytes:        s.Bytes,
		Published:    s.Published,
	}
}

func limitsFrom(l hub.Limits, o Options) infoLimits {
	return infoLimits{
		MaxBodyBytes:   o.MaxBody,
		MaxBatchCalls:  o.MaxBatch,
		MaxAnswerBytes: o.MaxAnswer,
		MaxJSONDepth:   o.MaxDepth,

		NameBytes:       l.NameBytes,
		MessageBytes:    l.MessageBytes,
		Window:          l.Window.Seconds(),
		ChannelBytes:    l.ChannelBytes,
		ChannelMessages: max(l.ChannelMessages, 0),
		ChannelNotices:  l.ChannelNotices,
		NoticeMembers:   l.NoticeMembers,
		TotalBytes:      l.TotalBytes,

		Channels:               l.Channels,
		Clients:                l.Clients,
		SubscriptionsPerClient: l.SubscriptionsPerClient,
		SessionsPerClient:      l.SessionsPerClient,
		PairsPerCall:           l.PairsPerCall,
		ChannelsPerCall:        l.ChannelsPerCall,
		ExcludePerMessage:      l.ExcludePerMessage,
		RoomsPerEmit:           l.RoomsPerEmit,
		PublishIDs:             l.PublishIDs,
		PublishIDAge:           l.PublishIDAge.Seconds(),
		LetGoClients:           l.LetGoClients,
		LetGoAge:               l.LetGoAge.Seconds(),
		SocketDataBytes:        l.SocketDataBytes,
		Namespaces:             l.Namespaces,
		BatchMessages:          l.BatchMessages,
		BatchBytes:             l.BatchBytes,
	}
}
