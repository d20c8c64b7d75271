package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A shaveet is a server of ours.
type shaveet struct {
	admin  string // http://…, https://… or unix:/path
	public string // where readers come: http://…
	token  string

	plan   *Plan
	stem   string // of the names of this run's clients and channels
	keys   []string
	cursor string
}

// stem is what the names of a run begin with, so that runs do not hear each
// other.
func stem() string {
	var b [5]byte
	rand.Read(b[:])
	return "bench-" + strings.ToLower(base32.StdEncoding.EncodeToString(b[:])) + "-"
}

func (s *shaveet) clientID(r int) string { return s.stem + "r" + strconv.Itoa(r) }
func (s *shaveet) channel(c int) string  { return s.stem + strconv.Itoa(c) }

// prepare makes a client for each reader, and subscribes it.
func (s *shaveet) prepare(ctx context.Context, p *Plan) error {
	s.plan, s.stem, s.keys = p, stem(), nil
	for len(s.keys) < p.Readers {
		if err := s.create(ctx, min(500, p.Readers-len(s.keys))); err != nil {
			return err
		}
	}
	spread := p.spread()
	pairs, channels := 0, map[string][]string{}
	for r := range p.Readers {
		for j := range p.Each {
			name := s.channel(spread.channel(r, j))
			channels[name] = append(channels[name], s.clientID(r))
			pairs++
		}
		if pairs+p.Each > 5000 || r == p.Readers-1 {
			if err := s.call(ctx, "subscribe_many", map[string]any{"channels": channels}, nil); err != nil {
				return err
			}
			pairs, channels = 0, map[string][]string{}
		}
	}
	var info struct{ Position string }
	err := s.call(ctx, "info", map[string]any{}, &info)
	s.cursor = info.Position
	return err
}

// create makes the next n clients.
func (s *shaveet) create(ctx context.Context, n int) error {
	type request struct {
		Version string   `json:"jsonrpc"`
		Method  string   `json:"method"`
		Params  []string `json:"params"`
		ID      int      `json:"id"`
	}
	var batch []request
	for i := range n {
		batch = append(batch, request{"2.0", "create_client", []string{s.clientID(len(s.keys) + i)}, i})
	}
	var answers []struct {
		Result string
		Error  *rpcError
	}
	if err := s.post(ctx, batch, &answers); err != nil {
		return err
	}
	if len(answers) != n {
		return fmt.Errorf("the server answered %d of %d calls", len(answers), n)
	}
	for _, a := range answers {
		if a.Error != nil {
			return a.Error
		}
		s.keys = append(s.keys, a.Result)
	}
	return nil
}

type rpcError struct {
	Code    int
	Message string
}

func (e *rpcError) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

func (s *shaveet) call(ctx context.Context, method string, params, result any) error {
	var answer struct {
		Result json.RawMessage
		Error  *rpcError
	}
	err := s.post(ctx, map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, &answer)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", method, err)
	case answer.Error != nil:
		return fmt.Errorf("%s: %w", method, answer.Error)
	case result == nil:
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

// post makes a request to the admin API. Each has a connection of its own: they
// are few.
func (s *shaveet) post(ctx context.Context, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	conn, host, err := dial(ctx, s.admin)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(time.Minute))
	req, err := http.NewRequest(http.MethodPost, "http://"+host+s.path(), bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Close = true
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	return readJSON(conn, req, answer)
}

// path is that of the admin API.
func (s *shaveet) path() string {
	if u, err := url.Parse(s.admin); err == nil && u.Scheme != "unix" && u.Path != "" {
		return u.Path
	}
	return "/"
}

// tidy removes the clients. Their channels go by themselves.
func (s *shaveet) tidy(ctx context.Context) {
	for r := 0; r < len(s.keys); r += 500 {
		var batch []map[string]any
		for i := r; i < min(r+500, len(s.keys)); i++ {
			batch = append(batch, map[string]any{"jsonrpc": "2.0", "id": i, "method": "kill_client", "params": []string{s.clientID(i)}})
		}
		var answers []json.RawMessage
		if s.post(ctx, batch, &answers) != nil {
			return
		}
	}
}

func (s *shaveet) readersAt() string {
	u, err := url.Parse(s.public)
	if err != nil {
		return s.public
	}
	return hostPort(u)
}

// dialect returns what reader r speaks. It shows its key in the query, which is
// the shortest.
func (s *shaveet) dialect(r int) dialect {
	host := "Host: " + s.readersAt() + "\r\n"
	query := "?client_id=" + s.clientID(r) + "_!!_" + s.keys[r] + "&cursor="
	get := func(path, fields string) string {
		return "GET " + path + query + s.cursor + " HTTP/1.1\r\n" + host + fields + "\r\n"
	}
	connect := `40{"client_id":"` + s.clientID(r) + `","key":"` + s.keys[r] + `"}`
	switch s.plan.Transport {
	case "sse":
		return &lineReader{request: get("/sse", ""), ready: eventBegun}
	case "stream":
		return &lineReader{request: get("/stream", ""), ready: anything}
	case "longpoll":
		after := " HTTP/1.1\r\n" + host + "\r\n"
		return &poller{before: "GET /longpoll" + query, position: []byte(s.cursor), after: after, first: "&wait=0" + after}
	case "socketio":
		return socketIO("/socket.io/", host, connect)
	case "socketio-polling":
		return &enginePoller{path: "/socket.io/?EIO=4&transport=polling", fields: host, connect: connect}
	}
	return &socketReader{request: get("/websocket", upgradeFields), ready: anything}
}

// socketIO speaks Socket.IO on a WebSocket.
func socketIO(path, host, connect string) dialect {
	return &socketReader{
		request: "GET " + path + "?EIO=4&transport=websocket HTTP/1.1\r\n" + host + upgradeFields + "\r\n",
		ready:   namespaceJoined,
		answer:  engineAnswer(connect),
	}
}

func (s *shaveet) says() (call, error) {
	c := call{url: s.admin, token: s.token, batch: 1, answer: goodAnswer}
	path := s.path()
	one := func(body []byte, n note) []byte {
		body = append(append(body, `{"jsonrpc":"2.0","id":1,"method":"publish","params":{"channel":"`...), s.stem...)
		body = append(strconv.AppendInt(body, int64(n.channel), 10), `","data":`...)
		return append(appendMessage(body, n, s.plan.Size), "}}"...)
	}
	switch s.plan.Publish {
	case ByMany:
		c.batch = s.plan.Batch
		c.request = func(dst, body []byte, notes []note) (_, _ []byte) {
			body = append(body, `{"jsonrpc":"2.0","id":1,"method":"publish_many","params":{"messages":[`...)
			for i, n := range notes {
				if i > 0 {
					body = append(body, ',')
				}
				body = append(append(body, `{"channel":"`...), s.stem...)
				body = append(strconv.AppendInt(body, int64(n.channel), 10), `","data":`...)
				body = append(appendMessage(body, n, s.plan.Size), '}')
			}
			return append(dst, path...), append(body, "]}}"...)
		}
		return c, nil
	case ByBatch:
		c.batch = s.plan.Batch
		c.request = func(dst, body []byte, notes []note) (_, _ []byte) {
			body = append(body, '[')
			for i, n := range notes {
				if i > 0 {
					body = append(body, ',')
				}
				body = one(body, n)
			}
			return append(dst, path...), append(body, ']')
		}
		return c, nil
	case BySocket:
		c.batch, c.socket = s.plan.Batch, path
		if path == "/" {
			c.socket = "/rpc"
		}
	}
	c.request = func(dst, body []byte, notes []note) (_, _ []byte) { return append(dst, path...), one(body, notes[0]) }
	return c, nil
}

// goodAnswer checks the answer to calls: none of them has an error.
func goodAnswer(status int, body []byte) error {
	if status != 200 || !bytes.Contains(body, []byte(`"result":`)) || bytes.Contains(body, []byte(`"error":`)) {
		return fmt.Errorf("the server answered a publisher with %d: %s", status, excerpt(body))
	}
	return nil
}

// readJSON reads an answer of HTTP with a JSON body.
func readJSON(from io.Reader, req *http.Request, into any) error {
	resp, err := http.ReadResponse(bufio.NewReader(from), req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %s; is this the admin API, and is the token right?", resp.Status)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 64<<20)).Decode(into)
}
