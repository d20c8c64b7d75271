package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// A question is an event whose answer somebody waits for. It is told of its
// answer, or of the error instead, at most once, with the connection's lock held.
type question func(answer json.RawMessage, err error)

// questions are those that wait. They are guarded by the connection's lock.
type questions struct {
	next    uint64 // one's id
	waiting map[uint64]question
}

// Ask says an event to the socket and waits for its answer, a JSON array, until
// ctx ends: the error is ErrNoAnswer then. It is not part of the log: who loses
// its connection does not hear it again, and the error is ErrLeft. args is a
// JSON array.
func (s *Socket) Ask(ctx context.Context, event string, args json.RawMessage) (json.RawMessage, error) {
	got := make(chan Answer, 1)
	withdraw, err := s.ask(event, args, func(answer json.RawMessage, err error) { got <- Answer{Args: answer, Err: err} })
	if err != nil {
		return nil, err
	}
	select {
	case a := <-got:
		return a.Args, a.Err
	case <-ctx.Done():
		withdraw()
		return nil, ErrNoAnswer
	}
}

// ask says an event and has q told of the answer, until it is withdrawn.
func (s *Socket) ask(event string, args json.RawMessage, q question) (withdraw func(), err error) {
	array := packet.AppendJoined(packet.AppendArray(nil, event), args)
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.asked == nil {
		s.asked = &questions{waiting: make(map[uint64]question)}
	}
	id := s.asked.next
	all, err := s.packets(packet.Event, array, id)
	switch {
	case err != nil:
		return nil, err
	case s.state != connected || s.leaving:
		return nil, ErrLeft
	case len(s.asked.waiting) >= c.settings.MaxAcks || !c.say(all...):
		return nil, ErrBusy
	}
	s.asked.next++
	s.asked.waiting[id] = q
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(s.asked.waiting, id)
	}, nil
}

// answered takes an answer. One that nobody waits for any more is passed over.
func (s *Socket) answered(p *packet.Packet) {
	if s.asked == nil || !p.HasID {
		return
	}
	q, ok := s.asked.waiting[p.ID]
	if !ok {
		return
	}
	delete(s.asked.waiting, p.ID)
	s.conn.server.counts.answered.Add(1)
	q(p.AppendArgs(nil), nil)
}

// failAll has nobody wait for the socket any more.
func (s *Socket) failAll() {
	if s.asked == nil {
		return
	}
	for _, q := range s.asked.waiting {
		q(nil, ErrLeft)
	}
	clear(s.asked.waiting)
}

// unsendable reports whether an event cannot be made into packets.
func unsendable(array []byte) bool {
	_, _, err := packet.AppendSplit(nil, array, limitsFor(array))
	return err != nil
}

// An Answer is what one of several sockets has answered, or why it has not.
type Answer struct {
	Socket, Client string
	Args           json.RawMessage // a JSON array; nil if there is an error
	Err            error           // [ErrNoAnswer], [ErrLeft], [ErrBusy], [ErrTooLarge]
}

// maxAnswers is how many bytes the answers of several sockets may have together.
const maxAnswers = 16 << 20

// AskAll says an event to all sockets that are meant, on all nodes, and waits for
// their answers until ctx ends: of those that have not answered the error is
// ErrNoAnswer then. Otherwise it is as [Socket.Ask]. There may be MaxAsked of them,
// else the error is a [hub.Error]. With an [Unreached] the answers are those that the
// other nodes know of.
func (sv *Server) AskAll(ctx context.Context, a hub.Audience, event string, args json.RawMessage) ([]Answer, error) {
	if sv.settings.Load().Others == nil {
		return sv.askHere(ctx, a, event, args)
	}
	type answers struct {
		all []Answer
		err error
	}
	rest := make(chan answers, 1)
	go func() {
		all, err := sv.askThere(ctx, a, event, args)
		rest <- answers{all, err}
	}()
	here, err := sv.askHere(ctx, a, event, args)
	there := <-rest
	unreached := (*Unreached)(nil)
	switch {
	case err != nil:
		return nil, err
	case there.err != nil && !errors.As(there.err, &unreached):
		return nil, there.err
	}
	all := append(here, there.all...)
	size := 0
	for i := range all {
		if size += len(all[i].Args); size > maxAnswers && all[i].Err == nil {
			all[i].Args, all[i].Err = nil, ErrTooLarge
		}
	}
	return all, there.err
}

func (sv *Server) askHere(ctx context.Context, a hub.Audience, event string, args json.RawMessage) ([]Answer, error) {
	sockets, err := sv.Sockets(a)
	if err != nil {
		return nil, err
	}
	if array := packet.AppendJoined(packet.AppendArray(nil, event), args); unsendable(array) {
		return nil, &hub.Error{Kind: hub.Invalid, Name: event, Text: "args: cannot be sent with their binary values"}
	}
	if most := sv.settings.Load().MaxAsked; len(sockets) > most {
		return nil, limitReached("socketio_max_asked", most)
	}
	type one struct {
		i int
		Answer
	}
	all := make([]Answer, len(sockets))
	got := make(chan one, len(sockets))
	waiting := 0
	var bytes atomic.Int64 // of the answers
	withdraws := make([]func(), 0, len(sockets))
	for i, s := range sockets {
		all[i] = Answer{Socket: s.ID(), Client: s.Client(), Err: ErrNoAnswer}
		withdraw, err := s.ask(event, args, func(answer json.RawMessage, err error) {
			if bytes.Add(int64(len(answer))) > maxAnswers {
				answer, err = nil, ErrTooLarge
			}
			got <- one{i, Answer{Args: answer, Err: err}}
		})
		if err != nil {
			all[i].Err = err
			continue
		}
		waiting++
		withdraws = append(withdraws, withdraw)
	}
	for ; waiting > 0; waiting-- {
		select {
		case o := <-got:
			all[o.i].Args, all[o.i].Err = o.Args, o.Err
			continue
		case <-ctx.Done():
		}
		break
	}
	for _, withdraw := range withdraws {
		withdraw()
	}
	return all, nil
}
