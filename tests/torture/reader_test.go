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
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A wrong is a mistake that a reader makes on purpose, so that it can be seen
// whether the verdict notices.
type wrong uint8

const (
	right      wrong = iota
	eager            // moves its cursor when the first bytes of an answer have come
	hasty            // takes what has come of a cut answer, and its cursor
	deafToGaps       // does not note gaps
	deafToSkips
	deafToChannels
	forgetful // does not drop what it has seen
)

// A reader is a strict little client of /longpoll. It moves its cursor only
// when a whole answer has come.
type reader struct {
	name    string
	clients []string
	world   *world
	base    string // URL before the path
	rand    *rand.Rand
	wrong   wrong

	reloads int // how often it may still forget where it was
	session string
	http    http.Client
	cursor  position
	keys    []string // that the last request was made with
	ledger  *ledger
	failed  int // requests without an answer
	broken  int // answers that did not come whole
}

func newReader(w *world, name, addr string, clients []string) *reader {
	r := &reader{name: name, clients: clients, world: w, base: "http://" + addr, ledger: newLedger(),
		rand: rand.New(rand.NewPCG(w.seed, uint64(len(w.readers))+100))}
	if w.plan.reloads {
		r.reloads = 4
	}
	if r.rand.IntN(2) == 0 {
		r.session = "session-" + name
	}
	r.http = http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableCompression: true}}
	return r
}

// run reads until it has everything up to the position final, which is there
// when the backend has said its last.
func (r *reader) run(ctx context.Context) error {
	defer r.http.CloseIdleConnections()
	for range 1_000_000 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("reader %s stands at %v and wants %v: %w", r.name, r.cursor, r.world.final(), err)
		}
		if end := r.world.final(); !end.none() && r.cursor.epoch == end.epoch && r.cursor.seq >= end.seq {
			return nil
		}
		if r.reloads > 0 && r.rand.IntN(50) == 0 {
			r.reloads--
			r.cursor = position{} // the page has been loaded again
			r.ledger.forget()
		}
		if err := r.poll(ctx); err != nil {
			pause(ctx, time.Duration(1+r.rand.IntN(4))*time.Millisecond)
		}
	}
	return fmt.Errorf("reader %s does not come to an end", r.name)
}

// pause is how long a client that found nobody waits before it tries again.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// errAgain: there was no answer to be taken.
var errAgain = errors.New("no answer")

// poll asks once. The error says that there was nothing to be had.
func (r *reader) poll(ctx context.Context) error {
	req, callback := r.request(ctx)
	req.Close = r.rand.IntN(8) == 0 // or one connection without faults would last for ever
	asked := r.world.truth.tick()
	resp, err := r.http.Do(req)
	if err != nil {
		r.failed++
		return errAgain
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.ContentLength < 0 || int64(len(body)) != resp.ContentLength {
		if err == nil && resp.ContentLength < 0 && resp.StatusCode == http.StatusOK {
			r.ledger.fault("an answer without a length")
		}
		r.broken++
		r.cut(asked, body)
		return errAgain
	}
	return r.answered(ctx, asked, resp, body, callback)
}

// answered looks at a whole answer.
func (r *reader) answered(ctx context.Context, asked int64, resp *http.Response, body []byte, callback bool) error {
	want := "application/json"
	if resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusRequestTimeout {
		return errAgain // of our request only a part has come there
	}
	if callback {
		want = "text/javascript"
		var ok1, ok2 bool
		body, ok1 = bytes.CutPrefix(body, []byte("/**/cb("))
		body, ok2 = bytes.CutSuffix(body, []byte(");"))
		if !ok1 || !ok2 {
			r.ledger.fault("no call of the callback: %d %.200s", resp.StatusCode, body)
			return errAgain
		}
	}
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, want) {
		r.ledger.fault("Content-Type: %q, want %q: %d %.200s", got, want, resp.StatusCode, body)
		return errAgain
	}
	b, err := parseBatch(body)
	if err != nil {
		r.ledger.fault("%d: %v in %.300s", resp.StatusCode, err, body)
		return errAgain
	}
	if b.Error != nil {
		if code := b.Error.Code; code != 400 && code != 429 && code != 503 {
			r.ledger.fault("error %+v", *b.Error)
		}
		return errAgain
	}
	r.take(asked, b)
	return r.obey(ctx, b)
}

// take enters what has come.
func (r *reader) take(asked int64, b batch) {
	keep := b.Signals[:0:0]
	for _, s := range b.Signals {
		if r.wrong == deafToGaps && s.Type == "gap" || r.wrong == deafToSkips && s.Type == "skip" ||
			r.wrong == deafToChannels && s.Type == "channels" && len(r.ledger.answers) > 0 {
			continue
		}
		keep = append(keep, s)
	}
	b.Signals = keep
	r.ledger.take(answer{asked, r.world.truth.tick(), r.cursor, b}, r.wrong != forgetful)
	if !b.Cursor.none() {
		r.cursor = b.Cursor
		r.world.stands(r.name, r.cursor)
	}
}

// obey does what the signals ask for.
func (r *reader) obey(ctx context.Context, b batch) error {
	for _, s := range b.Signals {
		switch s.Type {
		case "gone":
			if b.Cursor.none() && len(b.Messages) > 0 {
				r.ledger.fault("messages for somebody who is gone")
			}
			for i, c := range r.clients {
				if c == s.Client {
					r.world.keys.after(ctx, c, r.keys[i])
				}
			}
		case "superseded":
			r.ledger.fault("superseded by nobody")
		case "drain":
			return errAgain
		}
	}
	return nil
}

// request makes the next request, in one of the forms there are.
func (r *reader) request(ctx context.Context) (req *http.Request, callback bool) {
	r.keys = r.keys[:0]
	var plain, escaped []string
	type client struct {
		ID  string `json:"id"`
		Key string `json:"key"`
	}
	var clients []client
	for _, c := range r.clients {
		key := r.world.keys.after(ctx, c, "")
		r.keys = append(r.keys, key)
		plain = append(plain, c+"_!!_"+key)
		escaped = append(escaped, strings.ReplaceAll(url.QueryEscape(c), "+", "%20")+"_!!_"+key)
		clients = append(clients, client{c, key})
	}
	query, said := url.Values{}, map[string]any{"clients": clients}
	wait := 20 + r.rand.IntN(200)
	query.Set("wait", strconv.Itoa(wait))
	said["wait"] = wait
	if !r.cursor.none() {
		query.Set("cursor", r.cursor.String())
		said["cursor"] = r.cursor
	}
	if r.session != "" {
		query.Set("session", r.session)
		said["session"] = r.session
	}
	switch r.rand.IntN(4) {
	case 0: // everything in the query
		query["client_id"] = plain
		req = r.get(ctx, query)
	case 1: // by a script
		query["client_id"] = plain
		query.Set("callback", "cb")
		return r.get(ctx, query), true
	case 2: // in the header
		req = r.get(ctx, query)
		req.Header.Set("Authorization", "Shaveet "+strings.Join(escaped, ", "))
	case 3: // in the body
		body, _ := json.Marshal(said)
		req, _ = http.NewRequestWithContext(ctx, "POST", r.base+"/longpoll", bytes.NewReader(body))
		req.Header.Set("Content-Type", "text/plain")
	}
	return req, false
}

func (r *reader) get(ctx context.Context, query url.Values) *http.Request {
	req, err := http.NewRequestWithContext(ctx, "GET", r.base+"/longpoll?"+query.Encode(), nil)
	if err != nil {
		panic(err)
	}
	return req
}

var (
	cursorOf   = regexp.MustCompile(`"cursor":"([^"]*)"`)
	messagesOf = regexp.MustCompile(`\{"channel":"[^"]*","id":\d+,"pos":"[^"]*","sender":"[^"]*","data":\{[^}]*\},"time":\d+\}`)
)

// cut is where readers go wrong: an answer has not come whole.
func (r *reader) cut(asked int64, part []byte) {
	if r.wrong != eager && r.wrong != hasty {
		return
	}
	found := cursorOf.FindSubmatch(part)
	if found == nil {
		return
	}
	at, err := parsePosition(string(found[1]))
	if err != nil || at.epoch != r.cursor.epoch {
		return
	}
	if r.wrong == hasty {
		b := batch{Cursor: at}
		for _, text := range messagesOf.FindAll(part, -1) {
			var m message
			if json.Unmarshal(text, &m) == nil {
				b.Messages = append(b.Messages, m)
			}
		}
		r.take(asked, b)
	}
	r.cursor = at
}
