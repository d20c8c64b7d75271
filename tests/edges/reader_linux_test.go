package edges_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// A way is how a reader reads.
type way string

const (
	byPolls   way = "longpoll"
	byEvents  way = "sse"
	byLines   way = "stream"
	byFrames  way = "websocket"
	byIO      way = "socketio"
	byIOPolls way = "socketio-polling"
)

var allWays = []way{byPolls, byEvents, byLines, byFrames, byIO, byIOPolls}

// A reader is one client, on one connection at a time. It checks what it hears:
// the messages of its channel, each once, in order.
type reader struct {
	way     way
	id, key string
	channel int

	cursor string // where it is; of Socket.IO, its offset
	pid    string // of Socket.IO: by which it comes back as the same
	next   uint32 // the number of the message that it waits for
	faults []string

	talk
	deaf bool // it reads nothing
}

// A talk is what a reader knows of its connection, and of no other.
type talk struct {
	stands  bool   // it hears what is said
	drained bool   // it was told that the server ends
	ended   string // how the connection has ended
	headed  bool   // the head of an answer without an end has come
	body    []byte // of it, what is not a whole line or event
	sid     string // of Engine.IO
	posting bool   // what is under way says something
}

func (r *reader) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf("%s %s: ", r.way, r.id)+fmt.Sprintf(format, args...))
}

const upgradeFields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hhdmVldC1lZGdlcy0tLQ==\r\n"

// begin is what the reader says first.
func (r *reader) begin() []byte {
	switch r.way {
	case byPolls:
		return r.poll()
	case byIO:
		return []byte("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: edges\r\n" + upgradeFields + "\r\n")
	case byIOPolls:
		return r.engineGet()
	}
	fields := ""
	if r.way == byFrames {
		fields = upgradeFields
	}
	return fmt.Appendf(nil, "GET /%s?%s HTTP/1.1\r\nHost: edges\r\n%s\r\n", r.way, r.query(), fields)
}

func (r *reader) query() string {
	q := "client_id=" + r.id + "_!!_" + r.key
	if r.cursor != "" {
		q += "&cursor=" + r.cursor
	}
	return q
}

func (r *reader) poll() []byte {
	return []byte("GET /longpoll?" + r.query() + " HTTP/1.1\r\nHost: edges\r\n\r\n")
}

func (r *reader) engineGet() []byte {
	return []byte("GET /socket.io/?EIO=4&transport=polling" + r.sid + " HTTP/1.1\r\nHost: edges\r\n\r\n")
}

func (r *reader) enginePost(packet string) []byte {
	r.posting = true
	return fmt.Appendf(nil, "POST /socket.io/?EIO=4&transport=polling%s HTTP/1.1\r\nHost: edges\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n\r\n%s",
		r.sid, len(packet), packet)
}

// connect is the packet that joins the namespace: as the one it was, unless that
// one has said goodbye or has had nothing.
func (r *reader) connect() string {
	switch {
	case r.cursor == "":
		return fmt.Sprintf(`40{"client_id":%q,"key":%q,"cursor":"oldest"}`, r.id, r.key)
	case r.pid == "":
		return fmt.Sprintf(`40{"client_id":%q,"key":%q,"cursor":%q}`, r.id, r.key, r.cursor)
	}
	return fmt.Sprintf(`40{"client_id":%q,"key":%q,"pid":%q,"offset":%q}`, r.id, r.key, r.pid, r.cursor)
}

// goodbye is what a reader says who leaves in good order, where there is
// something to be said.
func (r *reader) goodbye() []byte {
	closing := frame(opClose, []byte{0x03, 0xe8})
	switch r.way {
	case byFrames:
		return closing
	case byIO:
		r.pid = "" // whoever says so comes back as somebody else
		return append(frame(opText, []byte("1")), closing...)
	}
	return nil
}

// hear takes what has come, says how much of it is done with, and what the reader
// answers. The error is how the connection has ended.
func (r *reader) hear(p []byte) (n int, reply []byte, err error) {
	for n < len(p) {
		took, said, err := r.hearOne(p[n:])
		n, reply = n+took, append(reply, said...)
		if err != nil || took == 0 {
			return n, reply, err
		}
	}
	return n, reply, nil
}

func (r *reader) hearOne(p []byte) (n int, reply []byte, err error) {
	if r.way == byPolls || r.way == byIOPolls {
		n, h, err := readAnswer(p)
		if n == 0 || err != nil {
			return n, nil, err
		}
		if r.way == byPolls {
			reply, err = r.hearPoll(h)
		} else {
			reply, err = r.hearEngine(h)
		}
		return n, reply, err
	}
	if !r.headed {
		n, h := readHead(p)
		if n > 0 && h.status != 200 && h.status != 101 {
			return n, nil, fmt.Errorf("answered %d: %.200q", h.status, p[n:])
		}
		r.headed = n > 0
		return n, nil, nil
	}
	if r.way == byFrames || r.way == byIO {
		return r.hearFrame(p)
	}
	n, piece, last := readChunk(p)
	if last {
		return n, nil, errEnded
	}
	r.hearPiece(piece)
	return n, nil, nil
}

func (r *reader) hearPoll(h head) ([]byte, error) {
	if h.status != 200 {
		return nil, fmt.Errorf("answered %d: %.200q", h.status, h.body)
	}
	r.batch(h.body)
	if h.last {
		return nil, nil // it is closed
	}
	r.stands = true
	return r.poll(), nil
}

// batch takes a batch.
func (r *reader) batch(text []byte) {
	cursor, ok := bytes.CutPrefix(text, []byte(`{"cursor":"`))
	end := bytes.IndexByte(cursor, '"')
	if !ok || end < 0 {
		r.fault("this is no batch: %.200q", text)
		return
	}
	r.texts(text)
	r.cursor = string(cursor[:end])
}

// texts checks the messages that are in a text, and looks for signals.
func (r *reader) texts(text []byte) {
	for _, bad := range []string{`"type":"gap"`, `"type":"reset"`, `"type":"gone"`, `"type":"superseded"`} {
		if bytes.Contains(text, []byte(bad)) {
			r.fault("is told %s: %.300q", bad, text)
		}
	}
	if bytes.Contains(text, []byte(`"type":"drain"`)) {
		r.drained = true
	}
	for {
		_, rest, found := bytes.Cut(text, []byte("@!"))
		if !found {
			return
		}
		m, more, whole := bytes.Cut(rest, []byte{'!'})
		text = more
		fields := strings.SplitN(string(m), ".", 3)
		if !whole || len(fields) != 3 || strings.Trim(fields[2], "x") != "" {
			r.fault("a message is damaged: %.100q", m)
			continue
		}
		channel, err1 := strconv.ParseUint(fields[0], 16, 16)
		number, err2 := strconv.ParseUint(fields[1], 16, 32)
		if err1 != nil || err2 != nil || int(channel) != r.channel {
			r.fault("a message is not for it: %.100q", m)
			continue
		}
		if uint32(number) != r.next {
			r.fault("message %d comes in the place of %d", number, r.next)
		}
		r.next = uint32(number) + 1
	}
}

// hearPiece takes a part of a stream's body.
func (r *reader) hearPiece(p []byte) {
	r.body = append(r.body, p...)
	end := []byte("\n")
	if r.way == byEvents {
		end = []byte("\n\n")
	}
	for {
		unit, rest, whole := bytes.Cut(r.body, end)
		if !whole {
			r.body = bytes.Clone(r.body)
			return
		}
		r.body = rest
		r.stands = true
		if r.way == byLines {
			r.batch(unit)
			continue
		}
		r.texts(unit)
		for line := range bytes.Lines(unit) {
			if id, ok := bytes.CutPrefix(line, []byte("id: ")); ok {
				r.cursor = string(bytes.TrimSpace(id))
			}
		}
	}
}

func (r *reader) hearFrame(p []byte) (n int, reply []byte, err error) {
	if len(p) < 10 && (len(p) < 2 || len(p) < 2+int(p[1])) {
		return 0, nil, nil
	}
	size, from := int(p[1]), 2
	switch size {
	case 126:
		size, from = int(binary.BigEndian.Uint16(p[2:])), 4
	case 127:
		size, from = int(binary.BigEndian.Uint64(p[2:])), 10
	}
	if len(p) < from+size {
		return 0, nil, nil
	}
	n, text := from+size, p[from:from+size]
	switch op := p[0]; {
	case op == 0x80|opPing:
		return n, frame(opPong, text), nil
	case op == 0x80|opClose && size >= 2:
		code := binary.BigEndian.Uint16(text)
		r.drained = r.drained || code == 1012
		return n, frame(opClose, text[:2]), fmt.Errorf("closed %d %s", code, text[2:])
	case op != 0x80|opText:
		return n, nil, fmt.Errorf("a frame begins with %#x", op)
	case r.way == byIO:
		reply, err = r.packet(text)
		return n, reply, err
	}
	r.batch(text)
	r.stands = true
	return n, nil, nil
}

// packet takes a packet that came by a WebSocket.
func (r *reader) packet(p []byte) (reply []byte, err error) {
	say, err := r.engine(p)
	if say != "" {
		reply = frame(opText, []byte(say))
	}
	return reply, err
}

// hearEngine takes an answer to a request of Engine.IO.
func (r *reader) hearEngine(h head) ([]byte, error) {
	if h.status != 200 {
		return nil, fmt.Errorf("answered %d: %.200q", h.status, h.body)
	}
	if r.posting {
		r.posting = false
		return r.engineGet(), nil
	}
	say := ""
	for p := range bytes.SplitSeq(h.body, []byte{0x1e}) {
		said, err := r.engine(p)
		if err != nil {
			return nil, err
		}
		if say != "" && said != "" {
			return nil, fmt.Errorf("there are two packets to be answered in %.200q", h.body)
		}
		say += said
	}
	switch {
	case h.last:
		return nil, nil
	case say != "":
		return r.enginePost(say), nil
	}
	return r.engineGet(), nil
}

// engine takes a packet of Engine.IO, and says with which one it is answered.
func (r *reader) engine(p []byte) (say string, err error) {
	switch {
	case bytes.HasPrefix(p, []byte("0{")):
		r.sid = "&sid=" + field(p, `"sid":"`)
		return r.connect(), nil
	case string(p) == "2":
		return "3", nil
	case string(p) == "1", string(p) == "41":
		r.drained = true
		return "", fmt.Errorf("ended by packet %s", p)
	case bytes.HasPrefix(p, []byte("40{")):
		r.pid, r.stands = field(p, `"pid":"`), true
	case bytes.HasPrefix(p, []byte(`42["message",`)):
		r.texts(p)
		at := bytes.LastIndex(p, []byte(`,"`))
		r.cursor = strings.TrimSuffix(string(p[at+2:]), `"]`)
	default:
		return "", fmt.Errorf("a packet %.200q", p)
	}
	return "", nil
}
