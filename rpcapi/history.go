package rpcapi

import (
	"net/http"
	"strconv"

	"github.com/shaveet/shaveet/server/hub"
)

type (
	historyParams = struct {
		Channel ChannelName `param:"channel" help:"whose messages"`
		Since   cursor      `param:"since,optional" help:"a position: only what came after it"`
		Limit   int         `param:"limit,optional" min:"1" max:"1000" default:"100" help:"messages at most"`
		Reverse bool        `param:"reverse,optional" default:"false" help:"the newest first, going back to since"`
	}

	historyReply = struct {
		Messages []shown `json:"messages" help:"what was asked for, as readers see it"`
		Position cursor  `json:"position" help:"the end of the log then: what is missing comes later; begin a reader there, as its cursor"`
		LastID   uint64  `json:"last_id" help:"the channel's last id then, notices counted"`
		More     bool    `json:"more" help:"whether more of what was asked for is kept"`
		Gap      *lost   `json:"gap,omitempty" help:"what was asked for and is not kept any more"`
		Reset    bool    `json:"reset,omitempty" help:"true: since is of another life of the log, and reading began at the oldest message"`
	}

	// lost is a part of a channel that is not kept any more.
	lost struct {
		From   cursor `json:"from" help:"after this one"`
		To     cursor `json:"to" help:"up to this one"`
		Reason string `json:"reason" help:"why: the channel held too many, they were too old, it held too many bytes, all channels together did, or they were not kept for a node that began later" enum:"count age bytes memory node"`
	}
)

// History is history(channel, since, limit, reverse).
func (a *admin) History(r *http.Request, p *historyParams, reply *historyReply) error {
	if err := a.hub.Sync(r.Context()); err != nil {
		return err
	}
	h, err := a.hub.History(hub.HistoryQuery{
		Channel: string(p.Channel), Since: hub.Position(p.Since), Limit: p.Limit, Reverse: p.Reverse,
	})
	if err != nil {
		return err
	}
	*reply = historyReply{Position: cursor(h.Position), LastID: h.LastID, More: h.More, Reset: h.Reset}
	if h.Lost != nil {
		reply.Gap = &lost{cursor(h.Lost.From), cursor(h.Lost.To), h.Lost.Reason.String()}
	}
	reply.Messages = a.show(h.Messages)
	reply.More = reply.More || len(reply.Messages) < len(h.Messages)
	return nil
}

// show encodes messages, as many as there is room for in an answer, but one at
// least.
func (a *admin) show(messages []*hub.Message) []shown {
	all := make([]shown, 0, len(messages))
	for size, i := 0, 0; i < len(messages) && size <= a.opts.MaxAnswer; i++ {
		m := a.opts.EncodeMessage(nil, messages[i])
		size += len(m)
		all = append(all, m)
	}
	return all
}

// shown is a message as readers see it.
type shown []byte

// MarshalJSON is part of json.Marshaler.
func (m shown) MarshalJSON() ([]byte, error) { return m, nil }

// appendMessage is the plain form of [Options.EncodeMessage].
func (a *API) appendMessage(b []byte, m *hub.Message) []byte {
	b = append(b, `{"channel":`...)
	b = appendString(b, m.Channel())
	b = append(b, `,"id":`...)
	b = strconv.AppendUint(b, m.ID, 10)
	b = append(b, `,"pos":"`...)
	b = hub.Position{Epoch: a.hub.Position().Epoch, Seq: m.Seq}.Append(b)
	b = append(b, `","sender":`...)
	b = append(b, m.Sender...)
	b = append(b, `,"data":`...)
	if m.Event == "" {
		b = append(b, m.Data...)
	} else {
		b = append(b, `null,"event":`...)
		b = appendString(b, m.Event)
		b = append(b, `,"args":`...)
		b = append(b, m.Data...)
	}
	b = append(b, `,"time":`...)
	b = strconv.AppendInt(b, m.Time, 10)
	if m.System {
		b = append(b, `,"system":true`...)
	}
	return append(b, '}')
}
