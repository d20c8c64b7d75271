package socketio

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
)

// An auth is what a client shows with CONNECT.
type auth struct {
	client, key string          // "" if it has shown none
	pid         string          // by which a socket comes back
	offset      string          // the position it was at
	cursor      string          // where it wants to begin instead
	raw         json.RawMessage // for handlers: the whole of it, nil if there is none
}

// oldest is the cursor of who wants to hear all that is kept since its client was
// subscribed, as other transports do with a first visit.
const oldest = "oldest"

// keyed reports whether credentials were shown, right or wrong.
func (a *auth) keyed() bool { return a.client != "" }

// maxShown is how long what is shown may be; longer ones are nobody's.
const maxShown = 1024

// parseAuth reads the payload of a CONNECT, which is an object or nothing. What
// is not of the form that is wanted here is for somebody else.
func parseAuth(raw []byte) (a auth) {
	if len(raw) == 0 {
		return a
	}
	a.raw = bytes.Clone(raw)
	var members map[string]shown
	if json.Unmarshal(raw, &members) != nil {
		return a
	}
	text := func(name string) string { return string(members[name]) }
	a.pid, a.offset, a.cursor = text("pid"), text("offset"), text("cursor")
	a.credentials(text("client_id"), text("key"), text("token"))
	return a
}

// shown is a text of a payload's, "" if it is something else.
type shown string

func (s *shown) UnmarshalJSON(raw []byte) error {
	if raw[0] != '"' {
		return nil
	}
	text := string(raw[1 : len(raw)-1])
	if strings.Contains(text, `\`) || !utf8.ValidString(text) { // hardly any does
		json.Unmarshal(raw, &text)
	}
	if len(text) <= maxShown {
		*s = shown(text)
	}
	return nil
}

// public returns what a client has shown without what lets it in, or back. Words
// of the same names that are none of ours are for the handler.
func public(raw json.RawMessage) json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	delete(members, "pid")
	if members["client_id"] != nil {
		delete(members, "key") // else it is something else's
	}
	for _, name := range []string{"token", "client_id"} { // which may be one, too
		var token string
		if json.Unmarshal(members[name], &token) == nil && strings.Contains(token, hub.Delimiter) {
			delete(members, name)
		}
	}
	rest, _ := json.Marshal(members) // it was unmarshalled
	return rest
}

// queryAuth reads what a query string shows.
func queryAuth(query url.Values) (a auth) {
	text := func(name string) string {
		if s := query.Get(name); len(s) <= maxShown {
			return s
		}
		return ""
	}
	a.cursor = text("cursor")
	a.credentials(text("client_id"), text("key"), text("token"))
	return a
}

func parseQuery(query string) auth {
	values, err := url.ParseQuery(query)
	if err != nil {
		return auth{}
	}
	return queryAuth(values)
}

// credentials takes an id and a key, or both as a token.
func (a *auth) credentials(client, key, token string) {
	if token == "" && key == "" {
		token = client
	}
	if token != "" {
		// What is none of ours is for somebody else.
		cr, _ := transport.ParseToken(token)
		client, key = strings.Clone(cr.ID), cr.Key // the id will be kept, the key not
	}
	a.client, a.key = client, key
}

// start says where a session begins: where the client was; or where it wants to
// begin, if it was nowhere, which a page says again each time that it connects;
// or else now.
func (a *auth) start() (start hub.Start, err error) {
	if at, err := hub.ParsePosition(a.offset); err == nil { // else it is something else's
		start.At = at
		return start, nil
	}
	switch a.cursor {
	case "":
		start.Now = true
		return start, nil
	case oldest:
		return start, nil
	}
	if start.At, start.Now, err = transport.ParseCursor(a.cursor); err != nil {
		err = &transport.Refusal{Status: http.StatusBadRequest, Type: "invalid_request", Message: `cursor: must be a position, "now" or "oldest"`}
	}
	return start, err
}

// A pid is the socket's id and its key.
func pidOf(cr hub.Credentials) string { return cr.ID + cr.Key }

func cutPID(pid string) (cr hub.Credentials, ok bool) {
	const n = hub.SocketIDLength
	if len(pid) <= n || !hub.IsSocketID(pid[:n]) {
		return cr, false
	}
	return hub.Credentials{ID: strings.Clone(pid[:n]), Key: strings.Clone(pid[n:])}, true
}
