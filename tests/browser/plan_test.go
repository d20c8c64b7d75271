package browser

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// A plan is what one run is like. It follows from the seed.
type plan struct {
	name     string   // of the case
	by       string   // the transport; "": all, by turns
	tabs     []string // names; those that begin with "shared" share
	messages int
	burst    int           // most messages at once
	pause    time.Duration // between two bursts
	channels []string
	events   []event // in order
}

// An event is something that happens when so many numbers have been said.
type event struct {
	at   int
	what string
	tab  int  // which of the tabs, where it is for one
	calm bool // all pages are connected first
}

func (e event) String() string { return fmt.Sprintf("%d %s", e.at, e.what) }

// deeds are what can happen, and what ends it.
var deeds = map[string]string{
	"cut":                  "", // all connections
	"snip":                 "", // the same, in the middle of something
	"network down":         "network up",
	"stall":                "flow",
	"stall before death":   "SIGKILL and flow",
	"long stall":           "", // until somebody has noticed
	"reload nginx":         "",
	"SIGKILL":              "",
	"SIGTERM":              "",
	"load again":           "", // a page
	"freeze":               "thaw",
	"another tab in front": "this tab in front",
	"offline":              "online", // and the browser knows
	"switch":               "",       // closes, and connects by the next transport
	"break":                "",       // what is read by, until there is another
}

// quick is the schedule of make test, in an order that the seed draws.
var quick = []string{
	"cut", "snip", "network down", "stall", "reload nginx", "stall before death", "SIGTERM", "load again", "freeze", "another tab in front",
}

// long has all there is, and more often.
func long() (all []string) {
	for range 4 {
		all = append(all, quick...)
	}
	return append(all, "offline", "offline", "long stall", "long stall", "SIGKILL", "SIGKILL", "SIGTERM", "load again", "freeze", "freeze")
}

// newPlan draws the plan of a seed. by: see plan.
func newPlan(seed uint64, name, by string, full bool) *plan {
	r := rand.New(rand.NewPCG(seed, 0))
	p := &plan{name: name, by: by, tabs: []string{"tab 1", "tab 2", "shared 1", "shared 2"},
		messages: 1000, burst: 12, pause: 40 * time.Millisecond, channels: []string{"news", "room", "work"}[:2+r.IntN(2)]}
	story := slices.Clone(quick)
	if full {
		p.messages, p.burst, p.pause = 10_000, 20, 80*time.Millisecond
		story = long()
	}
	if by == "" {
		switches := []string{"switch", "switch", "switch", "switch", "switch", "break"}
		story = append(story, switches...)
		if full {
			story = append(story, slices.Repeat(switches, 4)...)
		}
	}
	r.Shuffle(len(story), func(i, j int) { story[i], story[j] = story[j], story[i] })
	step := p.messages / (len(story) + 1)
	for i, what := range story {
		at := (i+1)*step + r.IntN(step/3+1)
		e := event{at: at, what: what, tab: r.IntN(len(p.tabs)), calm: r.IntN(2) == 0}
		p.events = append(p.events, e)
		if end := deeds[what]; end != "" {
			after := step / 2
			if what == "freeze" {
				after = step + step/2 // so that something else happens meanwhile
			}
			p.events = append(p.events, event{at: min(at+after, p.messages), what: end, tab: e.tab})
		}
	}
	slices.SortStableFunc(p.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return p
}

func (p *plan) String() string { return fmt.Sprintf("%d messages, %v", p.messages, p.events) }
