package roomsapp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"
)

// shaveet is a JSON-RPC 2.0 client.
type shaveet struct {
	url, token string
	http       *http.Client
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

func newShaveet(c Config) *shaveet {
	client := c.Client
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	return &shaveet{c.RPCURL, c.Token, client}
}

// named are parameters by their names.
type named map[string]any

type call struct {
	method  string
	params  named
	result  any    // where it goes; nil: nowhere
	mayFail string // an error that is as good as an answer; the result stays as it is
}

type rpcError struct {
	Message string
	Data    struct{ Type string }
}

func (e *rpcError) Error() string { return e.Message }

// batch makes the calls one after the other, in one request.
func (s *shaveet) batch(ctx context.Context, calls ...call) error {
	if len(calls) == 0 {
		return nil
	}
	requests := make([]named, len(calls))
	for i, c := range calls {
		requests[i] = named{"jsonrpc": "2.0", "id": i, "method": c.method, "params": c.params}
	}
	var answers []struct {
		Result json.RawMessage
		Error  *rpcError
	}
	if err := s.post(ctx, requests, &answers); err != nil {
		return err
	}
	if len(answers) != len(calls) {
		return fmt.Errorf("%d answers to %d calls", len(answers), len(calls))
	}
	for i, c := range calls {
		switch e := answers[i].Error; {
		case e != nil && e.Data.Type == c.mayFail:
		case e != nil:
			return fmt.Errorf("%s: %w", c.method, e)
		case c.result != nil:
			if err := json.Unmarshal(answers[i].Result, c.result); err != nil {
				return fmt.Errorf("%s: %w", c.method, err)
			}
		}
	}
	return nil
}

func (s *shaveet) post(ctx context.Context, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("status %d: %w", resp.StatusCode, err)
	}
	return nil
}

// refusal is an error that the browser is told about.
type refusal struct {
	status  int
	message string
}

func (r refusal) Error() string { return r.message }

func refuse(status int, message string) error { return refusal{status, message} }

var errElsewhere = refuse(http.StatusForbidden, "another site cannot do that")

// redirect is an answer: the address where to ask.
type redirect string

func answer(w http.ResponseWriter, value any, err error) {
	status := http.StatusOK
	known, rpc := refusal{}, (*rpcError)(nil)
	if errors.As(err, &rpc) && rpc.Data.Type == "publish_id_conflict" {
		err = refuse(http.StatusConflict, "another message has this id")
	}
	switch to, ok := value.(redirect); {
	case errors.As(err, &known):
		status, value = known.status, map[string]string{"error": known.message}
	case err != nil:
		log.Printf("shaveet: %v", err)
		status, value = http.StatusBadGateway, map[string]string{"error": "the push server does not answer"}
	case ok:
		w.Header().Set("Location", string(to))
		w.WriteHeader(http.StatusSeeOther)
		return
	case value == nil:
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
