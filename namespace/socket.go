package namespace

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// A Socket is one page in a namespace. There is one *Socket for it from
// OnConnect to OnDisconnect, so it can be the key of a map. Its methods may be
// called by many goroutines at once; after it has left they return [ErrLeft], or
// do nothing.
type Socket struct {
	namespace *Namespace
	raw       *socketio.Socket
	handshake socketio.Handshake
	in        atomic.Bool // it was let in, and has not left
}

// ID returns its name, which everybody may know: it is a room with nobody else
// in it. Who comes back has the one it had.
func (s *Socket) ID() string { return s.raw.ID() }

// Client returns the id of the client whose key the page has shown, "" in an
// open namespace without one.
func (s *Socket) Client() string { return s.raw.Client() }

// Namespace returns the name of the namespace it is in.
func (s *Socket) Namespace() string { return s.raw.Namespace() }

// Auth stores what the page has shown when it connected in the value that v
// points to, as [json.Unmarshal] does; if it has shown nothing, v stays as it
// is. What opens doors is not in it: key and token.
func (s *Socket) Auth(v any) error { return unmarshal(s.handshake.Auth, v) }

// Recovered reports whether it was here before under the same id, has lost its
// connection since, and has missed nothing. It is in the rooms and has the data
// that it had.
func (s *Socket) Recovered() bool { return s.handshake.Recovered }

// Address returns the address of the peer, which may be a proxy's.
func (s *Socket) Address() string { return s.handshake.Address }

// Header returns the header of the request that began the connection. It is not
// to be changed.
func (s *Socket) Header() http.Header { return s.handshake.Header }

// Join has it hear what is said in the rooms.
func (s *Socket) Join(ctx context.Context, rooms ...string) error { return s.raw.Join(ctx, rooms...) }

// Leave takes it off the rooms.
func (s *Socket) Leave(ctx context.Context, rooms ...string) error { return s.raw.Leave(ctx, rooms...) }

// Rooms returns the rooms that it is in.
func (s *Socket) Rooms() []string { return s.raw.Rooms() }

// Data stores what SetData was given last in the value that v points to, as
// [json.Unmarshal] does; if that is nothing, v stays as it is.
func (s *Socket) Data(v any) error { return unmarshal(s.raw.Data(), v) }

// SetData keeps a value with the socket, as JSON, for as long as it may come
// back. Operators can read it.
func (s *Socket) SetData(ctx context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.raw.SetData(ctx, data)
}

// Emit says an event to the page. It hears it also if it comes back for that.
func (s *Socket) Emit(ctx context.Context, event string, args ...any) error {
	array, err := encode(args)
	if err != nil {
		return err
	}
	return s.raw.Emit(ctx, event, array)
}

// EmitWithAck says an event to the page and waits for the answer, until ctx ends
// or Options.AckTimeout is over. Who loses its connection meanwhile does not
// hear it again.
//
//	var sum int
//	err := s.EmitWithAck(ctx, "add", 1, 2).Scan(&sum)
//
// A function may ask its own socket, whose other events wait meanwhile.
func (s *Socket) EmitWithAck(ctx context.Context, event string, args ...any) Answer {
	a := Answer{Socket: s.ID(), Client: s.Client()}
	array, err := encode(args)
	if err != nil {
		a.Err = err
		return a
	}
	ctx, cancel := s.namespace.patient(ctx)
	defer cancel()
	answer, err := s.raw.Ask(ctx, event, array)
	if err == nil {
		a.Args, err = parseArgs(answer)
	}
	a.Err = err
	return a
}

// Disconnect takes it off the namespace. Its page is told, and does not come
// back by itself.
func (s *Socket) Disconnect() { s.raw.Disconnect() }

// Broadcast is everybody in the namespace but itself.
func (s *Socket) Broadcast() Audience {
	sender := s.Client()
	if sender == "" && s.handshake.Protocol > 3 { // the ids of older ones are secrets
		sender = s.ID()
	}
	return Audience{namespace: s.namespace, sender: sender, whom: hub.Audience{Namespace: s.Namespace(), Except: []string{s.ID()}}}
}

// To is everybody in any of the rooms but itself.
func (s *Socket) To(rooms ...string) Audience { return s.Broadcast().To(rooms...) }

// Except is everybody in the namespace but itself and who is in one of the
// rooms.
func (s *Socket) Except(rooms ...string) Audience { return s.Broadcast().Except(rooms...) }

// unmarshal leaves v as it is if there is nothing.
func unmarshal(data json.RawMessage, v any) error {
	if data == nil {
		return nil
	}
	return json.Unmarshal(data, v)
}
