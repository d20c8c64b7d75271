package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// A call of the admin API, and what it is answered.
type call struct {
	JSONRPC string `json:"jsonrpc"`
	Method  string `json:"method"`
	Params  any    `json:"params"`
	ID      int    `json:"id"`
}

type reply struct {
	Result json.RawMessage `json:"result"`
	Error  *rpcError       `json:"error"`
	ID     int             `json:"id"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Message) }

const (
	codeUnknownClient = -32001
	codeUnavailable   = -32005
)

// A caller makes admin calls by one address.
type caller struct {
	url  string
	http *http.Client
}

func newCaller(addr string) *caller {
	return &caller{url: "http://" + addr + "/rpc", http: &http.Client{Timeout: 10 * time.Second,
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 2}}}
}

// post makes calls once. The error leaves open whether any of them has happened.
func (c *caller) post(ctx context.Context, calls []call) ([]reply, error) {
	text, err := json.Marshal(calls)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", c.url, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var replies []reply
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%d %.100s", resp.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, &replies); err != nil {
		return nil, fmt.Errorf("%w: %.100s", err, answer)
	}
	if len(replies) != len(calls) {
		return nil, fmt.Errorf("%d replies to %d calls", len(replies), len(calls))
	}
	return replies, nil
}

// insist makes calls until all of them are answered and the server was available
// for them. What it makes can be repeated without harm.
func (c *caller) insist(ctx context.Context, calls []call) ([]reply, error) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		replies, err := c.post(ctx, calls)
		if err == nil && !anyUnavailable(replies) {
			return replies, nil
		}
		if !pause(ctx, wait) {
			return nil, errors.Join(context.Cause(ctx), err)
		}
	}
}

func anyUnavailable(replies []reply) bool {
	for _, r := range replies {
		if r.Error != nil && r.Error.Code == codeUnavailable {
			return true
		}
	}
	return false
}

// pause waits; it reports whether ctx lasts.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A client is one as the backend knows it.
type client struct {
	id       string
	channels []*channel

	mu      sync.Mutex // guards all below
	key     string
	void    bool                  // the key: somebody has heard that the client is gone
	killed  time.Time             // by ourselves, the last time
	made    time.Time             // the last time
	joined  map[*channel]position // no later than here
	busy    bool                  // it is being made anew,
	wanted  bool                  // and is to be, once more
	changed chan struct{}         // closed and replaced when key changes
}

func newClient(id string, channels []*channel) *client {
	return &client{id: id, channels: channels, joined: make(map[*channel]position), changed: make(chan struct{})}
}

// calls make the client and put it on its channels.
func (c *client) calls() []call {
	all := []call{{"2.0", "create_client", map[string]any{"client_id": c.id}, 0}}
	for _, ch := range c.channels {
		all = append(all, call{"2.0", "subscribe", map[string]any{"client_id": c.id, "channel_name": ch.name, "position": true}, 0})
	}
	return all
}

// made enters what calls were answered. It reports whether all is well.
func (c *client) take(replies []reply) bool {
	var key string
	if replies[0].Error != nil || json.Unmarshal(replies[0].Result, &key) != nil {
		return false
	}
	joined := make(map[*channel]position)
	for i, ch := range c.channels {
		var at struct{ Position position }
		if r := replies[1+i]; r.Error != nil || json.Unmarshal(r.Result, &at) != nil {
			return false
		}
		joined[ch] = at.Position
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key, c.void, c.joined, c.made = key, false, joined, time.Now()
	close(c.changed)
	c.changed = make(chan struct{})
	return true
}

func (c *client) currentKey() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key
}

// await returns the client's key as soon as it is none that is void.
func (c *client) await(ctx context.Context) string {
	for {
		c.mu.Lock()
		key, void, changed := c.key, c.void, c.changed
		c.mu.Unlock()
		if !void {
			return key
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return key
		}
	}
}

// lost is called when a reader that has come with a key hears that the client is
// gone: the backend makes it again. There must be a reason.
func (c *client) lost(w *world, key string) {
	c.mu.Lock()
	why := ""
	switch {
	case c.key != key:
		c.mu.Unlock()
		return // there is a new one by now
	case c.void:
	case time.Since(c.killed) < explains:
		why = "gone: killed"
	case w.journal.happenedSince(forgets|endsEpoch, c.made):
		why = "gone: the log has lost it"
	default:
		why = "gone"
		w.journal.find("%s is said to be gone, and nobody has killed it", c.id)
	}
	c.void = true
	c.mu.Unlock()
	if why != "" {
		w.journal.note(why)
	}
	c.remake(w)
}

// missing is called when a reader is told that it is on fewer channels than the
// backend has put it on.
func (c *client) missing(w *world) {
	c.mu.Lock()
	ok := c.busy || time.Since(c.killed) < explains || w.journal.happenedSince(forgets|endsEpoch, c.made)
	c.mu.Unlock()
	if ok {
		w.journal.note("membership lost")
	} else {
		w.journal.find("%s is told that it is off a channel, and nobody has taken it off", c.id)
	}
	c.remake(w)
}

// remake makes the client, and once more if somebody asks for it meanwhile.
func (c *client) remake(w *world) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = true
	if c.busy || w.over.Err() != nil {
		return
	}
	c.busy = true
	w.errands.Go(func() {
		for c.stillWanted() {
			for {
				replies, err := w.backend.insist(w.over, c.calls())
				if err != nil || c.take(replies) {
					break
				}
			}
		}
	})
}

// stillWanted reports whether there is something to be made.
func (c *client) stillWanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy, c.wanted = c.wanted, false
	return c.busy
}

// judge looks at where a membership is said to begin: not later than the backend
// was told.
func (c *client) judge(k *checker, ch *channel, since position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, known := c.joined[ch]
	if known && !c.void && !c.busy && at.epoch == since.epoch && since.seq >= at.seq && !k.journal.explained(endsEpoch) {
		k.find("its part of %s is said to begin at %v; it was on it at %v", ch.name, since, at)
	}
}

// since is where a client's part of a channel begins at the latest.
func (c *client) since(ch *channel) position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joined[ch]
}

// createAll makes many clients, some hundred calls at a time.
func (w *world) createAll(ctx context.Context, all []*client) error {
	for len(all) > 0 {
		var calls []call
		n := 0
		for n < len(all) && len(calls)+1+len(all[n].channels) <= 500 {
			calls = append(calls, all[n].calls()...)
			n++
		}
		replies, err := w.backend.insist(ctx, calls)
		if err != nil {
			return err
		}
		for _, c := range all[:n] {
			if k := 1 + len(c.channels); !c.take(replies[:k]) {
				return fmt.Errorf("%s cannot be made: %v", c.id, replies[0].Error)
			}
			replies = replies[1+len(c.channels):]
		}
		all = all[n:]
	}
	return nil
}

// kill has clients die and be made again at once.
func (w *world) kill(ctx context.Context, all []*client) error {
	var calls []call
	for _, c := range all {
		c.mu.Lock()
		c.killed, c.void = time.Now(), true
		c.mu.Unlock()
		calls = append(calls, call{"2.0", "kill_client", map[string]any{"client_id": c.id}, 0})
	}
	_, err := w.backend.insist(ctx, calls)
	for _, c := range all {
		c.remake(w)
	}
	return err
}
