// Package talkapp is the Socket.IO chat example's back end in Go, for programs
// that have a Shaveet inside: see ../main.go. The events are answered here, by
// functions; page.go serves the page.
package talkapp

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/shaveet/shaveet/namespace"
)

const (
	maxNameLen = 20   // characters, of a nickname or a room
	maxTextLen = 2000 // characters
)

// A talk is who is there. That is all there is to keep: who is in which room
// Shaveet knows.
type talk struct {
	*namespace.Namespace

	mu    sync.Mutex // guards both, held also while they are told, so that lists come in their order
	names map[*namespace.Socket]string
	taken map[string]*namespace.Socket // the other way round
}

// New returns the namespace /chat for the server's options. Errors go to log;
// nil: slog.Default().
func New(log *slog.Logger) *namespace.Namespace {
	t := &talk{
		Namespace: namespace.New("/chat", namespace.Options{Open: true, Logger: log}),
		names:     make(map[*namespace.Socket]string),
		taken:     make(map[string]*namespace.Socket),
	}
	t.On("join", t.join)
	t.On("nickname", t.nickname)
	t.On("user message", t.message)
	t.OnDisconnect(t.left)
	return t.Namespace
}

// join has somebody be in this room, and in no other.
func (t *talk) join(ctx context.Context, s *namespace.Socket, room string) (bool, error) {
	if !plainText(room, maxNameLen) {
		return false, nil
	}
	former := slices.DeleteFunc(s.Rooms(), func(r string) bool { return r == room })
	if err := s.Leave(ctx, former...); err != nil {
		return false, err
	}
	return true, s.Join(ctx, room)
}

// nickname gives somebody a name, unless somebody else has it. A page that is
// back says it again: whose connection has not been missed yet has it still.
func (t *talk) nickname(ctx context.Context, s *namespace.Socket, name string) (bool, string, error) {
	if !plainText(name, maxNameLen) {
		return false, "", nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before, owner := t.names[s], t.taken[name]
	if owner != nil && owner.ID() != s.ID() {
		return false, "", nil
	}
	delete(t.names, owner)
	delete(t.taken, before)
	t.names[s], t.taken[name] = name, s
	switch {
	case owner != nil:
		return true, name, nil
	case before != "":
		return true, name, t.announce(ctx, before+" is now known as "+name)
	}
	return true, name, t.announce(ctx, name+" has connected")
}

// message says something to the others in the room.
func (t *talk) message(ctx context.Context, s *namespace.Socket, text string) (bool, error) {
	t.mu.Lock()
	name := t.names[s]
	t.mu.Unlock()
	rooms := s.Rooms()
	if name == "" || len(rooms) == 0 || !plainText(text, maxTextLen) {
		return false, nil
	}
	return true, s.To(rooms...).Emit(ctx, "msg_to_room", name, text)
}

func (t *talk) left(ctx context.Context, s *namespace.Socket, _ string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name, ok := t.names[s]
	if !ok {
		return
	}
	delete(t.names, s)
	delete(t.taken, name)
	_ = t.announce(ctx, name+" has disconnected") // it fails when the server ends, and then nobody hears
}

// announce tells everybody what has changed. t.mu is held.
func (t *talk) announce(ctx context.Context, text string) error {
	if err := t.Emit(ctx, "announcement", text); err != nil {
		return err
	}
	return t.Emit(ctx, "nicknames", slices.AppendSeq([]string{}, maps.Keys(t.taken)))
}

// plainText accepts 1 to limit characters without control characters; a message
// may have line breaks and tabs.
func plainText(s string, limit int) bool {
	return s != "" && utf8.RuneCountInString(s) <= limit &&
		slices.ContainsFunc([]rune(s), func(r rune) bool { return !unicode.IsSpace(r) }) &&
		!slices.ContainsFunc([]rune(s), func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
}
