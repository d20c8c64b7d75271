package zeromq

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/zmtp"
)

// serveIn publishes what a peer of a SUB or PULL socket sends, one message
// after the other. A peer that is faster than the hub finds its connection
// full, and what then becomes of its messages is its own affair: PUSH waits, and
// PUB drops.
func (k *socket) serveIn(ctx context.Context, c *zmtp.Conn) error {
	if k.Type == "sub" {
		topics := k.Topics
		if len(topics) == 0 {
			topics = []string{""}
		}
		for _, topic := range topics {
			if err := c.Subscribe([]byte(topic)); err != nil {
				return err
			}
		}
	}
	to, err := parseTarget(k.Channel)
	if err != nil {
		return err
	}
	sender, _ := json.Marshal(k.Sender)  // a string cannot fail
	always := context.WithoutCancel(ctx) // what has come whole is published also at the end
	for {
		frames, err := c.Receive()
		var over *zmtp.LimitError
		if errors.As(err, &over) {
			k.counts.received.Add(1)
			k.drop(byLimit, err)
			continue
		}
		if err != nil {
			return err
		}
		k.counts.received.Add(1)
		for _, f := range frames {
			k.counts.bytes.Add(uint64(len(f)))
		}
		if !k.subscribed(frames[0]) {
			k.drop(byTopic, errors.New("it was not subscribed to"))
			continue
		}
		p := hub.Publication{Sender: sender}
		if why, err := k.read(to, frames, &p); err != nil {
			k.drop(why, err)
			continue
		}
		if err := k.publish(always, ctx.Done(), p); err != nil {
			k.drop(byHub, err)
		}
	}
}

// subscribed reports whether a message that begins with this frame was asked
// for. A publisher may send others, too.
func (k *socket) subscribed(first []byte) bool {
	return len(k.Topics) == 0 || slices.ContainsFunc(k.Topics, func(topic string) bool { return bytes.HasPrefix(first, []byte(topic)) })
}

// read makes a publication of what came.
func (k *socket) read(to target, frames [][]byte, p *hub.Publication) (why reason, err error) {
	if p.Channel, err = to.channel(frames); err != nil {
		return byShape, err
	}
	if len(k.Allow) > 0 && !slices.ContainsFunc(k.Allow, func(pattern string) bool { return hub.Match(pattern, p.Channel) }) {
		return byChannel, errors.New("the channel is none of those it may choose")
	}
	if err := hub.CheckChannelName(p.Channel, k.hub.Limits().NameBytes); err != nil {
		return byChannel, err
	}
	if p.Data, err = encode(k.Format, frames[len(frames)-1], k.opts.MaxDepth); err != nil {
		return byData, err
	}
	return "", nil
}

var (
	errNotJSON = errors.New("its data are not JSON")
	errDeep    = errors.New("its data are nested deeper than max_json_depth")
	errNotText = errors.New("its data are not UTF-8")
)

// encode makes JSON of data in one of the formats.
func encode(format string, data []byte, maxDepth int) (json.RawMessage, error) {
	switch format {
	case "json":
		switch {
		case depth(data) > maxDepth: // first: to check it takes a stack as deep
			return nil, errDeep
		case !json.Valid(data) || !utf8.Valid(data):
			return nil, errNotJSON
		}
		return bytes.Trim(data, " \t\r\n"), nil
	case "text":
		if !utf8.Valid(data) {
			return nil, errNotText
		}
		return json.Marshal(string(data))
	}
	quoted := make([]byte, 0, 2+base64.StdEncoding.EncodedLen(len(data)))
	quoted = base64.StdEncoding.AppendEncode(append(quoted, '"'), data)
	return append(quoted, '"'), nil
}

// depth returns how many levels of JSON there are in data, if it is any.
func depth(data []byte) (most int) {
	level, quoted, escaped := 0, false, false
	for _, c := range data {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = c == '\\', c != '"'
		case c == '"':
			quoted = true
		case c == '[' || c == '{':
			level++
			most = max(most, level)
		case c == ']' || c == '}':
			level--
		}
	}
	return most
}

// publish publishes p. While the log takes nothing, it waits until the end: a
// message that has come is not lost as long as somebody can be made to wait.
func (k *socket) publish(ctx context.Context, end <-chan struct{}, p hub.Publication) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		_, err := k.hub.Publish(ctx, p)
		if !errors.Is(err, hub.ErrUnavailable) {
			return err
		}
		select {
		case <-end:
			return err
		case <-time.After(pause):
		}
	}
}
