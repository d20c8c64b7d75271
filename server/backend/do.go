package backend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/shaveet/shaveet/server/wsframe"
)

// do does what is requested, in the order in which it came, to the end. What has
// been read is done, whether or not the peer waits to hear.
func (c *conn) do() {
	for l := range c.loads {
		for i := range l.messages {
			if c.ctx.Err() == nil {
				c.handle(&l.messages[i])
			}
		}
		l.release()
		if len(c.loads) == 0 {
			c.out.flush()
		}
	}
}

// handle answers one request, or has it be answered.
func (c *conn) handle(m *message) {
	c.out.await(nil)
	c.server.counts.requests.Add(1)
	switch m.kind {
	case serving:
		c.answerServe(m)
	case waiting:
		c.handleWaiting(m)
	default:
		c.answer = c.server.handle(c, c.answer[:0], m.text)
		c.say(c.answer)
		if cap(c.answer) > piece {
			c.answer = nil
		}
	}
}

// handleWaiting begins a request that takes its time.
func (c *conn) handleWaiting(m *message) {
	if c.waitings.Add(1) > int64(c.server.opts.MaxWaiting) {
		c.waitings.Add(-1)
		c.say(c.server.tooMany(m))
		return
	}
	text := bytes.Clone(m.text) // the load goes back
	c.waiting.Go(func() {
		defer c.waitings.Add(-1)
		answer := c.server.handle(c, nil, text)
		c.out.await(nil)
		c.say(answer)
		c.out.flush()
	})
}

// say has an answer be written; an empty one is none.
func (c *conn) say(answer []byte) {
	if len(answer) > 0 {
		c.out.append(func(b []byte) []byte { return wsframe.AppendText(b, bytes.TrimSuffix(answer, []byte("\n"))) })
	}
}

// handle appends to b, which is empty, the answer to a body. A panic is that
// body's error and nobody else's.
func (s *Server) handle(c *conn, b, body []byte) (answer []byte) {
	defer func() {
		if v := recover(); v != nil {
			s.opts.Logger.ErrorContext(c.ctx, "a call of the backend panicked", "panic", v, "stack", string(debug.Stack()))
			answer = fault(nil, codeInternalError, "internal_error", "Internal error")
		}
	}()
	return s.opts.Handle(c.ctx, b, body)
}

// Codes of errors, as package rpcapi has them.
const (
	codeInternalError = -32603
	codeInvalidParams = -32602
	codeLimitReached  = -32003
	codeUnavailable   = -32005
)

// tooMany is the answer to a request of Waits that there is no room for. A
// notification has none.
func (s *Server) tooMany(m *message) []byte {
	if m.id == nil && m.text[0] == '{' {
		return nil
	}
	text := fmt.Sprintf("limit reached: %d calls that may take their time are under way on this connection; this one was not made", s.opts.MaxWaiting)
	return fault(m.id, codeLimitReached, "limit_reached", text)
}

// fault is an error as an answer to the request with this id; nil is null.
func fault(id []byte, code int, kind, text string) []byte {
	if !json.Valid(id) {
		id = []byte("null")
	}
	quoted, _ := json.Marshal(text) // a string can be marshalled
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","error":{"code":%d,"message":%s,"data":{"type":%q}},"id":%s}`, code, quoted, kind, id)
}

// serve is the method by which the backend asks for calls.
const serve = "serve"

// Handler is the name of the handler that serving connections are.
const Handler = "rpc"

// answerServe begins to make calls by this connection, or ends it.
func (c *conn) answerServe(m *message) {
	stop, err := readServe(m.params)
	answer := []byte(nil)
	switch {
	case err != nil:
		answer = fault(m.id, codeInvalidParams, "invalid_params", err.Error())
	case stop:
		c.server.endServing(c, "it asked for no more")
		fallthrough
	case c.ready():
		answer = fmt.Appendf(nil, `{"jsonrpc":"2.0","result":true,"id":%s}`, m.id)
	default:
		answer = fault(m.id, codeUnavailable, "unavailable", "the server is about to end")
	}
	if m.id != nil {
		c.say(answer)
	}
	if err == nil && !stop {
		c.server.beginServing(c) // behind the answer, so that this is heard first
	}
}

// ready reports whether calls can be made by c.
func (c *conn) ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.retired
}

// readServe reads the parameters of serve: by name, or the handler alone by
// position.
func readServe(params []byte) (stop bool, err error) {
	var p struct {
		Handler *string `json:"handler"`
		Stop    bool    `json:"stop"`
	}
	if len(params) > 0 && params[0] == '[' {
		var all []*string
		if json.Unmarshal(params, &all) != nil || len(all) > 1 {
			return false, fmt.Errorf("params: must be an object, or an array of the handler's name")
		}
		if len(all) == 1 {
			p.Handler = all[0]
		}
	} else if len(params) > 0 {
		d := json.NewDecoder(bytes.NewReader(params))
		d.DisallowUnknownFields()
		if d.Decode(&p) != nil {
			return false, fmt.Errorf("params: must be an object with the members handler, a string, and stop, true or false; both may be left out")
		}
	}
	if p.Handler != nil && *p.Handler != Handler {
		return false, fmt.Errorf("handler: must be %q", Handler)
	}
	return p.Stop, nil
}

// beginServing has calls be made by c, too.
func (s *Server) beginServing(c *conn) {
	s.mu.Lock()
	n := len(s.serving)
	if c.ready() && !s.serves(c) { // drained connections are not ready, under s.mu
		s.serving = append(s.serving, c)
	}
	more := len(s.serving) > n
	s.mu.Unlock()
	if more {
		s.log(c, "backend serves", slog.Int("connections", n+1))
	}
}

// endServing has no more calls be made by c.
func (s *Server) endServing(c *conn, why string) {
	s.mu.Lock()
	was := s.serves(c)
	if was {
		s.drop(c)
	}
	n := len(s.serving)
	s.mu.Unlock()
	if was {
		s.log(c, "backend serves no more", slog.Int("connections", n), slog.String("reason", why))
	}
}

func (s *Server) log(c *conn, line string, attrs ...slog.Attr) {
	s.opts.Logger.LogAttrs(c.ctx, slog.LevelInfo, line, append(attrs, slog.String("peer", c.rw.RemoteAddr().String()))...)
}
