package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gobwas/ws"
)

func (d *doctor) trySocket(ctx context.Context) trial {
	s := newStream(d.site, d.hello(beatTime), nil, connectSocket)
	defer s.close()
	text, bad := d.observe(ctx, "/websocket", s)
	switch {
	case bad != nil && s.in == nil:
		return trial{upgradeRefused(*bad), false}
	case bad != nil:
		return trial{*bad, false}
	case s.in.socket.pings == 0:
		return trial{warn(adviceSocket, "/websocket brings messages, but no ping of the server's: something swallows it"), true}
	}
	packed, bad := d.compressed(ctx)
	if bad != nil {
		return trial{*bad, false}
	}
	return trial{good("%s, %s", text, packed), true}
}

// upgradeRefused gives a finding the advice for an upgrade, if it is of that.
func upgradeRefused(f finding) finding {
	if f.Outcome == warning {
		f.Advice = append(adviceSocket[:len(adviceSocket):len(adviceSocket)], adviceStreamPath...)
	}
	return f
}

// compressed looks whether compressed messages come through, if the server
// sends them.
func (d *doctor) compressed(ctx context.Context) (text string, bad *finding) {
	s := newStream(d.site, d.hello(beatTime), http.Header{"Sec-Websocket-Extensions": {deflate}}, connectSocket)
	defer s.close()
	if _, err := hear(ctx, s, d.times.answer, anything); err != nil {
		f := fail(adviceSocket, "/websocket works, but not where compression is offered: %v", err)
		return "", &f
	}
	if !s.in.socket.deflates {
		return "not compressed", nil
	}
	if _, bad := d.deliver(ctx, "a compressed /websocket", s, strings.Repeat(randomName(), 64)); bad != nil {
		return "", bad
	}
	if s.in.socket.inflated == 0 {
		return "not compressed, although that is agreed on", nil
	}
	return "compressed and not", nil
}

// ping asks for a pong. If it gets lost, none comes.
func (s *socket) ping() { s.send(ws.NewPingFrame([]byte("doctor"))) }

// socketOrigin: may those pages open WebSockets that may read answers, and no
// others? Browsers leave it to the server.
func (d *doctor) socketOrigin(ctx context.Context) finding {
	q := stranger()
	q.header = map[string]string{"Origin": d.origin}
	r, err := d.ask(ctx, q)
	if err != nil {
		return fail(adviceReach, "%v", err)
	}
	mayRead := r.status != http.StatusForbidden
	status, err := d.openAs(ctx, d.origin)
	switch {
	case err != nil || status != http.StatusSwitchingProtocols && status != http.StatusForbidden:
		return skip("there is no WebSocket here")
	case status == http.StatusSwitchingProtocols && !mayRead:
		return fail(adviceOrigin, "pages of %s may not read answers, and yet open WebSockets: something takes Origin off", d.origin)
	case status == http.StatusSwitchingProtocols:
		return good("pages of %s may open them", d.origin)
	case mayRead:
		return fail(adviceOrigin, "pages of %s may read answers, but not open WebSockets (403)", d.origin)
	case d.named:
		return fail(adviceOrigin, "pages of %s may not open WebSockets (403); is it in allowed_origins?", d.origin)
	}
	u, _ := url.Parse(d.base)
	own := u.Scheme + "://" + u.Host
	if status, err := d.openAs(ctx, own); err == nil && status == http.StatusForbidden {
		return warn(adviceOrigin, "not even pages of %s itself may open WebSockets (403): the proxy does not pass Host on", own)
	}
	return good("pages of %s may not open them", d.origin)
}

// openAs begins a WebSocket for a page of this origin, and returns the status
// of the answer.
func (d *doctor) openAs(ctx context.Context, origin string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.times.answer)
	defer cancel()
	s, _, err := d.site.upgrade(ctx, http.Header{"Origin": {origin}})
	var refused *statusError
	if errors.As(err, &refused) {
		return refused.status, nil
	}
	if err != nil {
		return 0, err
	}
	return http.StatusSwitchingProtocols, s.Close()
}
