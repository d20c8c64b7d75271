package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// A socket is what a reader of Socket.IO remembers of itself.
type socket struct {
	sid     string // of Engine.IO, as part of a query
	pid     string // by which it comes back as the same
	offset  string
	open    bool // there is news from the server that it is connected
	skipped bool // it was not recovered: the next message may be any later one
}

// readSocketIO reads by Socket.IO until the connection ends.
func (r *reader) readSocketIO(l *line) error {
	r.socket.open, r.socket.sid = false, ""
	if r.way == byIOFrames {
		if err := l.upgrade("/socket.io/?EIO=4&transport=websocket"); err != nil {
			return err
		}
		return r.packets(l)
	}
	for {
		if err := r.ioPoll(l); err != nil {
			return err
		}
		if r.way == byIOUpgrade && r.socket.open {
			return r.ioUpgrade()
		}
	}
}

// packets reads what comes by a WebSocket.
func (r *reader) packets(l *line) error {
	for {
		l.patient(ioPing + ioPatience)
		p, err := l.text()
		if err != nil {
			return err
		}
		say, err := r.engine(p)
		if err != nil {
			return err
		}
		if say != "" {
			if _, err := l.Write(frame(opText, []byte(say))); err != nil {
				return err
			}
		}
		if d := r.stalls.Swap(0); d > 0 {
			time.Sleep(time.Duration(d))
		}
	}
}

// How often the server of these tests pings, and how long a reader waits beyond.
const ioPing, ioPatience = 5 * time.Second, 7 * time.Second

const ioPath = "/socket.io/?EIO=4&transport=polling"

// ioPoll asks once, and says what there is to be answered.
func (r *reader) ioPoll(l *line) error {
	if err := l.request("GET", ioPath+r.socket.sid, "", ""); err != nil {
		return err
	}
	text, err := r.ioAnswer(l)
	if err != nil {
		return err
	}
	for p := range bytes.SplitSeq(text, []byte{0x1e}) {
		say, err := r.engine(p)
		if err != nil {
			return err
		}
		if say == "" {
			continue
		}
		if err := l.request("POST", ioPath+r.socket.sid, "Content-Type: text/plain;charset=UTF-8\r\n", say); err != nil {
			return err
		}
		if _, err := r.ioAnswer(l); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) ioAnswer(l *line) ([]byte, error) {
	l.patient(ioPing + ioPatience)
	h, text, err := l.answer()
	if err == nil && h.status != 200 {
		err = fmt.Errorf("answered %d %.100s", h.status, text)
	}
	return text, err
}

// ioUpgrade goes over to a WebSocket, and reads by that.
func (r *reader) ioUpgrade() error {
	c, err := r.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	r.hold(c)
	l := newLine(c)
	if err := l.upgrade(strings.Replace(ioPath, "polling", "websocket", 1) + r.socket.sid); err != nil {
		return err
	}
	if _, err := l.Write(frame(opText, []byte("2probe"))); err != nil {
		return err
	}
	l.patient(ioPatience)
	if p, err := l.text(); err != nil || string(p) != "3probe" {
		return fmt.Errorf("a probe is answered %q, %v", p, err)
	}
	if _, err := l.Write(frame(opText, []byte("5"))); err != nil {
		return err
	}
	r.figures.upgrades.Add(1)
	return r.packets(l)
}

// connect is the packet that joins the namespace, as the one it was if it can.
func (r *reader) connect() string {
	auth := map[string]string{"client_id": r.client.id, "key": r.key}
	switch {
	case r.socket.pid != "" && r.socket.offset != "":
		auth["pid"], auth["offset"] = r.socket.pid, r.socket.offset
	case r.socket.offset != "":
		auth["cursor"] = r.socket.offset
	default:
		auth["cursor"] = "oldest"
	}
	text, _ := json.Marshal(auth) // strings
	return "40" + string(text)
}

// engine takes a packet of Engine.IO, and says with which one it is answered.
func (r *reader) engine(p []byte) (say string, err error) {
	switch {
	case bytes.HasPrefix(p, []byte("0{")):
		r.socket.sid = "&sid=" + field(p, `"sid":"`)
		return r.connect(), nil
	case string(p) == "2":
		return "3", nil
	case string(p) == "6", len(p) == 0:
		return "", nil
	case string(p) == "1", string(p) == "41":
		r.socket.pid = ""
		return "", io.EOF
	case bytes.HasPrefix(p, []byte("40{")):
		r.connected(p)
	case bytes.HasPrefix(p, []byte("44{")):
		return "", r.ioRefused(p)
	case bytes.HasPrefix(p, []byte(`42["message",`)):
		return "", r.ioMessage(p[2:])
	default:
		return "", broken{fmt.Errorf("a packet %.200q", p)}
	}
	return "", nil
}

// field is a string without escapes behind a key.
func field(text []byte, key string) string {
	_, rest, _ := bytes.Cut(text, []byte(key))
	value, _, _ := bytes.Cut(rest, []byte{'"'})
	return string(value)
}

// connected notes whether the socket is the one it was.
func (r *reader) connected(p []byte) {
	pid := field(p, `"pid":"`)
	r.socket.open = true
	if r.checker == nil {
		r.socket.pid = pid
		return
	}
	switch {
	case r.at.none():
		r.ioBegin()
	case pid != r.socket.pid:
		r.journal.note("Socket.IO: not recovered")
		r.socket.skipped = true
	default:
		r.journal.note("Socket.IO: recovered")
	}
	r.socket.pid = pid
}

// ioBegin has the reader be on its channels from where the backend has put it.
func (r *reader) ioBegin() {
	for _, st := range r.seats {
		since := r.client.since(st.channel)
		st.on, st.since = true, since.seq
		r.epoch, r.seq = r.epochs.of(since.epoch), 0
	}
}

func (r *reader) ioRefused(p []byte) error {
	if bytes.Contains(p, []byte(`"code":401`)) {
		r.client.lost(r.world, r.key)
		if r.checker != nil {
			r.gone = true
		}
		r.socket = socket{}
	}
	return io.EOF
}

// ioMessage takes a message, with where it is.
func (r *reader) ioMessage(p []byte) error {
	if r.checker == nil {
		r.figures.light.Add(1)
		at := bytes.LastIndex(p, []byte(`,"`))
		r.socket.offset = strings.TrimSuffix(string(p[at+2:]), `"]`)
		return nil
	}
	r.told = p
	var parts []json.RawMessage
	var m message
	err := json.Unmarshal(p, &parts)
	if err == nil && len(parts) != 3 {
		err = fmt.Errorf("%d parts", len(parts))
	}
	if err == nil {
		err = json.Unmarshal(parts[1], &m)
	}
	if err != nil {
		return broken{fmt.Errorf("%w: %.200q", err, p)}
	}
	r.ioPlace(&m)
	if r.message(&m) {
		r.journal.note("repeat dropped")
		return nil
	}
	r.move(m.Pos)
	r.cursor, r.socket.offset = m.Pos.String(), m.Pos.String()
	return nil
}

// ioPlace has a socket that is not the one it was go on with the next message,
// and tells of none that it was in between.
func (r *reader) ioPlace(m *message) {
	if !r.socket.skipped {
		return
	}
	r.socket.skipped = false
	epoch := r.epochs.of(m.Pos.epoch)
	if epoch == r.epoch && m.Pos.seq <= r.seq {
		return // a repeat
	}
	if epoch < r.epoch {
		r.find("Socket.IO goes back to the epoch of %v", m.Pos)
	}
	r.at, r.place = position{m.Pos.epoch, m.Pos.seq - 1}, place{epoch, m.Pos.seq - 1}
}
