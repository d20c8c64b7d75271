package handler

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// A socket is what is needed of one. [socketio.Socket] is one.
type socket interface {
	ID() string
	Client() string
	Namespace() string
	Data() json.RawMessage
	Join(ctx context.Context, rooms ...string) error
	Leave(ctx context.Context, rooms ...string) error
	SetData(ctx context.Context, data json.RawMessage) error
	Disconnect()
}

// perform does what a reply asks for, up to the first fault. What is for a socket
// that has left meanwhile is passed over, and what it has others hear is not.
func (h *Handler) perform(ctx context.Context, s socket, r *reply) error {
	ctx, cancel := context.WithTimeout(ctx, h.limits.Load().HandlerTimeout)
	defer cancel()
	var steps []func() error
	if len(r.leave) > 0 {
		steps = append(steps, func() error { return s.Leave(ctx, r.leave...) })
	}
	if len(r.join) > 0 {
		steps = append(steps, func() error { return s.Join(ctx, r.join...) })
	}
	if r.data != nil {
		steps = append(steps, func() error { return s.SetData(ctx, r.data) })
	}
	for _, e := range r.emit {
		steps = append(steps, func() error {
			_, err := h.hub.Emit(ctx, e)
			return err
		})
	}
	for _, step := range steps {
		if err := insist(ctx, step); err != nil && !hasLeft(err) {
			return err
		}
	}
	return nil
}

func hasLeft(err error) bool {
	return errors.Is(err, socketio.ErrLeft) || errors.Is(err, hub.ErrUnknownClient)
}

// insist does a step again while the log takes nothing.
func insist(ctx context.Context, step func() error) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := step()
		if !errors.Is(err, hub.ErrUnavailable) || !sleep(ctx, pause) {
			return err
		}
	}
}

// sleep reports whether the time is over before ctx is.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// acknowledge answers an event. That the socket has left, or loses its connection
// because too much waits for it, is nobody's fault here.
func acknowledge(e *socketio.Event, args json.RawMessage) error {
	if e.Ack == nil {
		return nil
	}
	if err := e.Ack(args); err != nil && !errors.Is(err, socketio.ErrLeft) && !errors.Is(err, socketio.ErrBusy) {
		return err
	}
	return nil
}

// tell tells the page that its event went wrong: an error of the backend's own
// in its words, anything else in general ones.
func tell(e *socketio.Event, err error) {
	if e.Ack == nil {
		return
	}
	if a := (*Answered)(nil); errors.As(err, &a) && a.own() {
		refused := append(a.object([]byte(`[{"error":`)), "}]"...)
		if acknowledge(e, refused) == nil {
			return
		}
	}
	kind := failureOf(err).Kind()
	e.Fail(kind, messages[kind])
}

// object appends what a page hears of an error of the backend's own.
func (a *Answered) object(b []byte) []byte {
	shown, _ := json.Marshal(struct { // the data came as JSON
		Type    string          `json:"type"`
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data,omitempty"`
	}{"refused", a.Code, a.Message, a.Data})
	return append(b, shown...)
}
