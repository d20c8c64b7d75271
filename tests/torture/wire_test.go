package torture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// A position is a place in one life of the log, read without help of the
// server's own code.
type position struct {
	epoch string
	seq   uint64
}

func (p position) none() bool { return p.epoch == "" }

func (p position) String() string {
	if p.none() {
		return "none"
	}
	return p.epoch + "." + strconv.FormatUint(p.seq, 10)
}

func parsePosition(s string) (position, error) {
	if len(s) < 18 || s[16] != '.' {
		return position{}, fmt.Errorf("%q is no position", s)
	}
	for _, c := range s[:16] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return position{}, fmt.Errorf("%q is no position", s)
		}
	}
	seq, err := strconv.ParseUint(s[17:], 10, 64)
	if err != nil || strconv.FormatUint(seq, 10) != s[17:] {
		return position{}, fmt.Errorf("%q is no position", s)
	}
	return position{s[:16], seq}, nil
}

func (p *position) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	var err error
	*p, err = parsePosition(s)
	return err
}

func (p position) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// A message as readers get it. The order of the fields is that of the wire.
type message struct {
	Channel string   `json:"channel"`
	ID      uint64   `json:"id"`
	Pos     position `json:"pos"`
	Sender  string   `json:"sender"`
	Data    content  `json:"data"`
	Time    int64    `json:"time"`
	System  bool     `json:"system,omitempty"`
}

// content is what the messages of these tests say: their number.
type content struct {
	N   int    `json:"n"`
	Pad string `json:"pad"`
}

type membership struct {
	Since position `json:"since"`
	ID    uint64   `json:"id"`
}

type signal struct {
	Type     string                `json:"type"`
	Channel  string                `json:"channel"`
	Channels map[string]membership `json:"channels"`
	Joined   string                `json:"joined"`
	Left     string                `json:"left"`
	From     position              `json:"from"`
	To       position              `json:"to"`
	Reason   string                `json:"reason"`
	Count    *int                  `json:"count"`
	Resync   bool                  `json:"resync"`
	ID       uint64                `json:"id"`
	Cursor   position              `json:"cursor"`
	Client   string                `json:"client"`
	RetryMS  *int64                `json:"retry_ms"`
}

// fits reports whether s has what its type has, as far as a reader needs it.
func (s *signal) fits() bool {
	switch s.Type {
	case "gap":
		return s.Channel != "" && s.From.epoch == s.To.epoch && s.From.seq < s.To.seq && s.Reason != ""
	case "channels":
		return s.Channels != nil
	case "skip":
		return s.Channel != "" && s.ID > 0
	case "presence":
		one := s.ID > 0 && (s.Joined != "" || s.Left != "" && s.Reason != "")
		return s.Channel != "" && (one || s.Count != nil || s.Resync)
	case "reset":
		return !s.Cursor.none()
	case "gone":
		return s.Client != ""
	case "drain":
		return s.RetryMS != nil
	case "superseded":
		return true
	}
	return false
}

type batch struct {
	Cursor   position
	Signals  []signal
	Messages []message
	More     bool
	Error    *refusal
	part     bool // it has come by events, and its last ones have not
}

type refusal struct {
	Code    int    `json:"code"`
	Type    string `json:"type"`
	Message string `json:"message"`
	RetryMS int64  `json:"retry_ms"`
}

// parseBatch reads an answer, and takes nothing that is not as it was promised.
func parseBatch(body []byte) (batch, error) {
	var raw struct {
		Cursor   position          `json:"cursor"`
		Signals  []signal          `json:"signals"`
		Messages []json.RawMessage `json:"messages"`
		More     bool              `json:"more"`
		Error    *refusal          `json:"error"`
	}
	err := strictly(body, &raw)
	if err != nil {
		return batch{}, err
	}
	b := batch{raw.Cursor, raw.Signals, make([]message, len(raw.Messages)), raw.More, raw.Error, false}
	if b.Error != nil {
		return b, nil
	}
	if raw.Signals == nil || raw.Messages == nil {
		return batch{}, errors.New("signals and messages must be there")
	}
	for i := range b.Signals {
		if !b.Signals[i].fits() {
			return batch{}, fmt.Errorf("a signal is not whole: %+v", b.Signals[i])
		}
	}
	for i, m := range raw.Messages {
		if b.Messages[i], err = parseMessage(m, i%8 == 0); err != nil {
			return batch{}, err
		}
	}
	return b, nil
}

// parseMessage reads a message. Whether it is so to the byte is dear to find
// out, and what holds for some holds for all.
func parseMessage(text []byte, toTheByte bool) (message, error) {
	var m message
	if err := strictly(text, &m); err != nil {
		return m, err
	}
	if toTheByte {
		if again, _ := json.Marshal(m); !bytes.Equal(again, text) {
			return m, fmt.Errorf("a message is\n%s, want\n%s", text, again)
		}
	}
	return m, nil
}

// parseSignal reads a signal that comes by itself.
func parseSignal(text []byte) (signal, error) {
	var s signal
	err := strictly(text, &s)
	if err == nil && !s.fits() {
		err = fmt.Errorf("a signal is not whole: %+v", s)
	}
	return s, err
}

// strictly decodes one JSON text and nothing else.
func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON")
	}
	return nil
}
