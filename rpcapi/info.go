package rpcapi

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

var infoMethods = []Method{
	{Name: "info", Summary: "Returns the version, the position of the log, what the server holds and its limits."},
}

// infoService answers infoMethods.
type infoService struct{ api *API }

type infoReply = struct {
	Version  string     `json:"version"`
	Epoch    string     `json:"epoch"`    // of this life of the log: 16 hex digits
	Position string     `json:"position"` // where the log ends, as in a cursor
	Uptime   float64    `json:"uptime"`   // seconds
	Counts   infoCounts `json:"counts"`
	Limits   infoLimits `json:"limits"`
}

type infoCounts struct {
	Clients      int    `json:"clients"`
	LetGoClients int    `json:"let_go_clients"`
	Channels     int    `json:"channels"`
	Sessions     int    `json:"sessions"`
	Messages     int    `json:"messages"` // held now
	Bytes        int64  `json:"bytes"`    // held now
	Published    uint64 `json:"published"`
}

// infoLimits are the limits by the names that configuration has for them.
// Durations are in seconds.
type infoLimits struct {
	MaxBodyBytes  int64 `json:"max_body_bytes"`
	MaxBatchCalls int   `json:"max_batch_calls"`
	MaxJSONDepth  int   `json:"max_json_depth"`

	NameBytes       int     `json:"name_bytes"`
	MessageBytes    int     `json:"message_bytes"`
	Window          float64 `json:"window"`
	ChannelBytes    int     `json:"channel_bytes"`
	ChannelMessages int     `json:"channel_messages"` // 0: no such limit
	ChannelNotices  int     `json:"channel_notices"`
	NoticeMembers   int     `json:"notice_members"`
	TotalBytes      int64   `json:"total_bytes"`

	Channels               int     `json:"channels"`
	Clients                int     `json:"clients"`
	SubscriptionsPerClient int     `json:"subscriptions_per_client"`
	SessionsPerClient      int     `json:"sessions_per_client"`
	PairsPerCall           int     `json:"pairs_per_call"`
	LetGoClients           int     `json:"let_go_clients"`
	LetGoAge               float64 `json:"let_go_age"`
	BatchMessages          int     `json:"batch_messages"`
	BatchBytes             int     `json:"batch_bytes"`
}

// Info is info().
func (s *infoService) Info(_ *http.Request, _ *noParams, reply *infoReply) error {
	position, stats := s.api.hub.Position(), s.api.hub.Stats()
	*reply = infoReply{
		Version:  s.api.opts.Version,
		Epoch:    fmt.Sprintf("%016x", position.Epoch),
		Position: position.String(),
		Uptime:   math.Round(time.Since(s.api.started).Seconds()*1000) / 1000,
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
		MaxBodyBytes:  o.MaxBody,
		MaxBatchCalls: o.MaxBatch,
		MaxJSONDepth:  o.MaxDepth,

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
		LetGoClients:           l.LetGoClients,
		LetGoAge:               l.LetGoAge.Seconds(),
		BatchMessages:          l.BatchMessages,
		BatchBytes:             l.BatchBytes,
	}
}
