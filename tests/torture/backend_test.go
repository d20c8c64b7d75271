package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// keyring has the clients' keys, as the backend hands them to its pages.
type keyring struct {
	mu      sync.Mutex // guards all below
	keys    map[string]string
	changed chan struct{} // closed and replaced at each change
}

func newKeyring() *keyring {
	return &keyring{keys: make(map[string]string), changed: make(chan struct{})}
}

func (k *keyring) set(client, key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[client] = key
	close(k.changed)
	k.changed = make(chan struct{})
}

// after returns the client's key as soon as it is another than old.
func (k *keyring) after(ctx context.Context, client, old string) string {
	for {
		k.mu.Lock()
		key, changed := k.keys[client], k.changed
		k.mu.Unlock()
		if key != old {
			return key
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return key
		}
	}
}

// anyAfter returns as soon as any of the clients has another key than it had.
func (k *keyring) anyAfter(ctx context.Context, clients, old []string) {
	for {
		k.mu.Lock()
		changed, same := k.changed, true
		for i, c := range clients {
			same = same && k.keys[c] == old[i]
		}
		k.mu.Unlock()
		if !same {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// A caller makes admin calls over one way to the server, again and again until
// they are answered.
type caller struct {
	base string
	http http.Client
	rand *rand.Rand
}

func newCaller(addr string, seed, n uint64) *caller {
	return &caller{base: "http://" + addr + "/", rand: rand.New(rand.NewPCG(seed, n)),
		http: http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableCompression: true}}}
}

type call struct {
	JSONRPC string `json:"jsonrpc"`
	Method  string `json:"method"`
	Params  any    `json:"params"`
	ID      int    `json:"id"`
}

type reply struct {
	JSONRPC string          `json:"jsonrpc"`
	Result  json.RawMessage `json:"result"`
	Error   *rpcError       `json:"error"`
	ID      int             `json:"id"`
}

type rpcError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Type    string          `json:"type"`
	Data    json.RawMessage `json:"data"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Message) }

const (
	unknownClient = -32001
	unavailable   = -32005
)

// post posts a body until an answer has come whole that is one.
func (c *caller) post(ctx context.Context, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	for range 100_000 {
		if err := ctx.Err(); err != nil {
			return err
		}
		answer, status, err := c.once(ctx, text)
		switch {
		case err != nil, status == http.StatusBadRequest, status == http.StatusRequestTimeout, status == http.StatusServiceUnavailable:
			pause(ctx, time.Millisecond) // nobody is there, or not all of the request has come there
		case status != http.StatusOK:
			return fmt.Errorf("an admin call was answered %d %s", status, answer)
		default:
			return json.Unmarshal(answer, into)
		}
	}
	return errors.New("an admin call was tried too often")
}

func (c *caller) once(ctx context.Context, text []byte) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", c.base, bytes.NewReader(text))
	if err != nil {
		return nil, 0, err
	}
	req.Close = c.rand.IntN(8) == 0 // see reader.poll
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.ContentLength != int64(len(answer)) {
		err = io.ErrUnexpectedEOF
	}
	return answer, resp.StatusCode, err
}

// do makes one call, again while the server is not available.
func (c *caller) do(ctx context.Context, method string, params, into any) error {
	for range 100_000 {
		var r reply
		if err := c.post(ctx, call{"2.0", method, params, 1}, &r); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case r.Error != nil && r.Error.Code == unavailable:
			pause(ctx, time.Millisecond)
		case r.Error != nil:
			return fmt.Errorf("%s %v: %w", method, params, r.Error)
		case into == nil:
			return nil
		default:
			return json.Unmarshal(r.Result, into)
		}
	}
	return fmt.Errorf("%s: never available", method)
}

// placed is what publishing answers.
type placed struct {
	Position position  `json:"position"`
	ID       uint64    `json:"id"`
	Repeated bool      `json:"repeated"`
	Error    *rpcError `json:"error"`
}

// A publisher says numbered messages, each again until it is acknowledged.
type publisher struct {
	*caller
	world *world
}

type publication struct {
	Channel   string   `json:"channel"`
	Data      content  `json:"data"`
	Sender    string   `json:"sender"`
	PublishID string   `json:"publish_id"`
	Exclude   []string `json:"exclude,omitempty"`
}

// run publishes until there are no numbers left.
func (p *publisher) run(ctx context.Context) error {
	defer p.http.CloseIdleConnections()
	for {
		first, n := p.world.numbers(1 + p.rand.IntN(p.world.plan.burst))
		if n == 0 {
			return nil
		}
		var all []*saying
		for i := range n {
			s := &saying{n: first + i, channel: p.world.plan.channels[p.rand.IntN(len(p.world.plan.channels))],
				pad: strings.Repeat("x", p.rand.IntN(1<<p.rand.IntN(9)))}
			if p.world.plan.excludes && p.rand.IntN(5) == 0 {
				s.exclude = p.world.someClients(p.rand)
			}
			p.world.truth.saying(s)
			all = append(all, s)
		}
		p.world.saying.RLock()
		err := p.say(ctx, all)
		p.world.saying.RUnlock()
		if err != nil {
			return err
		}
		p.world.progress(ctx)
	}
}

// say publishes all of them.
func (p *publisher) say(ctx context.Context, all []*saying) error {
	for range 100_000 {
		places, err := p.attempt(ctx, all)
		if err != nil {
			return err
		}
		var rest []*saying
		for i, at := range places {
			switch {
			case at.Error != nil && at.Error.Code == unavailable:
				rest = append(rest, all[i])
			case at.Error != nil:
				return fmt.Errorf("publishing %d: %w", all[i].n, at.Error)
			default:
				p.world.truth.ack(all[i], at.Position, at.ID)
			}
		}
		if len(rest) == 0 {
			return nil
		}
		all = rest
		pause(ctx, time.Millisecond)
	}
	return errors.New("publishing was tried too often")
}

// attempt publishes them in one request, in one of two forms.
func (p *publisher) attempt(ctx context.Context, all []*saying) ([]placed, error) {
	words := make([]publication, len(all))
	for i, s := range all {
		words[i] = publication{s.channel, content{s.n, s.pad}, "back", fmt.Sprint("n-", s.n), s.exclude}
	}
	if p.rand.IntN(2) == 0 {
		var places []placed
		err := p.do(ctx, "publish_many", map[string]any{"messages": words}, &places)
		if err == nil && len(places) != len(all) {
			err = fmt.Errorf("%d places for %d messages", len(places), len(all))
		}
		return places, err
	}
	calls := make([]call, len(all))
	for i := range words {
		calls[i] = call{"2.0", "publish", words[i], i}
	}
	var replies []reply
	if err := p.post(ctx, calls, &replies); err != nil {
		return nil, err
	}
	places := make([]placed, len(all))
	if len(replies) != len(all) {
		return nil, fmt.Errorf("%d replies to %d calls", len(replies), len(all))
	}
	for _, r := range replies {
		if r.Error != nil {
			places[r.ID].Error = r.Error
		} else if err := json.Unmarshal(r.Result, &places[r.ID]); err != nil {
			return nil, err
		}
	}
	return places, nil
}
