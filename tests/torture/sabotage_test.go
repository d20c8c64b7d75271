package torture

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/tests/torture/faultproxy"
)

// TestTheVerdictNotices what readers and servers may do wrong. Each mistake is
// made on purpose, in a run that is judged well without it. Whether it does
// harm is up to chance, so there are some seeds for it to do so.
func TestTheVerdictNotices(t *testing.T) {
	noLeaks(t)
	for _, tt := range []struct {
		name  string
		wrong wrong        // what the reader does wrong
		lie   func(*loose) // what has been done to answers on their way
		plan  func(*plan)
		want  string // one of these is found, apart from what the reader finds itself
	}{
		{name: "the cursor moves with the first bytes", wrong: eager, plan: cutAnswers, want: "passed over"},
		{name: "a cut answer is taken", wrong: hasty, plan: cutAnswers, want: "missing without a word"},
		{name: "gaps are ignored", wrong: deafToGaps, plan: smallWindow, want: "missing without a word"},
		{name: "skips are ignored", wrong: deafToSkips, plan: withExcludes, want: "missing without a word"},
		{name: "memberships are ignored", wrong: deafToChannels, plan: comingAndGoing, want: "missing without a word"},
		{name: "repeats are kept", wrong: forgetful, plan: withReloads, want: "is kept twice"},
		{name: "a message is dropped", lie: drop, want: "missing without a word"},
		{name: "a message comes late", lie: swap, want: "comes after"},
		{name: "a message comes twice", lie: double, want: "comes after"},
		{name: "a message is changed", lie: change, want: "has been changed"},
		{name: "a message is invented", lie: invent, want: "was never said there"},
		{name: "a hole is announced that is none", lie: excuse, want: "a false gap"},
		{name: "the cursor is ahead", lie: hurry, want: "missing without a word"},
		{name: "nobody is told of a new life", lie: hush, plan: withRestarts, want: "and reset is false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var noticed []string
			for seed := range uint64(8) {
				p := calmPlan(seed)
				if tt.plan != nil {
					tt.plan(p)
				}
				var relay func(string) string
				if tt.lie != nil {
					relay = func(to string) string { return liar(t, to, tt.lie) }
				}
				_, noticed = torture(t, seed, p, &inside{cfg: settings(p)}, relay, tt.wrong)
				if slices.ContainsFunc(noticed, func(f string) bool { return strings.Contains(f, tt.want) && !strings.Contains(f, "says itself") }) {
					return
				}
			}
			t.Errorf("nobody notices; the last seed's findings: %q", noticed)
		})
	}
}

// TestTheVerdictIsFair: the same runs, with nothing wrong.
func TestTheVerdictIsFair(t *testing.T) {
	noLeaks(t)
	for i, change := range []func(*plan){cutAnswers, smallWindow, withExcludes, comingAndGoing, withReloads, withRestarts} {
		p := calmPlan(uint64(i))
		change(p)
		_, findings := torture(t, uint64(i), p, &inside{cfg: settings(p)}, func(to string) string { return liar(t, to, nil) }, right)
		for _, f := range findings {
			t.Errorf("plan %d: %s", i, f)
		}
	}
}

// calmPlan is one in which nothing happens.
func calmPlan(seed uint64) *plan {
	return &plan{messages: 600, publishers: 1, burst: 10, batch: 1000, notices: 100, channels: []string{"ch0", "ch1"},
		readers: [][]string{{"alice"}}, lulls: seed%2 == 0}
}

func cutAnswers(p *plan) {
	p.burst, p.messages = 100, 3000
	p.faults = faultproxy.Faults{Cut: 500, Half: 200, Reach: 1 << 17}
}
func smallWindow(p *plan)  { p.keepMessages, p.burst = 3, 50 }
func withExcludes(p *plan) { p.excludes = true }
func comingAndGoing(p *plan) {
	p.deeds = []deed{leaveAndJoin, leaveAndJoin, leaveAndJoin, leaveAndJoin}
}
func withReloads(p *plan)  { p.reloads = true }
func withRestarts(p *plan) { p.deeds = []deed{restart, powerCut} }

// loose is a batch that can be changed.
type loose struct {
	Cursor   string            `json:"cursor,omitempty"`
	Signals  []json.RawMessage `json:"signals"`
	Messages []message         `json:"messages"`
	More     bool              `json:"more,omitempty"`
}

// chosen are the messages that are lied about, always the same.
func chosen(m message) bool { return m.Data.N%50 == 7 }

func drop(b *loose) { b.Messages = slices.DeleteFunc(b.Messages, chosen) }

func swap(b *loose) {
	if n := len(b.Messages); n > 1 {
		b.Messages[0], b.Messages[n-1] = b.Messages[n-1], b.Messages[0]
	}
}

func double(b *loose) {
	if n := len(b.Messages); n > 0 {
		b.Messages = append(b.Messages, b.Messages[n-1])
	}
}

func change(b *loose) {
	for i := range b.Messages {
		if chosen(b.Messages[i]) {
			b.Messages[i].Data.Pad += "!"
		}
	}
}

func invent(b *loose) {
	if n := len(b.Messages); n > 0 {
		b.Messages[n-1].Data.N += 1_000_000
		b.Messages[n-1].Pos.seq += 1_000_000 // where there is no true one
	}
}

// excuse drops a message and calls it lost.
func excuse(b *loose) {
	for _, m := range b.Messages {
		if chosen(m) {
			from := m.Pos
			from.seq--
			text, _ := json.Marshal(map[string]any{"type": "gap", "channel": m.Channel, "from": from, "to": m.Pos, "reason": "count"})
			b.Signals = append(b.Signals, text)
		}
	}
	drop(b)
}

// hurry names a cursor of the future.
func hurry(b *loose) {
	if at, err := parsePosition(b.Cursor); err == nil && at.seq > 20 && len(b.Messages) > 0 {
		at.seq++
		b.Cursor = at.String()
	}
}

func hush(b *loose) {
	b.Signals = slices.DeleteFunc(b.Signals, func(s json.RawMessage) bool { return bytes.Contains(s, []byte(`"reset"`)) })
}

// liar is an HTTP proxy that changes what is in the answers, and nothing else
// about them.
func liar(t *testing.T, to string, lie func(*loose)) string {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: to})
	transport := &http.Transport{DisableCompression: true}
	proxy.Transport = transport
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	proxy.ModifyResponse = func(resp *http.Response) error {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		start, end := bytes.IndexByte(body, '{'), bytes.LastIndexByte(body, '}')+1
		var b loose
		if lie != nil && resp.StatusCode == http.StatusOK && start >= 0 && json.Unmarshal(body[start:end], &b) == nil && b.Messages != nil {
			lie(&b)
			text, err := json.Marshal(b)
			if err != nil {
				return err
			}
			body = slices.Concat(body[:start], text, body[end:])
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		resp.ContentLength = int64(len(body))
		resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
		return nil
	}
	srv := httptest.NewServer(proxy)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); transport.CloseIdleConnections() })
	return srv.Listener.Addr().String()
}
