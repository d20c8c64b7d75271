package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/shaveet/shaveet/server/transport/socketio/packet"
)

// A Handler answers what the sockets of a namespace say. For one socket its
// methods are called one after the other, in the order in which things happened,
// on a goroutine that is the socket's own for as long as there is something to
// do; for several sockets they are called at once. ctx ends when the server does
// not wait for them any longer, see [Server.Run].
//
// A panic is the end of the socket's connection.
type Handler interface {
	// Connect lets a socket in, or does not. Its client is told what comes of it;
	// until then nobody has heard of the socket, but it can join rooms, have data
	// and be said events by the log; it cannot be asked anything. A [*Refusal] is
	// told to the client in its words. Any other error means that nobody could
	// decide: a client that is connected to nothing else, when all is known, loses
	// its connection, and so comes again by itself; others are told so, by the type
	// that the error's method Kind returns, if it has one. ctx also ends when the
	// client has gone meanwhile. If Connect returns nil, Disconnect will be called.
	Connect(ctx context.Context, s *Socket, h *Handshake) error
	// Event: the client has said something.
	Event(ctx context.Context, s *Socket, e *Event)
	// Disconnect: the socket has left; it comes last. why is in the words of
	// Socket.IO. Until it returns the socket has its rooms and data, and cannot come
	// back: a client that has waited long for that is a new socket.
	Disconnect(ctx context.Context, s *Socket, why string)
}

// A Handshake is what is known of a client that wants to join.
type Handshake struct {
	// Auth is what it has shown, a JSON object; nil: nothing. What lets it in,
	// or back, is taken out of it; a token of another kind is not.
	Auth json.RawMessage
	// Recovered says that the socket has been here before, and has missed
	// nothing since it lost its connection.
	Recovered bool
	// Address is that of the peer that has begun the connection, and Header that
	// of the request by which it did, not to be changed. Both are empty if nobody
	// answered in any namespace yet when it began.
	Address  string
	Header   http.Header
	Protocol int // of Engine.IO: 4, or 3
}

// A Refusal is why a socket is not let in, as its client is told: by the event
// connect_error, of which Message is the message and Data the data.
type Refusal struct {
	Message string
	Data    json.RawMessage // any value; nil: none
}

func (r *Refusal) Error() string { return r.Message }

// An Event is what a client has said.
type Event struct {
	Name string
	// Args is a JSON array, in which what was binary is an object
	// {"$binary":"<base64>"}.
	Args json.RawMessage
	// Ack answers the client, if it wants an answer; otherwise it is nil. args is
	// a JSON array of the same form. Only the first call counts. If there is no
	// room for the answer, that is the end of the connection.
	Ack func(args json.RawMessage) error
}

// Fail answers the client, if it wants an answer, that something went wrong:
// with one argument, {"error":{"type":kind,"message":message}}.
func (e *Event) Fail(kind, message string) {
	if e.Ack != nil {
		_ = e.Ack(faultArgs(kind, message)) // who has left needs no answer
	}
}

func faultArgs(kind, message string) json.RawMessage {
	type fault struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	args, _ := json.Marshal([]map[string]fault{{"error": {kind, message}}}) // strings can be marshalled
	return args
}

// ErrUnavailable is an error for Connect to return when nobody can decide now. Its
// kind is handler_unavailable.
var ErrUnavailable error = unavailable{}

type unavailable struct{}

func (unavailable) Error() string { return "socketio: nobody can be asked now" }
func (unavailable) Kind() string  { return "handler_unavailable" }

// ErrLeft is the error of what a socket was to be told that has left.
var ErrLeft = errors.New("socketio: the socket has left")

// ErrNoAnswer is the error of a question that was not answered in time.
var ErrNoAnswer = errors.New("socketio: the socket has not answered in time")

// ErrBusy is the error of what finds no room because too much is waiting.
var ErrBusy = errors.New("socketio: too much is waiting for the socket")

// ErrTooLarge is the error of an answer for which those of other sockets have left
// no room.
var ErrTooLarge = errors.New("socketio: the answers of all are too large together")

// acker returns what answers the event with this id.
func (s *Socket) acker(id uint64) func(json.RawMessage) error {
	answered := false // guarded by the connection's lock
	return func(args json.RawMessage) error {
		all, err := s.packets(packet.Ack, args, id)
		if err != nil {
			return err
		}
		c := s.conn
		c.mu.Lock()
		full := false
		defer func() { c.release(full) }()
		switch {
		case answered:
			return nil
		case s.state != connected:
			return ErrLeft
		}
		answered = true
		if full = !c.say(all...); full { // the client would wait for ever
			return ErrBusy
		}
		return nil
	}
}
