package transports_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	cws "github.com/coder/websocket"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/longpoll"
	"github.com/shaveet/shaveet/server/transport/sse"
	"github.com/shaveet/shaveet/server/transport/stream"
	"github.com/shaveet/shaveet/server/transport/transporttest"
	"github.com/shaveet/shaveet/server/transport/websocket"
)

// A way is a transport and a reader of it.
type way struct {
	name    string
	handler func(*hub.Hub, transport.Options) http.Handler
	dial    func(base string) func(*http.Client, transporttest.Start) transporttest.Reader
}

var ways = []way{
	{"longpoll", func(h *hub.Hub, o transport.Options) http.Handler {
		return longpoll.New(h, longpoll.Options{Options: o})
	},
		func(base string) func(*http.Client, transporttest.Start) transporttest.Reader {
			return transporttest.Polls(base+"/longpoll", "", transporttest.ByPost)
		}},
	{"jsonp", func(h *hub.Hub, o transport.Options) http.Handler {
		return longpoll.New(h, longpoll.Options{Options: o})
	},
		func(base string) func(*http.Client, transporttest.Start) transporttest.Reader {
			return transporttest.Polls(base+"/longpoll", "cb", transporttest.ByQuery)
		}},
	{"sse", func(h *hub.Hub, o transport.Options) http.Handler { return sse.New(h, o) },
		func(base string) func(*http.Client, transporttest.Start) transporttest.Reader {
			return transporttest.Events(base+"/sse", transporttest.ByPost)
		}},
	{"stream", func(h *hub.Hub, o transport.Options) http.Handler { return stream.New(h, o) },
		func(base string) func(*http.Client, transporttest.Start) transporttest.Reader {
			return transporttest.Lines(base+"/stream", transporttest.ByPost)
		}},
	{"websocket", func(h *hub.Hub, o transport.Options) http.Handler {
		return websocket.New(h, websocket.Options{Options: o})
	},
		frames},
}

func (w way) transport() transporttest.Transport {
	return transporttest.Transport{
		Handler: func(h *hub.Hub, lot *park.Lot, _ context.Context) http.Handler {
			return w.handler(h, transport.Options{Lot: lot})
		},
		Dial:      w.dial("http://shaveet"),
		Positions: true,
		Events:    w.name == "sse",
	}
}

// frames dials readers by another's WebSocket.
func frames(base string) func(*http.Client, transporttest.Start) transporttest.Reader {
	return func(client *http.Client, start transporttest.Start) transporttest.Reader {
		return transporttest.Streaming(start, func(ctx context.Context, s transporttest.Start) (transporttest.Stream, transporttest.News, error) {
			var none transporttest.News
			conn, _, err := cws.Dial(ctx, strings.Replace(base, "http", "ws", 1)+"/websocket", &cws.DialOptions{HTTPClient: client})
			if err != nil {
				return nil, none, err
			}
			conn.SetReadLimit(1 << 20)
			hello, err := io.ReadAll(transporttest.ByPost(base, s).Body)
			if err == nil {
				err = conn.Write(ctx, cws.MessageText, hello)
			}
			return socket{ctx, conn}, none, err
		})
	}
}

type socket struct {
	ctx  context.Context
	conn *cws.Conn
}

func (s socket) Next() (transporttest.News, error) {
	_, body, err := s.conn.Read(s.ctx)
	if err != nil {
		return transporttest.News{}, err
	}
	if !json.Valid(body) {
		panic("not JSON: " + string(body))
	}
	return transporttest.ParseBatch(body)
}

func (s socket) Close() { s.conn.CloseNow() }
