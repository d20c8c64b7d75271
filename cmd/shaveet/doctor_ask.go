package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"
)

// A question is one request to the installation.
type question struct {
	method string // default GET
	path   string // after the base
	host   string // default the base's
	header map[string]string
	body   string
	within time.Duration // default the doctor's time for an answer
}

// A reply is what came back.
type reply struct {
	status int
	text   string // of the status
	proto  string
	header http.Header
	body   []byte
	took   time.Duration
	begun  time.Time
	reused bool // the connection had been used before
}

// mostBytes is as much of an answer as is read.
const mostBytes = 4 << 20

func (d *doctor) ask(ctx context.Context, q question) (*reply, error) {
	if q.within == 0 {
		q.within = d.times.answer
	}
	if q.method == "" {
		q.method = http.MethodGet
	}
	ctx, cancel := context.WithTimeout(ctx, q.within)
	defer cancel()
	r := &reply{begun: time.Now()}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { r.reused = info.Reused },
	})
	req, err := http.NewRequestWithContext(ctx, q.method, d.base+q.path, strings.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	if q.host != "" {
		req.Host = q.host
	}
	for name, value := range q.header {
		req.Header.Set(name, value)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, plainError(err)
	}
	defer resp.Body.Close()
	r.body, err = io.ReadAll(io.LimitReader(resp.Body, mostBytes))
	r.took = time.Since(r.begun)
	if err != nil {
		return nil, fmt.Errorf("%s, and the answer broke off: %w", resp.Status, err)
	}
	r.status, r.text, r.proto, r.header = resp.StatusCode, resp.Status, resp.Proto, resp.Header
	return r, nil
}

// plainError leaves out the URL, which may have a key in it.
func plainError(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}

// gateway reports whether r is a proxy's word that there is no server behind.
func (r *reply) gateway() bool { return isGateway(r.status) }

func isGateway(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

func (r *reply) line() string { return strings.TrimSpace(string(r.body)) }

// batch reads r as an answer of /longpoll.
func (r *reply) batch() (*batch, bool) {
	var b batch
	ok := json.Unmarshal(r.body, &b) == nil && b.Signals != nil && b.Messages != nil
	return &b, ok
}

// described is what r was, for who expected something else.
func (r *reply) described() string {
	kind := r.header.Get("Content-Type")
	if kind == "" {
		kind = "no Content-Type"
	}
	return fmt.Sprintf("%s, %s, %d bytes", r.text, kind, len(r.body))
}

// A patient is the client that the checks read as.
type patient struct {
	id, key, channel string
	session          string
	cursor           string
}

// The ways in which a poll may carry its credentials.
const (
	inBody = iota
	inHeader
	inQuery
)

// pollQuestion is a poll from where the patient is, held for wait at most; for
// as long as the server likes if wait is less than 0.
func (t patient) pollQuestion(way int, wait time.Duration) question {
	token := url.PathEscape(t.id) + "_!!_" + t.key
	query := url.Values{"session": {t.session}, "cursor": {t.cursor}}
	body := map[string]any{"clients": []map[string]string{{"id": t.id, "key": t.key}}, "session": t.session, "cursor": t.cursor}
	if wait >= 0 {
		query.Set("wait", fmt.Sprint(wait.Milliseconds()))
		body["wait"] = wait.Milliseconds()
	}
	switch way {
	case inHeader:
		return question{path: "/longpoll?" + query.Encode(), header: map[string]string{"Authorization": "Shaveet " + token}}
	case inQuery:
		return question{path: "/longpoll?" + query.Encode() + "&client_id=" + url.QueryEscape(token)}
	}
	text, _ := json.Marshal(body) // strings and numbers
	return question{method: http.MethodPost, path: "/longpoll", body: string(text)}
}

// stranger asks as a client that does not exist.
func stranger() question {
	token := "doctor_!!_" + randomName()
	return question{path: "/longpoll?wait=0&client_id=" + token}
}

// catchUp polls without waiting until there is nothing new. Of that the cursor
// tells nothing: it moves with whatever is said on the server, to whomever.
func (d *doctor) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.times.answer)
	defer cancel()
	for {
		r, err := d.ask(ctx, d.patient.pollQuestion(inBody, 0))
		if err != nil {
			return err
		}
		b, ok := r.batch()
		if r.status != http.StatusOK || !ok || b.Cursor == "" {
			return fmt.Errorf("a poll was answered %s", r.described())
		}
		if d.patient.cursor = b.Cursor; !b.More {
			return nil
		}
	}
}

// publish says something to the patient.
func (d *doctor) publish(ctx context.Context, data any) error {
	_, err := d.api.call(ctx, "publish", map[string]any{"channel": d.patient.channel, "data": data, "sender": d.patient.id})
	return err
}

// has reports whether the answer tells what was published.
func (r *reply) has(data string) bool { return bytes.Contains(r.body, []byte(data)) }
