package browser

import (
	"testing"

	"go.uber.org/goleak"
)

// TestALeaderThatIsBehind: a tab that was frozen while others heard on comes to
// lead just when the server has died. The hole that it tells begins for each tab
// where that tab is.
func TestALeaderThatIsBehind(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	p := newPlan(1, "a leader that is behind", "websocket", false)
	p.tabs, p.messages = []string{"shared 1", "shared 2"}, 500
	p.events = []event{{at: 100, what: "freeze"}, {at: 250, what: "network down"}, {at: 260, what: "thaw"},
		{at: 265, what: "SIGKILL"}, {at: 266, what: "network up"}}
	everyNumber(t, 1, p, startChromium(t))
}
