package zeromq

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/zmtp"
)

// A request is answered to whom it came from, with its envelope in front.
func TestRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		sent  []string
		asked string   // token|request; "": nobody was
		want  []string // nil: nothing
		why   reason
	}{
		"by REQ":                    {[]string{"", "q"}, "|q", []string{"", "answer to q"}, ""},
		"with a token":              {[]string{"", "secret", "q"}, "secret|q", []string{"", "answer to q"}, ""},
		"with an empty token":       {[]string{"", "", "q"}, "|q", []string{"", "answer to q"}, ""},
		"by a DEALER":               {[]string{"id", "", "q"}, "|q", []string{"id", "", "answer to q"}, ""},
		"by several":                {[]string{"a", "b", "c", "", "q"}, "|q", []string{"a", "b", "c", "", "answer to q"}, ""},
		"by several, with a token":  {[]string{"a", "b", "", "secret", "q"}, "secret|q", []string{"a", "b", "", "answer to q"}, ""},
		"a notification":            {[]string{"id", "", "!q"}, "|!q", []string{"id", "", ""}, ""},
		"an empty one":              {[]string{"", ""}, "|", []string{"", "answer to "}, ""},
		"nothing":                   {[]string{""}, "|", []string{"", "answer to "}, byShape},
		"too many frames":           {[]string{"id", "", "secret", "q", "r"}, "|", []string{"id", "", "answer to "}, byShape},
		"no empty frame":            {[]string{"q"}, "", nil, byShape},
		"no empty frame among more": {[]string{"id", "secret", "q"}, "", nil, byShape},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, hub.Limits{}, socketOf("rep"))
				p := w.peer(zmtp.DEALER)
				p.send(tt.sent...)
				if tt.want != nil {
					p.receive(tt.want...)
				}
				p.send("", "after")
				p.receive("", "answer to after")
				synctest.Wait()
				want := []string{"|after"}
				if tt.asked != "" {
					want = []string{tt.asked, "|after"}
				}
				if !slices.Equal(w.asked, want) {
					t.Errorf("asked %q, want %q", w.asked, want)
				}
				if tt.why != "" {
					w.dropped(map[reason]uint64{tt.why: 1})
				} else {
					w.dropped(nil)
				}
				sent := uint64(1)
				if tt.want != nil {
					sent++
				}
				if s := w.stats(); s.Received != 2 || s.Sent != sent {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// A request over the limits is answered where it is known who asks; elsewhere
// the connection ends, because nobody may wait for ever.
func TestRequestsOverTheLimits(t *testing.T) {
	large, many := []string{"", strings.Repeat("x", 101)}, slices.Repeat([]string{""}, 17)
	for name, frames := range map[string][]string{"large": large, "many": many} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, hub.Limits{}, socketOf("rep", func(c *Config) { c.MaxMessageBytes = 100 }))
				req, dealer := w.peer(zmtp.REQ), w.peer(zmtp.DEALER)
				req.send(frames...)
				answer, err := req.Receive()
				if err != nil || len(answer) != 2 || len(answer[0]) != 0 || !strings.Contains(string(answer[1]), `"code":-32006`) {
					t.Errorf("%q, %v", answer, err)
				}
				req.send("", "q")
				req.receive("", "answer to q")
				dealer.send(append([]string{"id"}, frames...)...)
				answer, err = dealer.Receive()
				if err != nil || len(answer) != 3 || string(answer[0]) != "id" || !strings.Contains(string(answer[2]), `"code":-32006`) {
					t.Errorf("a DEALER hears %q, %v", answer, err)
				}
				dealer.send(strings.Repeat("x", 101), "", "q") // whose answer would be for nobody knows whom
				if _, err := dealer.Receive(); !errors.Is(err, io.EOF) {
					t.Errorf("a DEALER hears %v", err)
				}
				synctest.Wait()
				w.dropped(map[reason]uint64{byLimit: 3})
				if s := w.stats(); s.Received != 4 || s.Sent != 3 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
