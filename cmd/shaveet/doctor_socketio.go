package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gobwas/ws"
)

const socketIOPath = "/socket.io/?EIO=4&transport="

// socketIO: can pages of Socket.IO connect, and go over to a WebSocket?
func (d *doctor) socketIO(ctx context.Context) finding {
	r, err := d.ask(ctx, question{path: socketIOPath + "polling"})
	if err != nil {
		return fail(adviceReach, "/socket.io/: %v", err)
	}
	var open struct{ SID string }
	packet, isOpen := strings.CutPrefix(string(r.body), "0")
	switch {
	case r.gateway():
		return fail(adviceReach, "/socket.io/ is answered %s: a proxy does not reach what is behind it", r.text)
	case r.status != http.StatusOK || !isOpen || json.Unmarshal([]byte(packet), &open) != nil || open.SID == "":
		// Not every site has pages of Socket.IO.
		return skip("/socket.io/ is not passed on, or not served (%s)", r.described())
	}
	defer d.ask(context.WithoutCancel(ctx), question{method: http.MethodPost, path: socketIOPath + "polling&sid=" + open.SID, body: "1"})
	if err := d.goOver(ctx, open.SID); err != nil {
		return warn(adviceSocketIO, "pages can connect to /socket.io/ and poll, but not go over to a WebSocket: %v", err)
	}
	return good("pages can connect to /socket.io/, and go over to a WebSocket")
}

// goOver begins to go over to a WebSocket, as far as it takes to see that it
// works.
func (d *doctor) goOver(ctx context.Context, sid string) error {
	ctx, cancel := context.WithTimeout(ctx, d.times.answer)
	defer cancel()
	s, _, err := d.site.upgradeAt(ctx, socketIOPath+"websocket&sid="+sid, nil)
	var refused *statusError
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("%d %s", refused.status, http.StatusText(refused.status))
	case err != nil:
		return plainError(err)
	}
	defer s.Close()
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.send(ws.NewTextFrame([]byte("2probe"))); err != nil {
		return err
	}
	if text, err := s.message(); err != nil {
		return err
	} else if string(text) != "3probe" {
		return errors.New("it does not bring what Shaveet says")
	}
	return nil
}
