package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// How long the server may be silent at most, and how much longer what it then
// says may take. Of a stream that has brought nothing yet, less is borne where
// another transport may do better.
const (
	pollTime   = 25 * time.Second
	pollGrace  = 15 * time.Second
	streamTime = 5 * time.Second
)

// A hello is what a reader says when it comes.
type hello struct {
	Clients []credential `json:"clients"`
	Session string       `json:"session,omitempty"`
	Cursor  string       `json:"cursor,omitempty"`
	Wait    int64        `json:"wait,omitempty"` // ms of silence at most; 0: as many as the server likes
}

type credential struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

// A batch is what a reader is told at once.
type batch struct {
	Cursor   string
	Signals  []wireSignal
	Messages []json.RawMessage
	More     bool // something else is waiting already
}

// ends reports whether nothing comes behind b by the same stream.
func (b *batch) ends() bool {
	for _, s := range b.Signals {
		if s.Type == "gone" || s.Type == "superseded" || s.Type == "drain" {
			return true
		}
	}
	return false
}

// A refusal is an error as the server tells it.
type refusal struct {
	Code          int
	Type, Message string
	RetryMS       int64 `json:"retry_ms"`
}

// errNoBatch is for what should be a batch.
var errNoBatch = errors.New("what came is no batch")

// parseBatch reads a batch, or an error in its place.
func parseBatch(text []byte) (*batch, *refusal, error) {
	var said struct {
		batch
		Error *refusal
	}
	switch err := json.Unmarshal(text, &said); {
	case err != nil:
		return nil, nil, errNoBatch
	case said.Error != nil:
		return nil, said.Error, nil
	case said.Signals == nil || said.Messages == nil:
		return nil, nil, errNoBatch
	}
	return &said.batch, nil, nil
}

// readBatch reads an answer to a hello at path, which is not the stream that
// may have been asked for: a batch, also where that says by 404 that the client
// is gone, or an error.
func readBatch(resp *http.Response, path string) (*batch, error) {
	text, err := readAnswer(resp.Body)
	if err != nil {
		return nil, err
	}
	b, said, err := parseBatch(text)
	switch {
	case b != nil && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNotFound):
		return b, nil
	case err == nil && said != nil && resp.StatusCode != http.StatusOK:
		failure := said.failure(resp.StatusCode, resp.Status)
		if failure.retryAfter == 0 {
			failure.retryAfter = retryAfter(resp.Header)
		}
		return nil, failure
	case resp.StatusCode == http.StatusOK:
		return nil, errOther(path)
	}
	return nil, &statusError{
		status:     resp.StatusCode,
		retryAfter: retryAfter(resp.Header),
		text:       fmt.Sprintf("the server answered %s for %s; is --public-url right?", resp.Status, path),
	}
}

// failure is the error that the server has told, by this status.
func (r *refusal) failure(status int, name string) *statusError {
	return &statusError{
		status:     status,
		said:       true,
		text:       fmt.Sprintf("%s: %s", name, r.Message),
		retryAfter: max(0, time.Duration(min(r.RetryMS, time.Hour.Milliseconds()))*time.Millisecond),
	}
}

func errOther(path string) error {
	return fmt.Errorf("what answers is not Shaveet's %s; is --public-url right?", path)
}
