package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A place is where a request says who reads.
type place uint8

const (
	inQuery place = iota
	inHeader
	inBody
)

// words are what a reader says about itself, in every form there is.
type words struct {
	query   url.Values // where it is, and how long it wants to wait
	plain   []string   // tokens
	escaped []string   // the same, percent-encoded
	hello   []byte     // all of it
}

// words has the keys of now. cursor may also be what is none, or "now".
func (r *reader) words(ctx context.Context, cursor string, wait int) words {
	type client struct {
		ID  string `json:"id"`
		Key string `json:"key"`
	}
	r.keys = r.keys[:0]
	w := words{query: url.Values{}}
	var clients []client
	for _, c := range r.clients {
		key := r.world.keys.after(ctx, c, "")
		r.keys = append(r.keys, key)
		w.plain = append(w.plain, c+"_!!_"+key)
		w.escaped = append(w.escaped, strings.ReplaceAll(url.QueryEscape(c), "+", "%20")+"_!!_"+key)
		clients = append(clients, client{c, key})
	}
	said := map[string]any{"clients": clients, "wait": wait}
	w.query.Set("wait", strconv.Itoa(wait))
	if cursor != (position{}).String() {
		w.query.Set("cursor", cursor)
		said["cursor"] = cursor
	}
	if r.session != "" {
		w.query.Set("session", r.session)
		said["session"] = r.session
	}
	hello, err := json.Marshal(said)
	if err != nil {
		panic(err)
	}
	w.hello = hello
	return w
}

// request makes a request that says the words.
func (r *reader) request(ctx context.Context, path string, w words, at place) *http.Request {
	method, body := http.MethodGet, []byte(nil)
	switch at {
	case inQuery:
		w.query["client_id"] = w.plain
	case inBody:
		method, body = http.MethodPost, w.hello
		w.query = nil
	}
	address := r.base + path
	if len(w.query) > 0 {
		address += "?" + w.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	switch at {
	case inHeader:
		req.Header.Set("Authorization", "Shaveet "+strings.Join(w.escaped, ", "))
	case inBody:
		req.Header.Set("Content-Type", "text/plain")
	}
	return req
}
