package rpcapi

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// publishMethods say things.
var publishMethods = []Method{
	{
		Name:    "publish",
		Summary: "Says something on a channel.",
		Description: "Who is on the channel reads it at once; who comes back with a cursor reads it later, as long as the channel keeps it. " +
			"A channel that does not exist begins. The answer comes when the message can be read: its position in the log and its number on the channel.\n\n" +
			"With a `publish_id` a retry is harmless: the same message under the same id, on the same channel, is put there once, " +
			"and the retry is answered with where it is, and `repeated`. The id is remembered for `publish_id_age`, and as long as the server runs. " +
			"Another message under an id that is taken is refused.",
		Tag:    TagPublish,
		Errors: []int{CodeTooLarge, CodeLimitReached, CodePublishIDConflict, CodeUnavailable},
		Examples: []Example{
			{"a message", `{"channel": "room", "data": {"text": "hello"}, "sender": "bob"}`,
				`{"position": "6f1c2b9a04d7e358.8", "id": 4}`},
			{"with all there is", `{"channel": "room", "data": "hello", "sender": "bob", "publish_id": "order-17", "exclude": ["bob"], "ttl_ms": 60000, "system": true}`,
				`{"position": "6f1c2b9a04d7e358.8", "id": 4}`},
			{"a retry", `{"channel": "room", "data": "paid", "publish_id": "order-16"}`,
				`{"position": "6f1c2b9a04d7e358.7", "id": 3, "repeated": true}`},
		},
	},
	{
		Name:    "publish_many",
		Summary: "Says many things, each on a channel of its own choice.",
		Description: "As if each of `messages` were published by itself, in this order; it costs less. One that fails does not keep the others from being published: " +
			"its place in the answer has its error. There may be as many as calls in a batch (`max_batch_calls`, 1000).",
		Tag:    TagPublish,
		Errors: []int{CodeLimitReached, CodeUnavailable},
		Examples: []Example{
			{"two messages and a mistake", `{"messages": [{"channel": "room", "data": 1}, {"channel": "room", "data": "sent", "publish_id": "order-16"}, {"channel": "room", "data": 3, "sender": "bob"}]}`,
				`[{"position": "6f1c2b9a04d7e358.8", "id": 4}, {"error": {"code": -32004, "message": "the publish id has been used for another message", "type": "publish_id_conflict"}}, {"position": "6f1c2b9a04d7e358.9", "id": 5}]`},
		},
	},
	{
		Name:    "broadcast",
		Summary: "Says one thing on many channels: on all of them, or on none and an error.",
		Description: "Each channel gets a copy; who is on two of them hears both. The copies follow each other in the log with nothing in between. " +
			"A channel that is named twice counts once. There may be `channels_per_call` channels. Publish ids of broadcasts are their own, and stand for all channels together; in `publish_ids` they count once for each.",
		Tag:    TagPublish,
		Errors: []int{CodeTooLarge, CodeLimitReached, CodePublishIDConflict, CodeUnavailable},
		Examples: []Example{
			{"two channels", `{"channels": ["room", "lobby"], "data": "closing soon", "system": true}`,
				`[{"channel": "room", "position": "6f1c2b9a04d7e358.8", "id": 4}, {"channel": "lobby", "position": "6f1c2b9a04d7e358.9", "id": 1}]`},
		},
	},
}

type (
	publishParams = struct {
		Channel ChannelName `param:"channel" help:"where it is said"`
		words
	}
	publishManyParams = struct {
		Messages publications `param:"messages" help:"what is said: objects with the parameters of publish"`
	}
	broadcastParams = struct {
		Channels channelNames `param:"channels" help:"where it is said"`
		words
	}

	// words are what is said, and how.
	words struct {
		Data      json.RawMessage `param:"data" help:"what is said: any value, null too"`
		Sender    json.RawMessage `param:"sender,optional" default:"null" help:"who says it: any value"`
		PublishID string          `param:"publish_id,optional" min:"1" max:"128" help:"makes retries harmless"`
		Exclude   clientIDs       `param:"exclude,optional" help:"clients that are not to hear it; exclude_per_message at most"`
		TTL       int64           `param:"ttl_ms,optional" min:"1" max:"9007199254740991" help:"how long it is worth hearing, in ms, if not as long as the channel keeps it"`
		System    bool            `param:"system,optional" default:"false" help:"whether it is said in the system's name"`
	}

	publishReply     = struct{ published }
	publishManyReply = struct{ outcomes }
	broadcastReply   = struct{ places }
)

// Publish is publish(channel, data, …).
func (a *admin) Publish(r *http.Request, p *publishParams, reply *publishReply) error {
	to, err := a.hub.Publish(r.Context(), p.publication(string(p.Channel)))
	reply.published = published(to)
	return err
}

// Broadcast is broadcast(channels, data, …).
func (a *admin) Broadcast(r *http.Request, p *broadcastParams, reply *broadcastReply) (err error) {
	reply.places, err = a.hub.Broadcast(r.Context(), p.Channels, p.publication(""))
	return err
}

// PublishMany is publish_many(messages).
func (a *admin) PublishMany(r *http.Request, p *publishManyParams, reply *publishManyReply) error {
	if err := a.checkMany(&p.Messages); err != nil {
		return err
	}
	reply.outcomes = make(outcomes, 0, len(p.Messages.list))
	a.publishEach(r.Context(), &p.Messages, func(o outcome) { reply.outcomes = append(reply.outcomes, o) })
	return nil
}

// checkMany says that there are too many.
func (a *admin) checkMany(p *publications) error {
	if p.tooMany {
		return &Error{Code: CodeLimitReached, Message: fmt.Sprintf("limit reached: max_batch_calls = %d", a.opts.MaxBatch)}
	}
	return nil
}

// publishEach publishes all of p that can be, in order, and calls each with
// what has become of one after the other.
func (a *admin) publishEach(ctx context.Context, p *publications, each func(outcome)) {
	report := func(to hub.Published, err error) {
		o := outcome{published: published(to)}
		if err != nil {
			o.err = tell(ctx, a.opts.Logger, "publish_many", err)
		}
		each(o)
	}
	for i := range p.list {
		m := &p.list[i]
		if m.fault == nil {
			p.good = append(p.good, m.publication(string(m.Channel)))
			continue
		}
		a.publishGood(ctx, p, report)
		each(outcome{err: m.fault})
	}
	a.publishGood(ctx, p, report)
}

// publishGood publishes those of p that wait for it.
func (a *admin) publishGood(ctx context.Context, p *publications, report func(hub.Published, error)) {
	a.hub.PublishAll(ctx, p.good, report)
	clear(p.good)
	p.good = p.good[:0]
}

// publication copies w: a small message must not keep the whole body that it
// came in.
func (w *words) publication(channel string) hub.Publication {
	n := len(w.Data)
	both := append(append(make([]byte, 0, n+len(w.Sender)), w.Data...), w.Sender...)
	return hub.Publication{
		Channel: channel, Data: both[:n:n], Sender: both[n:], System: w.System,
		PublishID: w.PublishID, Exclude: w.Exclude, TTL: time.Duration(min(w.TTL, maxTTL)) * time.Millisecond,
	}
}

// maxTTL is the longest time to live that can be counted, in ms.
const maxTTL = int64(math.MaxInt64 / time.Millisecond)

// publications are the parameter of publish_many. What is wrong with one of
// them is its own fault.
type publications struct {
	list    []publicationOrFault
	tooMany bool
	scratch params            // of the one that is read
	good    []hub.Publication // that wait to be published
}

// empty has p be used again for others.
func (p *publications) empty() {
	clear(p.list)
	clear(p.scratch.list)
	if cap(p.list) > keptMessages {
		p.list = nil
	}
	if cap(p.good) > keptMessages {
		p.good = nil
	}
	if cap(p.scratch.list) > keptParams {
		p.scratch.list = nil
	}
	*p = publications{list: p.list[:0], scratch: params{list: p.scratch.list[:0]}, good: p.good[:0]}
}

type publicationOrFault struct {
	publishParams
	fault *Error
}

// publishSignature is what each of publications is read by.
var publishSignature = must(newSignature(reflect.TypeFor[publishParams]()))

func (p *publications) read(raw []byte, b bounds) (fault string) {
	if raw[0] != '[' {
		return "must be an array of objects"
	}
	s := again(raw)
	_ = s.array(func() *Error {
		if p.tooMany = p.tooMany || len(p.list) == b.calls; p.tooMany {
			_, err := s.value()
			return err
		}
		p.list = append(p.list, publicationOrFault{})
		m := &p.list[len(p.list)-1]
		m.fault = m.read(s, &p.scratch, b)
		return nil
	})
	return ""
}

// read reads the value that s stands before.
func (m *publicationOrFault) read(s *scanner, scratch *params, b bounds) *Error {
	if s.peek() != '{' {
		_, _ = s.value()
		return invalidParams("must be an object")
	}
	*scratch = params{named: true, list: scratch.list[:0]}
	_ = s.object(func(quoted []byte) *Error { return scratch.add(s, quoted) })
	return publishSignature.bindTo((*publishTargets)(&m.publishParams), scratch, b)
}

// published is where a message went.
type published hub.Published

func (p *published) appendJSON(b []byte) []byte {
	return append(p.appendMembers(append(b, '{')), '}')
}

func (p *published) appendMembers(b []byte) []byte {
	b = append(b, `"position":"`...)
	b = p.Position.Append(b)
	b = append(b, `","id":`...)
	b = strconv.AppendUint(b, p.ID, 10)
	if p.Repeated {
		b = append(b, `,"repeated":true`...)
	}
	return b
}

// places is where the copies of a broadcast went.
type places []hub.Published

func (p places) appendJSON(b []byte) []byte {
	return appendList(b, len(p), func(b []byte, i int) []byte {
		b = append(b, `{"channel":`...)
		b = appendString(b, p[i].Channel)
		b = append(b, ',')
		return append((*published)(&p[i]).appendMembers(b), '}')
	})
}

// outcomes are what became of each of many messages.
type outcomes []outcome

type outcome struct {
	published
	err *Error
}

func (o outcomes) appendJSON(b []byte) []byte {
	return appendList(b, len(o), func(b []byte, i int) []byte { return o[i].appendJSON(b) })
}

func (o *outcome) appendJSON(b []byte) []byte {
	if o.err == nil {
		return o.published.appendJSON(b)
	}
	return append(o.err.append(append(b, `{"error":`...)), '}')
}

// appendList appends a list of n elements as JSON.
func appendList(b []byte, n int, element func(b []byte, i int) []byte) []byte {
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = element(b, i)
	}
	return append(b, ']')
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
