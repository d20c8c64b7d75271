package main

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A story is what happens to a chooser, a word for each step:
//
//	start      a round begins
//	NAME       it is what is in use
//	open       something has come of what was just opened
//	more       something else has come
//	fail+      it fails before it has brought anything, and another is to follow
//	fail-      the same, and a wait is to follow
//	cut+ cut-  it breaks after it has
//	no+ no-    it fails, and would again
//	a time     passes
func tell(t *testing.T, c *chooser, story string) {
	t.Helper()
	for i, word := range strings.Fields(story) {
		kind, sign := strings.TrimRight(word, "+-"), word[len(word)-1]
		switch kind {
		case "start":
			c.restart()
		case "open", "more":
			c.heard(kind == "open")
		case "fail", "cut", "no":
			if another := c.failed(kind == "cut", kind == "no"); another != (sign == '+') {
				t.Fatalf("word %d, %s: another %v; round %v", i+1, word, another, c.round)
			}
		default:
			if d, err := time.ParseDuration(word); err == nil {
				time.Sleep(d)
			} else if c.current() != word {
				t.Fatalf("word %d: %s is in use, and not %s", i+1, c.current(), word)
			}
		}
	}
}

func TestChooser(t *testing.T) {
	for name, story := range map[string]string{
		"the best works":                  "start websocket open more",
		"the next ones follow at once":    "start websocket fail+ sse fail+ stream fail+ longpoll open",
		"none works":                      "start fail+ fail+ fail+ longpoll fail-",
		"later one of the others":         "start fail+ fail+ fail+ fail- start websocket fail+ sse fail- start websocket fail+ stream fail- start websocket fail+ longpoll fail- start websocket fail-",
		"it may come back meanwhile":      "start fail+ fail+ fail+ fail- start websocket open cut- start websocket fail+ sse",
		"a cut is forgiven twice":         "start open cut- start websocket open cut- start websocket open cut+ sse",
		"and forgotten when it is proved": "start open cut- start open cut- start open 15s more cut- start websocket open cut-",
		"who was proved may be away":      "start open 15s more cut- start websocket fail- start websocket fail+ sse",
		"who keeps silent is not open":    "start open 1s fail+ sse open",
		"unless it was proved":            "start open 20s more fail- start websocket",
		"a refusal is not forgiven":       "start open 15s more cut- start websocket no+ sse",
		"what works is the favourite":     "start fail+ fail+ stream open 15s more cut- start stream fail- start stream fail+ websocket fail+ sse",
		"but not for ever":                "start fail+ fail+ stream open 11m more cut- start websocket fail+ stream open",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tell(t, newChooser(transportNames()), story) })
		})
	}
}

// A single transport is never followed by another.
func TestChooserOfOne(t *testing.T) {
	for _, name := range transportNames() {
		tell(t, newChooser([]string{name}), "start "+name+" fail- start "+name+" open cut- start "+name+" no- start "+name)
	}
	if !slices.Equal(transportNames(), []string{"websocket", "sse", "stream", "longpoll"}) {
		t.Errorf("the order is %v", transportNames())
	}
}
