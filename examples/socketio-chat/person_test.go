package socketiochat_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is how long anything may take that has to happen.
const patience = 30 * time.Second

// A person is a page, by frames that are written by hand.
type person struct {
	t       *testing.T
	conn    *websocket.Conn
	sid     string
	pid     string   // by which it comes back
	offset  string   // of what it has heard last
	heard   []string // events, as name(arguments)
	past    []string // those that were looked at
	answers int      // that were asked for
}

// come connects; back is who it was, or nil.
func (s *site) come(t *testing.T, back *person) *person {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), "ws://"+s.wire.address()+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	p := &person{t: t, conn: conn}
	p.read() // the opening
	auth := ""
	if back != nil {
		auth = fmt.Sprintf(`{"pid":%q,"offset":%q}`, back.pid, back.offset)
	}
	p.write("40/chat," + auth)
	var greeting struct{ SID, PID string }
	rest, ok := strings.CutPrefix(p.read(), "40/chat,")
	if !ok || json.Unmarshal([]byte(rest), &greeting) != nil {
		t.Fatalf("it was not let in: %s", rest)
	}
	p.sid, p.pid = greeting.SID, greeting.PID
	return p
}

// enter comes in under a name.
func (s *site) enter(t *testing.T, name, room string) *person {
	t.Helper()
	p := s.come(t, nil)
	p.asks("join", room).is(true)
	p.asks("nickname", name).is(true, name)
	return p
}

func (p *person) write(text string) {
	p.t.Helper()
	if err := p.conn.Write(p.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

// read returns the next message that is no ping.
func (p *person) read() string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for {
		_, data, err := p.conn.Read(ctx)
		if err != nil {
			p.t.Fatalf("%v; it has heard %q", err, p.heard)
		}
		if string(data) != "2" {
			return string(data)
		}
		p.write("3")
	}
}

// next takes the next packet: an event, or an answer, which it returns.
func (p *person) next() (answer string) {
	p.t.Helper()
	text := p.read()
	if event, ok := strings.CutPrefix(text, "42/chat,"); ok {
		var all []json.RawMessage
		if err := json.Unmarshal([]byte(event), &all); err != nil || len(all) < 2 {
			p.t.Fatalf("%v in %s", err, event)
		}
		last := len(all) - 1
		_ = json.Unmarshal(all[last], &p.offset) // the event's position, which the server adds
		args := plain(all[1:last])
		p.heard = append(p.heard, strings.Trim(string(all[0]), `"`)+args)
		return ""
	}
	answer, ok := strings.CutPrefix(text, "43/chat,")
	if !ok {
		p.t.Fatalf("it reads %q", text)
	}
	return answer
}

// plain returns a value as JSON, of which there are many spellings, in one.
func plain(v any) string {
	text, _ := json.Marshal(v)
	var again any
	_ = json.Unmarshal(text, &again)
	text, _ = json.Marshal(again)
	return string(text)
}

// An answer is what somebody was answered.
type answer struct {
	t        *testing.T
	question string
	args     []any
}

// asks says an event and waits for the answer.
func (p *person) asks(event string, args ...any) answer {
	p.t.Helper()
	p.answers++
	question, err := json.Marshal(append([]any{event}, args...))
	if err != nil {
		p.t.Fatal(err)
	}
	id := fmt.Sprint(p.answers)
	p.write("42/chat," + id + string(question))
	for {
		text := p.next()
		rest, ok := strings.CutPrefix(text, id+"[")
		if !ok {
			continue
		}
		a := answer{t: p.t, question: string(question)}
		if err := json.Unmarshal([]byte("["+rest), &a.args); err != nil {
			p.t.Fatal(err)
		}
		return a
	}
}

// is checks the first arguments of an answer.
func (a answer) is(want ...any) {
	a.t.Helper()
	if len(a.args) < len(want) || !slices.Equal(a.args[:len(want)], want) {
		a.t.Errorf("%.100s is answered with %v, want %v", a.question, a.args, want)
	}
}

// isError checks that it is one, and returns its type.
func (a answer) isError() string {
	a.t.Helper()
	if len(a.args) == 1 {
		if object, ok := a.args[0].(map[string]any); ok {
			if fault, ok := object["error"].(map[string]any); ok && fault["message"] != "" {
				kind, _ := fault["type"].(string)
				return kind
			}
		}
	}
	a.t.Errorf("%.100s is answered with %v, want an error", a.question, a.args)
	return ""
}

// hears waits for an event, and forgets all up to it.
func (p *person) hears(is func(string) bool) string {
	p.t.Helper()
	for {
		if i := slices.IndexFunc(p.heard, is); i >= 0 {
			found := p.heard[i]
			p.past = append(p.past, p.heard[:i+1]...)
			p.heard = p.heard[i+1:]
			return found
		}
		p.next()
	}
}

// hearsSaid waits for what somebody says.
func (p *person) hearsSaid(name, text string) {
	p.t.Helper()
	want := "msg_to_room" + plain([]string{name, text})
	p.hears(func(e string) bool { return e == want })
}

// hasHeard checks what others have said to it, in all, up to an announcement
// that is made now.
func (s *site) hasHeard(t *testing.T, said map[*person][]string) {
	t.Helper()
	crier := s.come(t, nil)
	crier.asks("nickname", "crier").is(true)
	for p, want := range said {
		p.hears(func(e string) bool { return e == `announcement["crier has connected"]` })
		var got []string
		for _, event := range p.past {
			if text, ok := strings.CutPrefix(event, "msg_to_room"); ok {
				got = append(got, text)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has heard %q, want %q", p.sid, got, want)
		}
	}
	crier.write("41/chat,")
}

// hearsAnnounced waits for an announcement, and for the list after it.
func (p *person) hearsAnnounced(text string, names ...string) {
	p.t.Helper()
	want := "announcement" + plain([]string{text})
	p.hears(func(e string) bool { return e == want })
	slices.Sort(names)
	p.hears(func(e string) bool {
		list, ok := strings.CutPrefix(e, "nicknames")
		var args []json.RawMessage
		var got []string
		if !ok || json.Unmarshal([]byte(list), &args) != nil || json.Unmarshal(args[0], &got) != nil {
			return false
		}
		slices.Sort(got)
		return slices.Equal(got, names)
	})
}
