package chatapp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// shaveet is a JSON-RPC 2.0 client of the five methods a chat needs.
type shaveet struct {
	url, token string
	http       *http.Client
}

// maxAnswer bounds what is read of an answer; a member list is the longest.
const maxAnswer = 8 << 20

func newShaveet(c Config) *shaveet {
	client := c.Client
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	return &shaveet{url: c.RPCURL, token: c.Token, http: client}
}

func (s *shaveet) createClient(ctx context.Context, clientID string) (key string, err error) {
	return key, s.call(ctx, &key, "create_client", clientID)
}

func (s *shaveet) subscribe(ctx context.Context, clientID, channel string) error {
	return s.call(ctx, nil, "subscribe", clientID, channel)
}

func (s *shaveet) newMessage(ctx context.Context, sender string, message any, channel string) error {
	return s.call(ctx, nil, "new_message", sender, message, channel, false)
}

func (s *shaveet) killClient(ctx context.Context, clientID string) error {
	return s.call(ctx, nil, "kill_client", clientID)
}

func (s *shaveet) channelClients(ctx context.Context, channel string) (ids []string, err error) {
	return ids, s.call(ctx, &ids, "get_channel_clients", channel)
}

// call puts the method's result into result, unless that is nil.
func (s *shaveet) call(ctx context.Context, result any, method string, params ...any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	defer resp.Body.Close()
	var answer struct {
		Result json.RawMessage
		Error  *struct{ Message string }
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil {
		return fmt.Errorf("%s: status %d: %w", method, resp.StatusCode, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %s", method, answer.Error.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}
