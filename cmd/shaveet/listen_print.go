package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// A message as it is on the wire, and what of it is printed.
type message struct {
	raw json.RawMessage
	at  hub.Position

	Channel string
	ID      uint64
	Pos     string
	Sender  json.RawMessage
	Data    json.RawMessage
	Time    int64 // Unix ms

	Event    string // not "": an event
	Args     []json.RawMessage
	Volatile bool
}

func parseMessage(raw json.RawMessage) (m message, err error) {
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("the server sent a message that is none: %w", err)
	}
	m.raw = raw
	m.at, err = hub.ParsePosition(m.Pos)
	return m, err
}

// take prints a batch: first its signals, as their order is, then its messages.
// Signals that interrupt the reading come last, or messages would wait for it
// to go on.
func (l *listener) take(ctx context.Context, b *batch) error {
	var last []wireSignal
	for _, s := range b.Signals {
		if s.interrupts() {
			last = append(last, s)
		} else if err := l.signal(ctx, s); err != nil {
			return err
		}
	}
	if err := l.printNew(b.Messages); err != nil {
		return err
	}
	for _, s := range last {
		if err := l.signal(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// printNew prints the messages that the history did not have.
func (l *listener) printNew(messages []json.RawMessage) error {
	for _, raw := range messages {
		m, err := parseMessage(raw)
		if err != nil {
			return err
		}
		if before := l.printed[m.Channel]; before.Epoch == m.at.Epoch && m.at.Seq <= before.Seq {
			continue
		}
		if err := l.print(m); err != nil {
			return err
		}
	}
	return nil
}

// print prints one message. The error is errEnough after the last.
func (l *listener) print(m message) error {
	text := oneLine(m.raw)
	if !l.asJSON {
		at := time.UnixMilli(m.Time).Format(time.TimeOnly)
		text = fmt.Sprintf("%s %s %s %s %s", at, printable(m.Channel), m.number(), shown(m.Sender), m.said())
	}
	if err := l.put(text); err != nil {
		return err
	}
	if l.endless {
		return nil
	}
	if l.left--; l.left > 0 {
		return nil
	}
	return errEnough
}

// number is the message's own; what is volatile has none.
func (m *message) number() string {
	if m.Volatile {
		return "#-"
	}
	return fmt.Sprintf("#%d", m.ID)
}

// said is what was said, for people: an event is written as a call.
func (m *message) said() string {
	if m.Event == "" {
		return shown(m.Data)
	}
	var args []string
	for _, arg := range m.Args {
		args = append(args, printable(oneLine(arg)))
	}
	return printable(m.Event) + "(" + strings.Join(args, ", ") + ")"
}

// put prints a line. Who has closed the pipe that we write to, as head does,
// has had enough. That shows when there is something to print, not before.
func (l *listener) put(text string) error {
	_, err := fmt.Fprintln(l.stdout, text)
	if isClosedPipe(err) {
		return errEnough
	}
	return err
}

func oneLine(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// shown is a value for people: a string as it is, anything else as JSON, and a
// dash where there is nothing.
func shown(raw json.RawMessage) string {
	var text string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "-"
	case json.Unmarshal(raw, &text) == nil:
		return printable(text)
	}
	return printable(oneLine(raw))
}

// printable makes a text safe for a terminal: what is not to be seen, or moves
// the cursor, or turns the direction, is written as in Go.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}

// A wireSignal is a signal of any type, with the members of all.
type wireSignal struct {
	raw json.RawMessage

	Type     string
	Channel  string
	From, To string
	Reason   string
	Cursor   string
	Joined   string
	Left     string
	Count    int
	Resync   bool
	RetryMS  int64 `json:"retry_ms"`
	Channels map[string]json.RawMessage
}

func (s *wireSignal) UnmarshalJSON(raw []byte) error {
	type plain wireSignal
	if err := json.Unmarshal(raw, (*plain)(s)); err != nil {
		return err
	}
	s.raw = bytes.Clone(raw)
	return nil
}

// interrupts reports whether s is for who has to stop reading for a while.
func (s wireSignal) interrupts() bool { return s.Type == "drain" || s.Type == "gone" }

// signal acts on a signal. Of what it does not know it says nothing.
func (l *listener) signal(ctx context.Context, s wireSignal) error {
	switch s.Type {
	case "gap":
		l.sayGap(s.Channel, s.From, s.To, s.Reason)
	case "reset":
		l.say("reset: the server's log has begun anew; reading on from %s, what was said between is lost", s.Cursor)
	case "presence":
		return l.showPresence(s)
	case "channels":
		return l.stayOn(ctx, s.Channels)
	case "superseded":
		l.say("somebody else reads as this session; reading on as another")
		l.follower.newSession()
	case "drain":
		l.say("the server asks its readers to leave for a moment")
		return pause(ctx, time.Duration(s.RetryMS)*time.Millisecond)
	case "gone":
		return l.rejoin(ctx)
	}
	return nil
}

// stayOn subscribes again to what we were taken off, which a deleted channel
// does to all.
func (l *listener) stayOn(ctx context.Context, now map[string]json.RawMessage) error {
	for _, channel := range l.channels {
		if _, ok := now[channel]; ok {
			continue
		}
		l.say("taken off %s, or it was deleted; subscribing to it again", channel)
		if err := l.subscribe(ctx, channel); err != nil && !hasCode(err, rpcUnknownClient) {
			return err
		}
	}
	return nil
}

// showPresence prints who came or went, unless that was us.
func (l *listener) showPresence(s wireSignal) error {
	if !l.presence || s.Joined == l.client || s.Left == l.client {
		return nil
	}
	text := oneLine(s.raw)
	if !l.asJSON {
		text = time.Now().Format(time.TimeOnly) + " " + printable(s.Channel) + " " + s.presence()
	}
	return l.put(text)
}

func (s wireSignal) presence() string {
	switch {
	case s.Joined != "":
		return "+ " + printable(s.Joined)
	case s.Left != "":
		return "- " + printable(s.Left) + " (" + printable(s.Reason) + ")"
	case s.Resync:
		return "? some joins and leaves were missed"
	}
	return fmt.Sprintf("= %d members", s.Count)
}
