package rpcapi

import (
	"encoding/json"
	"math"
	"net/http"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

type statsReply = struct {
	Version string  `json:"version" help:"of the program"`
	Uptime  float64 `json:"uptime_s" help:"seconds since the server began"`

	Clients      int    `json:"clients" help:"clients that live"`
	Sockets      int    `json:"sockets" help:"sockets of Socket.IO"`
	LetGoClients int    `json:"let_go_clients" help:"clients that wait to be revived"`
	Channels     int    `json:"channels" help:"channels that exist"`
	Sessions     int    `json:"sessions" help:"readers attached"`
	Messages     int    `json:"messages" help:"messages and notices kept"`
	Bytes        int64  `json:"bytes" help:"bytes charged for them and their encodings"`
	PublishIDs   int    `json:"publish_ids" help:"publish ids remembered, a broadcast's once for each channel"`
	TopSeq       uint64 `json:"top_seq" help:"the number that the log ends with"`

	Published     uint64 `json:"published" help:"messages published, each copy of a broadcast counted"`
	Repeated      uint64 `json:"repeated" help:"publishes answered from their publish id"`
	Delivered     uint64 `json:"delivered" help:"messages and notices handed to readers"`
	Batches       uint64 `json:"batches" help:"batches handed to readers"`
	Attached      uint64 `json:"attached" help:"readers that came"`
	BadKeys       uint64 `json:"bad_keys" help:"readers refused for their credentials"`
	Gaps          uint64 `json:"gaps" help:"gaps told to readers"`
	Resets        uint64 `json:"resets" help:"resets told to readers"`
	LetGo         uint64 `json:"let_go" help:"clients let go"`
	Revived       uint64 `json:"revived" help:"clients revived"`
	Refused       uint64 `json:"refused" help:"commands and readers refused because of a limit"`
	EvictedCount  uint64 `json:"evicted_count" help:"messages and notices dropped: their channel held too many"`
	EvictedAge    uint64 `json:"evicted_age" help:"messages and notices dropped: too old"`
	EvictedBytes  uint64 `json:"evicted_bytes" help:"messages and notices dropped: their channel held too many bytes"`
	EvictedMemory uint64 `json:"evicted_memory" help:"messages and notices dropped: all channels together held too many bytes"`
}

// Stats is stats().
func (s *serverInfo) Stats(_ *http.Request, _ *noParams, reply *statsReply) error {
	*reply = statsFrom(s.api.hub.Stats())
	reply.Version, reply.Uptime = s.api.opts.Version, s.api.uptime()
	return nil
}

func statsFrom(s hub.Stats) statsReply {
	return statsReply{
		Clients:      s.Clients,
		Sockets:      s.Sockets,
		LetGoClients: s.LetGoClients,
		Channels:     s.Channels,
		Sessions:     s.Sessions,
		Messages:     s.Messages,
		Bytes:        s.Bytes,
		PublishIDs:   s.PublishIDs,
		TopSeq:       s.TopSeq,

		Published:     s.Published,
		Repeated:      s.Repeated,
		Delivered:     s.Delivered,
		Batches:       s.Batches,
		Attached:      s.Attached,
		BadKeys:       s.BadKeys,
		Gaps:          s.Gaps,
		Resets:        s.Resets,
		LetGo:         s.LetGo,
		Revived:       s.Revived,
		Refused:       s.Refused,
		EvictedCount:  s.Evicted[hub.ReasonCount],
		EvictedAge:    s.Evicted[hub.ReasonAge],
		EvictedBytes:  s.Evicted[hub.ReasonBytes],
		EvictedMemory: s.Evicted[hub.ReasonMemory],
	}
}

// uptime is in seconds, to the millisecond.
func (a *API) uptime() float64 {
	return math.Round(time.Since(a.started).Seconds()*1000) / 1000
}

// RpcDiscover is rpc.discover().
func (s *serverInfo) RpcDiscover(_ *http.Request, _ *noParams, reply *json.RawMessage) error {
	*reply = s.api.OpenRPC()
	return nil
}
