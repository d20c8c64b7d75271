package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/handler"
	"github.com/shaveet/shaveet/server/wsframe"
)

var _ handler.Caller = (*Server)(nil)

var (
	errNobody   = errors.New("no connection of the backend serves")
	errRetired  = errors.New("the backend's connection is about to end")
	errLost     = errors.New("the backend's connection has ended")
	errTooLarge = errors.New("the answer is over handler_max_answer_bytes")
)

// Call is part of [handler.Caller]: it makes a call of the backend. Those about
// one socket go to the same connection for as long as that serves.
func (s *Server) Call(ctx context.Context, call *handler.Call) (json.RawMessage, error) {
	c := s.home(call.Socket)
	if c == nil {
		return nil, &handler.NotSent{Err: errNobody}
	}
	result, err := c.call(ctx, call)
	if call.Method == "disconnect" && answered(err) {
		s.forgetHome(call.Socket)
	}
	return result, err
}

func answered(err error) bool {
	_, fault := errors.AsType[*handler.Answered](err)
	return err == nil || fault
}

// home returns the connection for calls about a socket, nil if none serves.
func (s *Server) home(socket string) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.serving) == 0 {
		return nil
	}
	if number := s.homes.of(socket); number != 0 {
		at := slices.IndexFunc(s.serving, func(c *conn) bool { return c.number == number })
		if at >= 0 {
			return s.serving[at]
		}
	}
	var best *conn
	var most uint64
	for _, c := range s.serving {
		if v := maphash.String(c.seed, socket); best == nil || v > most {
			best, most = c, v
		}
	}
	s.homes.set(socket, best.number)
	return best
}

func (s *Server) forgetHome(socket string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.homes.remove(socket)
}

// serves reports whether calls are made by c. mu is held.
func (s *Server) serves(c *conn) bool { return slices.Contains(s.serving, c) }

// drop has no more calls be made by c, which serves. mu is held.
func (s *Server) drop(c *conn) {
	at := slices.Index(s.serving, c)
	s.serving = slices.Delete(s.serving, at, at+1)
	if len(s.serving) == 0 {
		s.homes = homes{}
	}
}

// call makes a call by c.
func (c *conn) call(ctx context.Context, call *handler.Call) (json.RawMessage, error) {
	n, replied := c.expect()
	if n == 0 {
		return nil, &handler.NotSent{Err: errRetired}
	}
	defer c.forget(n)
	c.out.await(ctx.Done())
	if err := ctx.Err(); err != nil {
		return nil, &handler.NotSent{Err: err}
	}
	end, ok := c.out.append(func(b []byte) []byte { return appendCall(b, n, call) })
	if !ok {
		return nil, &handler.NotSent{Err: errLost}
	}
	c.out.flush()
	c.server.counts.calls.Add(1)
	select {
	case text := <-replied:
		return c.server.readReply(n, text)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.gone:
	}
	select {
	case text := <-replied: // the last that was heard
		return c.server.readReply(n, text)
	default:
	}
	if c.out.sent() < end {
		return nil, &handler.NotSent{Err: errLost}
	}
	return nil, &handler.Lost{Err: errLost}
}

// expect returns the number of a new call and where the text of its reply comes,
// or 0 if no more calls are made.
func (c *conn) expect() (n uint64, replied <-chan []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired {
		return 0, nil
	}
	c.lastCall++
	ch := make(chan []byte, 1)
	c.calls[c.lastCall] = ch
	return c.lastCall, ch
}

func (c *conn) forget(n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, n)
	c.settle()
}

// retire ends what c has to do with calls: the peer is not read any more.
func (c *conn) retire(why *farewell) {
	reason := why.text
	switch {
	case why.err != nil:
		reason = "its connection is lost"
	case why.peer:
		reason = "it has closed its connection"
	}
	c.mu.Lock()
	c.retired, c.deaf = true, true
	c.mu.Unlock()
	c.server.endServing(c, reason)
}

// replied hands a reply to whoever waits for it, and reports whether there is
// nothing else to do with it. One that nobody waits for is passed over: it may be
// late. One that is no JSON is for whoever says so.
func (c *conn) replied(m message) bool {
	n := number(m.id)
	c.mu.Lock()
	waits := c.calls[n]
	delete(c.calls, n) // there is one reply
	c.settle()
	c.mu.Unlock()
	switch {
	case waits == nil && !json.Valid(m.text):
		return false
	case waits == nil:
		c.server.counts.ignored.Add(1)
		return true
	}
	c.server.counts.replies.Add(1)
	if len(m.text) > c.server.opts.MaxAnswer() {
		waits <- nil
	} else {
		waits <- bytes.Clone(m.text)
	}
	return true
}

// readReply reads the reply to a call, nil if it is too large.
func (s *Server) readReply(n uint64, text []byte) (json.RawMessage, error) {
	if text == nil {
		return nil, fmt.Errorf("%w = %d", errTooLarge, s.opts.MaxAnswer())
	}
	return handler.ParseAnswer(text, idOf(n))
}

// appendCall appends the message that makes a call.
func appendCall(b []byte, n uint64, call *handler.Call) []byte {
	params := call.Params
	if !utf8.Valid(params) { // the peer would have to end the connection
		params = bytes.ToValidUTF8(params, []byte("\ufffd"))
	}
	start := len(b)
	b = wsframe.Begin(b)
	b = append(b, `{"jsonrpc":"2.0","method":"`...)
	b = append(b, call.Method...)
	b = append(b, `","params":`...)
	b = append(b, params...)
	b = append(b, `,"id":"`...)
	b = append(b, idOf(n)...)
	b = append(b, `"}`...)
	return wsframe.End(b, start, wsframe.Text)
}
