package namespace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// An Audience is who something is said to: everybody in a namespace or in some
// of its rooms. It is a value, which can be kept and used by many goroutines at
// once; its methods To, Except and Volatile return another one.
//
// A room is what sockets have joined, a socket's id, or "client:" and a client's
// id. Who is in several hears an event once.
type Audience struct {
	namespace *Namespace
	whom      hub.Audience
	sender    string // who speaks: a client's or a socket's id; "": the program
	rooms     bool   // not everybody is meant
	volatile  bool
	err       error // it cannot be
}

// To is who is in one of these rooms, and of those that were named before. To no
// rooms at all is nobody.
func (a Audience) To(rooms ...string) Audience {
	a.rooms = true
	a.whom.Rooms = slices.Concat(a.whom.Rooms, rooms)
	return a
}

// Except leaves out who is in one of these rooms.
func (a Audience) Except(rooms ...string) Audience {
	a.whom.Except = slices.Concat(a.whom.Except, rooms)
	return a
}

// Volatile has events be heard by those who can take them at that moment, and
// kept for nobody else.
func (a Audience) Volatile() Audience {
	a.volatile = true
	return a
}

// Emit says an event. It returns when it is in the log, and so before anybody
// has heard it. Errors are about what is said, and to whom, or that the log
// cannot be reached.
func (a Audience) Emit(ctx context.Context, event string, args ...any) error {
	sv, err := a.server()
	if err != nil || a.nobody() {
		return err
	}
	array, err := encode(args)
	if err != nil {
		return err
	}
	sender := json.RawMessage("null")
	if a.sender != "" {
		sender, _ = json.Marshal(a.sender) // strings can be marshalled
	}
	_, err = sv.Hub().Emit(ctx, hub.Emission{
		Namespace: a.whom.Namespace, Rooms: a.whom.Rooms, Except: a.whom.Except,
		Event: event, Args: array, Sender: sender, Volatile: a.volatile,
	})
	return err
}

// EmitWithAck says an event to the sockets that are connected at this moment,
// and waits until all have answered or left, or until ctx ends or
// Options.AckTimeout is over. There is an answer for each.
func (a Audience) EmitWithAck(ctx context.Context, event string, args ...any) ([]Answer, error) {
	sv, err := a.server()
	if err != nil || a.nobody() {
		return nil, err
	}
	array, err := encode(args)
	if err != nil {
		return nil, err
	}
	ctx, cancel := a.namespace.patient(ctx)
	defer cancel()
	given, err := sv.AskAll(ctx, a.whom, event, array)
	if unreached := (*socketio.Unreached)(nil); err != nil && !errors.As(err, &unreached) {
		return nil, err
	}
	all := make([]Answer, len(given))
	for i, g := range given {
		all[i] = Answer{Socket: g.Socket, Client: g.Client, Err: g.Err}
		if g.Err == nil {
			all[i].Args, all[i].Err = parseArgs(g.Args)
		}
	}
	return all, err
}

// Sockets returns those that are connected, in no order.
func (a Audience) Sockets() ([]*Socket, error) {
	sv, err := a.server()
	if err != nil || a.nobody() {
		return nil, err
	}
	found, err := sv.Sockets(a.whom)
	if err != nil {
		return nil, err
	}
	n := a.namespace
	n.mu.RLock()
	defer n.mu.RUnlock()
	var all []*Socket
	for _, raw := range found {
		if s := n.sockets[raw]; s != nil && s.in.Load() {
			all = append(all, s)
		}
	}
	return all, nil
}

// Join has all of them join the rooms, and returns how many they are.
func (a Audience) Join(ctx context.Context, rooms ...string) (int, error) {
	return a.each(func(sv *socketio.Server) (int, error) { return sv.Join(ctx, a.whom, rooms) })
}

// Leave takes all of them off the rooms, and returns how many they are.
func (a Audience) Leave(ctx context.Context, rooms ...string) (int, error) {
	return a.each(func(sv *socketio.Server) (int, error) { return sv.Leave(ctx, a.whom, rooms) })
}

// Disconnect takes all of them off the namespace, and returns how many they
// were. Their pages are told, and do not come back by themselves.
func (a Audience) Disconnect(ctx context.Context) (int, error) {
	return a.each(func(sv *socketio.Server) (int, error) { return sv.Disconnect(ctx, a.whom, false) })
}

func (a Audience) each(do func(*socketio.Server) (int, error)) (int, error) {
	sv, err := a.server()
	if err != nil || a.nobody() {
		return 0, err
	}
	return do(sv)
}

func (a Audience) nobody() bool { return a.rooms && len(a.whom.Rooms) == 0 }

// server returns the one that the namespace is part of.
func (a Audience) server() (*socketio.Server, error) {
	if a.err != nil {
		return nil, a.err
	}
	sv := a.namespace.server.Load()
	if sv == nil {
		return nil, ErrNotServed
	}
	return sv, nil
}

// An Answer is what a socket has answered.
type Answer struct {
	Socket string // its id
	Client string // its client's, "" if it has none
	Args   Args   // what it has answered, if Err is nil
	Err    error  // ErrNoAnswer, ErrLeft, ErrBusy, or that the event cannot be said
}

// Scan stores the answer's arguments as [Args.Scan] does, and returns Err if
// there is none. Its errors are no [*Error]: what one page has answered is not
// for another one.
func (a Answer) Scan(into ...any) error {
	if a.Err != nil {
		return a.Err
	}
	if err := a.Args.Scan(into...); err != nil {
		return fmt.Errorf("namespace: the answer of %s: %v", a.Socket, err)
	}
	return nil
}
