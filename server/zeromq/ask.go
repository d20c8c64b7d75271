package zeromq

import (
	"context"
	"errors"
	"slices"

	"github.com/shaveet/shaveet/server/zmtp"
)

// serveAsk answers a peer's calls of the admin API, one after the other. A
// request is one frame, or the admin token and a frame; the answer is one, and
// empty where the request was a notification.
func (k *socket) serveAsk(ctx context.Context, c *zmtp.Conn) error {
	for {
		frames, err := c.Receive()
		var over *zmtp.LimitError
		if errors.As(err, &over) {
			k.counts.received.Add(1)
			k.drop(byLimit, err)
			envelope, ok := cutEnvelope(over.Before)
			if !ok {
				return err // whom the answer would be for has been passed over, too
			}
			// Without an answer a REQ would wait for one for ever, even behind a new connection.
			if err := c.Send(append(slices.Clip(envelope), []byte(overLimit))...); err != nil {
				return err
			}
			k.counts.sent.Add(1)
			continue
		}
		if err != nil {
			return err
		}
		k.counts.received.Add(1)
		envelope, ok := cutEnvelope(frames)
		if !ok {
			k.drop(byShape, errEnvelope)
			continue
		}
		request := frames[len(envelope):]
		var token string
		switch len(request) {
		case 1:
		case 2:
			token, request = string(request[0]), request[1:]
		default:
			k.drop(byShape, errRequest)
			request = [][]byte{nil} // which is answered as what makes no sense
		}
		k.counts.bytes.Add(uint64(len(request[0])))
		answer := k.opts.Ask(ctx, token, request[0])
		if err := c.Send(append(slices.Clip(envelope), answer)...); err != nil {
			return err
		}
		k.counts.sent.Add(1)
	}
}

// cutEnvelope returns the frames up to the first empty one, which say who is to
// be answered.
func cutEnvelope(frames [][]byte) (envelope [][]byte, ok bool) {
	empty := slices.IndexFunc(frames, func(f []byte) bool { return len(f) == 0 })
	return frames[:empty+1], empty >= 0
}

const overLimit = `{"jsonrpc":"2.0","error":{"code":-32006,"message":"the request is over max_message_bytes or max_frames of the socket"},"id":null}` + "\n"

var (
	errEnvelope = errors.New("it has no empty frame in front, as requests have")
	errRequest  = errors.New("a request must have one frame, or a token and one frame")
)
