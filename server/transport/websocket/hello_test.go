package websocket_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/websocket"
)

// What is wrong with a hello is told, and ends the connection.
func TestHelloInAMessage(t *testing.T) {
	fault := func(code int, kind, message string) string {
		return fmt.Sprintf(`text {"error":{"code":%d,"type":%q,"message":%s}}`, code, kind, fmt.Sprintf("%q", message))
	}
	bad := func(message string) []string {
		return []string{fault(400, "invalid_request", message), "close 4400 invalid_request"}
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{Options: transport.Options{MaxClients: 2, MaxBody: 1000}}, hub.Limits{})
		p.client("a", "ch")
		for _, test := range []struct {
			name string
			sent []string
			want []string
		}{
			{"at once", []string{text(p.hello("a"))}, []string{p.empty()}},
			{"in single bytes", fragments(p.hello("a"), 1), []string{p.empty()}},
			{"in two with a ping between", []string{cutFrame(ws.OpText, false, p.hello("a")[:9]), frame(ws.OpPing, "p"), frame(ws.OpContinuation, p.hello("a")[9:])},
				[]string{"pong p", p.empty()}},
			{"behind a pong", []string{frame(ws.OpPong, ""), text(p.hello("a"))}, []string{p.empty()}},
			{"empty", []string{text("")}, bad("the body must be one JSON object")},
			{"no JSON", []string{text("hello")}, bad("the body must be one JSON object")},
			{"an array", []string{text("[]")}, bad("the body must be one JSON object")},
			{"nobody", []string{text("{}")}, bad("there must be credentials for at least one client")},
			{"too many", []string{text(`{"clients":[1,2,3]}`)}, bad("there must be credentials for 1 to 2 clients")},
			{"a bad cursor", []string{text(`{"clients":[{"id":"a","key":"k"}],"cursor":"x"}`)}, bad(`cursor: must be a position or "now"`)},
			{"a wrong key", []string{text(`{"clients":[{"id":"a","key":"k"}]}`)},
				[]string{`text {"signals":[{"type":"gone","client":"a"}],"messages":[]}`, "close 4404 gone"}},
			{"unknown", []string{text(`{"clients":[{"id":"zoe","key":"k"},{"id":"a","key":"` + p.keys["a"] + `"}]}`)},
				[]string{`text {"signals":[{"type":"gone","client":"zoe"}],"messages":[]}`, "close 4404 gone"}},
			{"binary", []string{frame(ws.OpBinary, p.hello("a"))}, []string{notText}},
			{"no UTF-8", []string{text("{\"\xff\":1}")}, []string{"close 1007 the text is not valid UTF-8"}},
			{"too large", []string{text(strings.Repeat(" ", 1001))}, []string{"close 1009 the frame is too large"}},
			{"too large in pieces", []string{cutFrame(ws.OpText, false, strings.Repeat(" ", 999)), frame(ws.OpContinuation, "  ")}, []string{"close 1009 the message is too large"}},
			{"not masked", []string{"\x81\x02{}"}, []string{"close 1002 the frame is not masked"}},
			{"another one behind it", []string{text(p.hello("a")), text(p.hello("a"))}, []string{afterward}},
			{"the beginning of another one behind it", []string{text(p.hello("a")), "\x81"}, []string{afterward}},
			{"a close instead", []string{closing(1001, "bye")}, []string{"close 1001", "end"}},
			{"a close without a code", []string{frame(ws.OpClose, "")}, []string{"close", "end"}},
			{"a close with a bad code", []string{closing(1005, "")}, []string{"close 1002 the close frame is invalid"}},
		} {
			p.what = test.name
			c := p.dial(request(""), test.sent...)
			c.hears(test.want...)
			p.gone(c)
		}
	})
}

// fragments cuts a text into frames of n bytes.
func fragments(s string, n int) (all []string) {
	op := ws.OpText
	for len(s) > n {
		all = append(all, cutFrame(op, false, s[:n]))
		op, s = ws.OpContinuation, s[n:]
	}
	return append(all, frame(op, s))
}

// Who says all by the request hears at once.
func TestHelloByTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{}, hub.Limits{})
		p.client("a", "ch")
		p.client("é b", "ch")
		cursor := "cursor=" + p.hub.Position().String()
		wrong := "shaveet.auth." + strings.TrimRight("YV8hIV94", "=") // a_!!_x
		bad := func(message string) []string {
			return []string{`text {"error":{"code":400,"type":"invalid_request","message":` + fmt.Sprintf("%q", message) + `}}`, "close 4400 invalid_request"}
		}
		for _, test := range []struct {
			name, query, protocols, authorization string
			selected                              string
			want                                  []string
		}{
			{"query", p.query("a"), "", "", "", []string{p.empty()}},
			{"header", cursor, "", "Shaveet a_!!_" + p.keys["a"], "", []string{p.empty()}},
			{"subprotocol", cursor, "shaveet.v1, " + p.token("a"), "", "shaveet.v1", []string{p.empty()}},
			{"subprotocols the other way round", cursor, p.token("é b") + ",shaveet.v1", "", "shaveet.v1", []string{p.empty()}},
			{"two clients", cursor, "shaveet.v1, " + p.token("a") + ", " + p.token("é b"), "", "shaveet.v1", []string{p.empty()}},
			{"among others", cursor, "chat, shaveet.v1, x, " + p.token("a"), "", "shaveet.v1", []string{p.empty()}},
			{"without the protocol itself", cursor, p.token("a"), "", "", []string{p.empty()}},
			{"the header of others does not count", cursor, "shaveet.v1, " + p.token("a"), "Basic eDp5", "shaveet.v1", []string{p.empty()}},
			{"a wrong key", "", "shaveet.v1, " + wrong, "", "shaveet.v1",
				[]string{`text {"signals":[{"type":"gone","client":"a"}],"messages":[]}`, "close 4404 gone"}},
			{"a bad cursor", p.query("a") + "x", "", "", "", bad(`cursor: must be a position or "now"`)},
			{"no Base64", cursor, "shaveet.v1, shaveet.auth.!", "", "shaveet.v1",
				bad("Sec-WebSocket-Protocol: shaveet.auth. must be followed by a token in URL-safe Base64")},
			{"no token", cursor, "shaveet.v1, shaveet.auth.YWJj", "", "shaveet.v1",
				bad(`Authorization: a token must be an id, "_!!_" and a key`)},
			{"two places", p.query("a"), "shaveet.v1, " + p.token("a"), "", "shaveet.v1", bad("Authorization: credentials must come from one place only")},
			{"two headers", cursor, "shaveet.v1, " + p.token("a"), "Shaveet a_!!_" + p.keys["a"], "shaveet.v1",
				bad("Authorization: credentials must come from one place only")},
			{"a cursor for nobody", cursor, "shaveet.v1", "", "shaveet.v1", bad("there must be credentials for at least one client")},
			{"a broken query", "%zz", "shaveet.v1", "", "shaveet.v1", bad("the query string cannot be read")},
		} {
			p.what = test.name
			var headers []string
			if test.protocols != "" {
				headers = append(headers, "Sec-WebSocket-Protocol: "+test.protocols)
			}
			if test.authorization != "" {
				headers = append(headers, "Authorization: "+test.authorization)
			}
			c := p.dial(request(test.query, headers...))
			if got := c.answer.Header.Get("Sec-WebSocket-Protocol"); got != test.selected {
				t.Errorf("%s: selected is %q", test.name, got)
			}
			c.hears(test.want...)
			p.gone(c)
		}
	})
}

// Whoever speaks another protocol waits for its hello, like all others.
func TestForeignSubprotocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t, websocket.Options{}, hub.Limits{})
		c := p.dial(request("", "Sec-WebSocket-Protocol: chat, superchat"))
		if got, there := c.answer.Header["Sec-Websocket-Protocol"]; there {
			t.Errorf("selected is %q", got)
		}
		c.hears()
		p.gone(c)
	})
}
