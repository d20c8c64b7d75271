package deploy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"
)

// A way is one of those in which pages read. read makes one request or one
// connection and returns when it has ended; nil if as it should.
type way struct {
	name string
	read func(ctx context.Context, r *reader) error
}

var (
	longpollGET  = way{"long poll by GET", readGET}
	longpollPOST = way{"long poll by POST", readPOST}
	jsonp        = way{"long poll by JSONP", readJSONP}
	original     = way{"long poll of 2010", readOriginal}
	sse          = way{"sse", readSSE}
	stream       = way{"stream", readStream}
	webSocket    = way{"websocket", readWebSocket}

	polls   = []way{longpollGET, longpollPOST, jsonp, original}
	streams = []way{sse, stream, webSocket}
	ways    = append(polls[:len(polls):len(polls)], streams...)
)

// A refused is an answer that is not what was asked for.
type refused struct{ told }

func (e *refused) Error() string { return fmt.Sprintf("status %d %+v", e.status, e.Signals) }

// ask makes a request and returns the answer, if it is one to go on with.
func (r *reader) ask(ctx context.Context, method, path string, query url.Values, header http.Header, body []byte) (*http.Response, error) {
	target := r.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := r.net.Do(req)
	if err != nil {
		return nil, err
	}
	r.compressed.Store(resp.Uncompressed) // by the client, so it was
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	no := &refused{told{status: resp.StatusCode}}
	text, _ := io.ReadAll(resp.Body)
	_ = json.Unmarshal(text, &no.told) // a proxy's own errors are none of ours
	return nil, no
}

// authorization is the header that a token is shown in.
func (r *reader) authorization() http.Header {
	return http.Header{"Authorization": {"Shaveet " + url.PathEscape(r.token())}}
}

// takeAll hands over a poll's answer, of which cut takes off what is no JSON.
func (r *reader) takeAll(resp *http.Response, err error, cut func([]byte) []byte) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var b told
	if err := json.Unmarshal(cut(body), &b); err != nil {
		return fmt.Errorf("%q: %w", body, err)
	}
	if b.has("gone") {
		b.status = http.StatusNotFound
		return &refused{b}
	}
	r.tell(b)
	return nil
}

func uncut(b []byte) []byte { return b }

// argument is what a script calls its function with.
func argument(script []byte) []byte {
	script = bytes.TrimSuffix(script, []byte(");"))
	_, arg, _ := bytes.Cut(script, []byte("("))
	return arg
}

func readGET(ctx context.Context, r *reader) error {
	resp, err := r.ask(ctx, "GET", "/longpoll", r.query(), r.authorization(), nil)
	return r.takeAll(resp, err, uncut)
}

func readPOST(ctx context.Context, r *reader) error {
	resp, err := r.ask(ctx, "POST", "/longpoll", nil, nil, r.hello())
	return r.takeAll(resp, err, uncut)
}

func readJSONP(ctx context.Context, r *reader) error {
	query := r.query()
	query.Set("client_id", r.token())
	query.Set("callback", "noop")
	resp, err := r.ask(ctx, "GET", "/longpoll", query, nil, nil)
	return r.takeAll(resp, err, argument)
}

// readOriginal polls as a page of 2010, which holds no position. It may be told
// a message twice, and drops it.
func readOriginal(ctx context.Context, r *reader) error {
	query := url.Values{"callback": {"noop"}, "v": {"2"}, "client_id": {r.token()}}
	resp, err := r.ask(ctx, "GET", "/message_updates", query, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var answer map[string][][]any
	if err := json.Unmarshal(argument(body), &answer); err != nil {
		return fmt.Errorf("%q: %w", body, err)
	}
	var b told
	for _, channel := range answer {
		for _, m := range channel {
			id, text := int(m[0].(float64)), m[1].(string)
			if id > r.lastID && !strings.HasPrefix(text, `{"type": `) { // those are notices
				b.Messages = append(b.Messages, message{ID: id, Data: text})
			}
			r.lastID = max(r.lastID, id)
		}
	}
	r.tell(b)
	return nil
}

// readSSE reads events as a browser does: one counts when its empty line has
// come. Other than an EventSource it shows its key in a header.
func readSSE(ctx context.Context, r *reader) error {
	header, query := r.authorization(), r.query()
	query.Del("cursor")
	if r.cursor != "" {
		header.Set("Last-Event-ID", r.cursor)
	}
	resp, err := r.ask(ctx, "GET", "/sse", query, header, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for lines := bufio.NewReader(resp.Body); ; {
		fields := map[string]string{}
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return cutOff(err)
			}
			if line = strings.TrimSuffix(line, "\n"); line == "" {
				break
			}
			name, value, _ := strings.Cut(line, ":")
			fields[name] = strings.TrimPrefix(value, " ")
		}
		if b, ok, err := batchOf(fields); err != nil {
			return err
		} else if ok {
			r.tell(b)
		}
	}
}

// batchOf makes a batch of an event. The reconnection time is none.
func batchOf(event map[string]string) (b told, ok bool, err error) {
	data, ok := event["data"]
	if !ok {
		return b, false, nil
	}
	b.Cursor = event["id"]
	switch event["event"] {
	case "":
		b.Messages = make([]message, 1)
		err = json.Unmarshal([]byte(data), &b.Messages[0])
	case "tick":
	default:
		b.Signals = make([]struct{ Type string }, 1)
		b.Signals[0].Type = event["event"]
	}
	return b, true, err
}

// cutOff is the error for what ended though it should not have.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func readStream(ctx context.Context, r *reader) error {
	resp, err := r.ask(ctx, "POST", "/stream", nil, nil, r.hello())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for lines := bufio.NewReader(resp.Body); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return cutOff(err)
		}
		if err := r.takeBatch(line); err != nil {
			return err
		}
	}
}

func (r *reader) takeBatch(text []byte) error {
	var b told
	if err := json.Unmarshal(text, &b); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	if b.has("gone") {
		b.status = http.StatusNotFound
		return &refused{b}
	}
	r.tell(b)
	return nil
}

// readWebSocket says who it is in the first message, as pages do.
func readWebSocket(ctx context.Context, r *reader) error {
	conn, resp, err := websocket.Dial(ctx, r.base+"/websocket", &websocket.DialOptions{HTTPClient: r.net.Client})
	if err != nil {
		if resp != nil {
			return &refused{told{status: resp.StatusCode}}
		}
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	if err := conn.Write(ctx, websocket.MessageText, r.hello()); err != nil {
		return err
	}
	for {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			return cutOff(err)
		}
		if err := r.takeBatch(frame); err != nil {
			return err
		}
	}
}
