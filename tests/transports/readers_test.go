package transports_test

import (
	"bytes"
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
		func(base string) func(*http.Client, transporttest.Start) transporttest.Reader { return polls(base, "") }},
	{"jsonp", func(h *hub.Hub, o transport.Options) http.Handler {
		return longpoll.New(h, longpoll.Options{Options: o})
	},
		func(base string) func(*http.Client, transporttest.Start) transporttest.Reader {
			return polls(base, "cb")
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
		Handler: func(h *hub.Hub, drain context.Context) http.Handler {
			return w.handler(h, transport.Options{Lot: park.New(park.Options{Drain: drain})})
		},
		Dial:      w.dial("http://shaveet"),
		Positions: true,
		Events:    w.name == "sse",
	}
}

// polls dials readers that poll, each time when they are asked to read.
func polls(base, callback string) func(*http.Client, transporttest.Start) transporttest.Reader {
	return func(client *http.Client, start transporttest.Start) transporttest.Reader {
		return &polling{start, client, base + "/longpoll", callback}
	}
}

type polling struct {
	transporttest.Start
	client            *http.Client
	address, callback string
}

func (p *polling) Read(ctx context.Context) (transporttest.News, error) {
	var none transporttest.News
	r := transporttest.ByPost(p.address, p.Start)
	if p.callback != "" {
		r = transporttest.ByQuery(p.address, p.Start)
		r.URL.RawQuery += "&callback=" + p.callback
	}
	resp, err := p.client.Do(r.WithContext(ctx))
	if err != nil {
		return none, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return none, err
	}
	if p.callback != "" {
		body = bytes.TrimSuffix(bytes.TrimPrefix(body, []byte("/**/"+p.callback+"(")), []byte(");"))
	}
	news, err := transporttest.ParseBatch(body)
	if news.Cursor != "" {
		p.Cursor = news.Cursor
	}
	return news, err
}

func (p *polling) Close() {}

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
