package torture

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// frames are a stream with one batch in each message of a WebSocket.
type frames struct {
	ctx  context.Context
	conn *websocket.Conn
	rest []byte
}

// openFrames opens a WebSocket and says who reads, in one of the forms there
// are.
func (r *reader) openFrames(ctx context.Context) (stream, error) {
	w := r.words(ctx, r.cursor.String(), int(heartbeat.Milliseconds()))
	opts := &websocket.DialOptions{HTTPClient: &r.streams, HTTPHeader: http.Header{},
		CompressionMode:      pick(r.rand, websocket.CompressionDisabled, websocket.CompressionNoContextTakeover, websocket.CompressionContextTakeover),
		CompressionThreshold: pick(r.rand, 1, 1000)} // hellos are in between
	hello := false
	switch r.rand.IntN(5) {
	case 0:
		w.query["client_id"] = w.plain
	case 1:
		opts.HTTPHeader.Set("Authorization", "Shaveet "+strings.Join(w.escaped, ", "))
	case 2:
		opts.Subprotocols = []string{"shaveet.v1"}
		for _, token := range w.escaped {
			opts.Subprotocols = append(opts.Subprotocols, "shaveet.auth."+base64.RawURLEncoding.EncodeToString([]byte(token)))
		}
	default:
		hello, w.query = true, nil
	}
	conn, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(r.base, "http")+"/websocket?"+w.query.Encode(), opts)
	if err != nil {
		r.unanswered(ctx)
		if resp != nil && resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusRequestTimeout && resp.StatusCode != http.StatusServiceUnavailable {
			r.ledger.fault("a handshake is answered %d: %v", resp.StatusCode, err)
		}
		return nil, errAgain
	}
	conn.SetReadLimit(4 << 20)
	r.checkHandshake(conn, resp, opts)
	f := &frames{ctx: ctx, conn: conn}
	if hello {
		if err := conn.Write(ctx, websocket.MessageText, w.hello); err != nil {
			r.unanswered(ctx)
			f.close()
			return nil, errAgain
		}
	}
	return f, nil
}

func (r *reader) checkHandshake(conn *websocket.Conn, resp *http.Response, opts *websocket.DialOptions) {
	if len(opts.Subprotocols) > 0 && conn.Subprotocol() != opts.Subprotocols[0] {
		r.ledger.fault("the subprotocol is %q", conn.Subprotocol())
	}
	agreed := resp.Header.Get("Sec-WebSocket-Extensions")
	if want := r.world.plan.deflates && opts.CompressionMode != websocket.CompressionDisabled; want != (agreed != "") && !r.world.lies {
		r.ledger.fault("agreed on is %q, and compression wanted: %v", agreed, want)
	}
	if agreed != "" {
		r.count["deflated"]++
	}
}

func (f *frames) next() (batch, int, error) {
	kind, in, err := f.conn.Reader(f.ctx)
	if err != nil {
		return batch{}, 0, err
	}
	body, err := io.ReadAll(in)
	if err != nil {
		f.rest = body
		return batch{}, 0, err
	}
	if kind != websocket.MessageText {
		return batch{}, 0, malformed{fmt.Errorf("a binary message: %.200q", body)}
	}
	b, err := parseBatch(body)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		// The library takes some cuts for the end of the message.
		if _, _, cut := f.conn.Reader(f.ctx); cut != nil && websocket.CloseStatus(cut) == -1 {
			f.rest = body
			return batch{}, 0, cut
		}
	}
	if err != nil {
		err = malformed{err}
	}
	return b, len(body), err
}

func (f *frames) part() []byte { return f.rest }
func (f *frames) close()       { f.conn.CloseNow() }

// codes are what connections are closed with after signals.
var codes = map[string]websocket.StatusCode{"drain": 1012, "gone": 4404, "superseded": 4409}

func (f *frames) misend(err error, last string) string {
	code := websocket.CloseStatus(err)
	switch {
	case code == -1: // it was cut
	case last == "" && code == websocket.StatusPolicyViolation: // our pong was late
	case last == "":
		return fmt.Sprintf("it ends without a word: %v", err)
	case code != codes[last]:
		return fmt.Sprintf("after %s it is closed with %v, not %d", last, err, codes[last])
	}
	return ""
}
