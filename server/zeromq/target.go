package zeromq

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/shaveet/shaveet/server/hub"
)

// A target says which channel a message goes to.
type target struct {
	before, after string
	topic         bool   // the first frame stands between them
	field         string // or what this field of the data is; "": nothing does
}

// parseTarget reads a channel's name in which something may stand for a part of
// the message.
func parseTarget(s string) (t target, err error) {
	before, rest, found := strings.Cut(s, "{")
	if !found {
		if s == "" {
			return t, errors.New("must be given")
		}
		return target{before: s}, nil
	}
	what, after, closed := strings.Cut(rest, "}")
	field, isField := strings.CutPrefix(what, "data.")
	switch {
	case !closed || strings.ContainsAny(after, "{}"):
		return t, fmt.Errorf("%q: must have one {topic} or {data.NAME} at most", s)
	case what == "topic":
		return target{before: before, after: after, topic: true}, nil
	case isField && field != "":
		return target{before: before, after: after, field: field}, nil
	}
	return t, fmt.Errorf("%q: {%s} is neither {topic} nor {data.NAME}", s, what)
}

// check says whether any message could go there.
func (t target) check() error {
	name := t.before + t.after
	if t.chosen() {
		name += "x"
	}
	return hub.CheckChannelName(name, len(name)) // who knows how long it may be is the hub
}

// chosen reports whether messages have a say in where they go.
func (t target) chosen() bool { return t.topic || t.field != "" }

var (
	errFrames = errors.New("it must have one frame, or a topic and one frame")
	errTopic  = errors.New("it must have a topic and one frame")
	errField  = errors.New("its data have no such string")
)

// channel returns where a message goes. Of fields of one name the last counts,
// as it does for browsers.
func (t target) channel(frames [][]byte) (string, error) {
	switch {
	case t.topic && len(frames) != 2:
		return "", errTopic
	case len(frames) > 2:
		return "", errFrames
	case t.topic:
		return t.before + string(frames[0]) + t.after, nil
	case t.field != "":
		var fields map[string]json.RawMessage
		var name *string // null is none
		if json.Unmarshal(frames[len(frames)-1], &fields) != nil || json.Unmarshal(fields[t.field], &name) != nil || name == nil {
			return "", errField
		}
		return t.before + *name + t.after, nil
	}
	return t.before, nil
}
