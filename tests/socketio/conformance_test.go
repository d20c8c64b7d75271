package socketio_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// The numbers of cases in cases.mjs.
const (
	casesOfBoth = 94
	casesOfEIO3 = 31
)

// conformance is how our server is set for the cases of the protocols.
func conformance(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(live.Root(t), "deploy", "conformance.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func stockConformance(eio3 bool) map[string]any {
	return map[string]any{
		"conformance": true, "eio3": eio3,
		"engine": map[string]any{"pingInterval": 300, "pingTimeout": 200, "maxHttpBufferSize": 1_000_000},
	}
}

// TestCases has the cases of the protocols played against the stock server, by
// which they are seen to be right, and against ours.
func TestCases(t *testing.T) {
	t.Run("stock", func(t *testing.T) {
		t.Parallel()
		play(t, casesOfBoth, nil, "cases.mjs", "--stock", stock(t, stockConformance(false)).Base)
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		play(t, casesOfBoth, nil, "cases.mjs", ours(t, conformance(t)).Base)
	})
	t.Run("stock, EIO=3", func(t *testing.T) {
		t.Parallel()
		play(t, casesOfEIO3, nil, "cases.mjs", "--stock", "--eio3", stock(t, stockConformance(true)).Base)
	})
	t.Run("ours, EIO=3", func(t *testing.T) {
		t.Parallel()
		srv := ours(t, "socketio_allow_eio3 = true\n"+conformance(t))
		play(t, casesOfEIO3, nil, "cases.mjs", "--eio3", srv.Base)
		if long() { // what is new is not changed by letting in what is old
			play(t, casesOfBoth, nil, "cases.mjs", srv.Base)
		}
	})
}
