package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// client is who reads; all pages of a world are tabs of the same user.
const client = "alice"

// A backend serves the pages, and tells them the key. It makes the client and
// puts it on its channels whenever it is asked for the key: a server that was
// started again has forgotten everybody.
type backend struct {
	admin    *admin
	channels []string
	truth    *truth
	entering sync.Mutex // one at a time
	keys     int        // handed out so far; guarded by entering
}

// serve starts the site and returns its address.
func (b *backend) serve(t *testing.T) string {
	t.Helper()
	dist := filepath.Join(live.Root(t), "client-js", "dist")
	files := make(map[string][]byte)
	for path, file := range map[string]string{
		"/": "page.html", "/page.js": "page.js",
		"/shaveet.js": filepath.Join(dist, "shaveet.js"), "/tabs.mjs": filepath.Join(dist, "tabs.mjs"),
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = text
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/key" {
			b.key(w, r)
			return
		}
		text, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		types := map[string]string{".js": "text/javascript", ".mjs": "text/javascript"}
		if kind := types[filepath.Ext(r.URL.Path)]; kind != "" {
			w.Header().Set("Content-Type", kind)
		}
		w.Write(text)
	}))
	t.Cleanup(site.Close)
	return site.Listener.Addr().String()
}

func (b *backend) key(w http.ResponseWriter, r *http.Request) {
	key, err := b.enter(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprint(w, key)
}

// enter makes the client and puts it on all channels, and notes since when it
// is on them if it was not yet.
func (b *backend) enter(ctx context.Context) (key string, err error) {
	b.entering.Lock()
	defer b.entering.Unlock()
	calls := []call{{"2.0", "create_client", map[string]any{"client_id": client}, 0}}
	for i, channel := range b.channels {
		calls = append(calls, call{"2.0", "subscribe", map[string]any{"client_id": client, "channel_name": channel, "position": true}, i + 1})
	}
	var replies []reply
	if err := b.admin.post(ctx, calls, &replies); err != nil {
		return "", err
	}
	since := make(map[string]position)
	for _, r := range replies {
		if r.Error != nil {
			return "", r.Error
		}
		if r.ID == 0 {
			err = json.Unmarshal(r.Result, &key)
		} else {
			var at struct{ Position position }
			err = json.Unmarshal(r.Result, &at)
			since[b.channels[r.ID-1]] = at.Position
		}
		if err != nil {
			return "", err
		}
	}
	b.keys++
	b.truth.mu.Lock()
	defer b.truth.mu.Unlock()
	if epoch := since[b.channels[0]].epoch; b.truth.entered[epoch] == nil {
		b.truth.entered[epoch] = since
	}
	return key, nil
}

// An admin calls the server, by the door that no fault reaches.
type admin struct {
	url  string
	http http.Client
}

func newAdmin(t *testing.T, url string) *admin {
	a := &admin{url: url + "/", http: http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}}
	t.Cleanup(a.http.CloseIdleConnections)
	return a
}

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

// post asks once; after an error it is not known what has happened.
func (a *admin) post(ctx context.Context, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", a.url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// do makes one call.
func (a *admin) do(ctx context.Context, method string, params, into any) error {
	var r reply
	if err := a.post(ctx, call{"2.0", method, params, 1}, &r); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if r.Error != nil {
		return fmt.Errorf("%s: %w", method, r.Error)
	}
	return json.Unmarshal(r.Result, into)
}
