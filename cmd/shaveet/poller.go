package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// How long a poll is held at most, and how much longer its answer may take.
const (
	pollTime  = 25 * time.Second
	pollGrace = 15 * time.Second
)

// A poller reads for one client by /longpoll, from where it left off.
type poller struct {
	url    string
	http   *http.Client
	client string
	key    string

	session string
	cursor  string
}

// A batch is what one poll brought.
type batch struct {
	Cursor   string
	Signals  []wireSignal
	Messages []json.RawMessage
	More     bool // something else is waiting already
}

func newPoller(public string) *poller {
	return &poller{url: public + "/longpoll", http: &http.Client{CheckRedirect: stay}}
}

// begin makes the poller read for a client, from a position.
func (p *poller) begin(client, key, cursor string) {
	p.client, p.key, p.cursor = client, key, cursor
	p.newSession()
}

func (p *poller) newSession() { p.session = randomName() }

// poll waits for what is new. Credentials go in the body, which no log has.
// An error that may pass leaves the poller where it was.
func (p *poller) poll(ctx context.Context) (*batch, error) {
	body, err := json.Marshal(map[string]any{
		"clients": []map[string]string{{"id": p.client, "key": p.key}},
		"session": p.session, "cursor": p.cursor, "wait": pollTime.Milliseconds(),
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, pollTime+pollGrace)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := readAnswer(resp.Body)
	if err != nil {
		return nil, err
	}
	b, err := readBatch(resp, text)
	if err == nil && b.Cursor != "" {
		p.cursor = b.Cursor
	}
	return b, err
}

// readBatch reads an answer of /longpoll: a batch, also where that says by 404
// that the client is gone, or an error.
func readBatch(resp *http.Response, text []byte) (*batch, error) {
	var answer struct {
		batch
		Error *struct {
			Type, Message string
			RetryMS       int64 `json:"retry_ms"`
		}
	}
	err := json.Unmarshal(text, &answer)
	isBatch := err == nil && answer.Signals != nil && answer.Messages != nil
	if isBatch && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNotFound) {
		return &answer.batch, nil
	}
	failure := &statusError{status: resp.StatusCode, retryAfter: retryAfter(resp.Header)}
	switch {
	case err == nil && answer.Error != nil:
		failure.text = fmt.Sprintf("%s: %s", resp.Status, answer.Error.Message)
		if answer.Error.RetryMS > 0 {
			failure.retryAfter = time.Duration(answer.Error.RetryMS) * time.Millisecond
		}
	case resp.StatusCode == http.StatusOK:
		return nil, errors.New("what answers is not Shaveet's /longpoll; is --public-url right?")
	default:
		failure.text = fmt.Sprintf("the server answered %s for /longpoll; is --public-url right?", resp.Status)
	}
	return nil, failure
}
