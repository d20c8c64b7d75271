package transporttest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	cws "github.com/coder/websocket"

	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// SocketIO dials clients of Socket.IO at the address of a server, by WebSocket or
// by polling. They are [Transport.Plain].
func SocketIO(base string, polling bool) func(*http.Client, Start) Reader {
	dial := dialSocketIO
	if polling {
		dial = pollSocketIO
	}
	return func(client *http.Client, start Start) Reader {
		back := &greeting{}
		return Streaming(start, func(ctx context.Context, s Start) (Stream, News, error) {
			p, err := dial(ctx, client, base+"/socket.io/?EIO=4&transport=")
			if err != nil {
				return nil, News{}, err
			}
			stream := &socketioStream{ctx: ctx, packets: p, greeting: back, assembler: packet.NewAssembler(&packet.Limits{})}
			if err := p.send(ctx, "40"+string(back.auth(s))); err != nil {
				p.close()
				return nil, News{}, err
			}
			return stream, News{}, nil
		})
	}
}

// A greeting is by what a client comes back.
type greeting struct{ SID, PID string }

// auth is what a client shows: as stock clients do it, if it has been there
// before.
func (g *greeting) auth(s Start) []byte {
	auth := map[string]string{"client_id": s.Clients[0].ID, "key": s.Clients[0].Key}
	switch {
	case g.PID != "":
		auth["pid"], auth["offset"] = g.PID, s.Cursor
	case s.Cursor != "":
		auth["cursor"] = s.Cursor
	default:
		auth["cursor"] = "oldest"
	}
	said, err := json.Marshal(auth)
	if err != nil {
		panic(err)
	}
	return said
}

// packets are what comes by one connection of Engine.IO, and goes.
type packets interface {
	receive(context.Context) ([]string, error)
	send(context.Context, string) error
	close()
}

type socketioStream struct {
	packets
	*greeting
	ctx       context.Context
	waiting   []string
	assembler *packet.Assembler
}

// Next returns what comes next: one message, or nothing when the client is let in
// and when it is asked whether it still stands.
func (s *socketioStream) Next() (news News, err error) {
	for len(s.waiting) == 0 {
		if s.waiting, err = s.receive(s.ctx); err != nil {
			return news, err
		}
	}
	one := s.waiting[0]
	s.waiting = s.waiting[1:]
	switch {
	case one == "6":
	case one == "2":
		err = s.send(s.ctx, "3")
	case strings.HasPrefix(one, "40{"):
		err = json.Unmarshal([]byte(one[2:]), s.greeting)
	case strings.HasPrefix(one, "42["), strings.HasPrefix(one, "45"):
		p, whole, err := s.assembler.Text([]byte(one[1:]))
		return parseEvent(p, whole, err)
	case strings.HasPrefix(one, "b"):
		data, bad := base64.StdEncoding.DecodeString(one[1:])
		p, whole, err := s.assembler.Binary(data)
		return parseEvent(p, whole, errors.Join(bad, err))
	case strings.HasPrefix(one, `44{"message":"unauthorized"`), one == "41":
		err = ErrGone
	default:
		err = fmt.Errorf("got %s", one)
	}
	return news, err
}

// parseEvent returns what an event tells, if it is whole. Its last argument is a
// position.
func parseEvent(p packet.Packet, whole bool, err error) (News, error) {
	if !whole || err != nil {
		return News{}, err
	}
	var event []json.RawMessage
	array := p.AppendArgs(nil)
	if err := json.Unmarshal(array, &event); err != nil || len(event) == 0 {
		return News{}, errors.Join(err, fmt.Errorf("got the event %s", array))
	}
	name, args, at := string(p.Name), event[:len(event)-1], event[len(event)-1]
	if name == "message" && len(args) == 1 && strings.HasPrefix(string(args[0]), `{"channel"`) {
		return ParseBatch(fmt.Appendf(nil, `{"cursor":%s,"signals":[],"messages":[%s]}`, at, args[0]))
	}
	var news News
	m := Message{Event: name}
	err = json.Unmarshal(at, &m.Position)
	list, _ := json.Marshal(args)
	m.Args, news.Cursor = string(list), m.Position
	news.Messages = []Message{m}
	return news, err
}

func (s *socketioStream) Close() { s.close() }

type frameConn struct{ conn *cws.Conn }

func dialSocketIO(ctx context.Context, client *http.Client, url string) (packets, error) {
	conn, _, err := cws.Dial(ctx, strings.Replace(url, "http", "ws", 1)+"websocket", &cws.DialOptions{HTTPClient: client})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(1 << 20)
	c := frameConn{conn}
	_, err = c.receive(ctx)
	return c, err
}

func (c frameConn) receive(ctx context.Context) ([]string, error) {
	kind, data, err := c.conn.Read(ctx)
	if kind == cws.MessageBinary {
		return []string{"b" + base64.StdEncoding.EncodeToString(data)}, err
	}
	return []string{string(data)}, err
}

func (c frameConn) send(ctx context.Context, text string) error {
	return c.conn.Write(ctx, cws.MessageText, []byte(text))
}

func (c frameConn) close() { c.conn.CloseNow() }

type pollConn struct {
	client *http.Client
	url    string
}

func pollSocketIO(ctx context.Context, client *http.Client, url string) (packets, error) {
	c := &pollConn{client, url + "polling"}
	open, err := c.receive(ctx)
	if err != nil {
		return nil, err
	}
	var said struct{ SID string }
	err = json.Unmarshal([]byte(strings.TrimPrefix(open[0], "0")), &said)
	c.url += "&sid=" + said.SID
	return c, err
}

func (c *pollConn) ask(ctx context.Context, method, body string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return string(text), err
}

func (c *pollConn) receive(ctx context.Context) ([]string, error) {
	text, err := c.ask(ctx, http.MethodGet, "")
	return strings.Split(text, "\x1e"), err
}

func (c *pollConn) send(ctx context.Context, text string) error {
	_, err := c.ask(ctx, http.MethodPost, text)
	return err
}

func (c *pollConn) close() {
	c.ask(context.Background(), http.MethodPost, "1")
	c.client.CloseIdleConnections()
}
