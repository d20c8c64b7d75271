package cluster

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A line is a connection to a server, spoken to byte by byte.
type line struct {
	net.Conn
	in *bufio.Reader
}

func newLine(c net.Conn) *line { return &line{c, bufio.NewReaderSize(c, 4096)} }

// A head is what matters of the head of a request or an answer.
type head struct {
	text    []byte // all of it
	status  int
	length  int // -1: it does not say
	chunked bool
	closing bool
	upgrade bool
}

// readHead reads up to the blank line.
func readHead(in *bufio.Reader) (h head, err error) {
	h.length = -1
	for {
		text, err := in.ReadSlice('\n')
		h.text = append(h.text, text...)
		if err != nil {
			return h, err
		}
		if len(text) <= 2 {
			break
		}
		name, value, _ := strings.Cut(string(text), ":")
		value = strings.ToLower(strings.TrimSpace(value))
		switch strings.ToLower(name) {
		case "content-length":
			h.length, err = strconv.Atoi(value)
		case "transfer-encoding":
			h.chunked = value == "chunked"
		case "connection":
			h.closing = value == "close"
		case "upgrade":
			h.upgrade = true
		}
		if err != nil || len(h.text) > 64<<10 {
			return h, fmt.Errorf("a bad head: %.200q", h.text)
		}
	}
	if len(h.text) > 12 {
		h.status, _ = strconv.Atoi(string(h.text[9:12])) // of a request it is nonsense
	}
	return h, nil
}

// answer reads a whole answer that has a length.
func (l *line) answer() (h head, body []byte, err error) {
	if h, err = readHead(l.in); err != nil {
		return h, nil, err
	}
	if h.length < 0 || h.length > 16<<20 {
		return h, nil, fmt.Errorf("an answer without a length: %.100q", h.text)
	}
	body = make([]byte, h.length)
	_, err = io.ReadFull(l.in, body)
	return h, body, err
}

var errEnded = errors.New("the stream has ended")

// chunk reads a chunk of an answer's body.
func (l *line) chunk() ([]byte, error) {
	text, err := l.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	size, err := strconv.ParseUint(strings.TrimSpace(text), 16, 24)
	if err != nil {
		return nil, fmt.Errorf("a chunk begins with %.40q", text)
	}
	piece := make([]byte, size+2)
	if _, err := io.ReadFull(l.in, piece); err != nil {
		return nil, err
	}
	if size == 0 {
		return nil, errEnded
	}
	return piece[:size], nil
}

// The opcodes of WebSockets.
const opText, opClose, opPing, opPong = 1, 8, 9, 10

// frame is a frame as clients send it, masked with zeros.
func frame(op byte, data []byte) []byte {
	p := []byte{0x80 | op, 0x80 | byte(len(data))}
	if len(data) > 125 {
		p = binary.BigEndian.AppendUint16([]byte{0x80 | op, 0x80 | 126}, uint16(len(data)))
	}
	return append(append(p, 0, 0, 0, 0), data...)
}

// A closed error is how a WebSocket was closed.
type closed struct{ code int }

func (c closed) Error() string { return fmt.Sprint("closed with ", c.code) }

// text reads the next text, and answers pings meanwhile.
func (l *line) text() ([]byte, error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(l.in, head[:]); err != nil {
			return nil, err
		}
		size := uint64(head[1])
		if size > 125 {
			wide := make([]byte, map[uint64]int{126: 2, 127: 8}[size])
			if _, err := io.ReadFull(l.in, wide); err != nil {
				return nil, err
			}
			size = 0
			for _, b := range wide {
				size = size<<8 | uint64(b)
			}
		}
		if size > 16<<20 {
			return nil, fmt.Errorf("a frame of %d bytes", size)
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(l.in, data); err != nil {
			return nil, err
		}
		switch head[0] {
		case 0x80 | opText:
			return data, nil
		case 0x80 | opPing:
			if _, err := l.Write(frame(opPong, data)); err != nil {
				return nil, err
			}
		case 0x80 | opClose:
			_, _ = l.Write(frame(opClose, data))
			if len(data) < 2 {
				return nil, closed{}
			}
			return nil, closed{int(binary.BigEndian.Uint16(data))}
		default:
			return nil, fmt.Errorf("a frame begins with %#x", head[0])
		}
	}
}

const upgradeFields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hhdmVldC1jbHVzdGVyLQ==\r\n"

// upgrade asks for a WebSocket.
func (l *line) upgrade(path string) error {
	if err := l.request("GET", path, upgradeFields, ""); err != nil {
		return err
	}
	h, err := readHead(l.in)
	if err == nil && h.status != 101 {
		err = fmt.Errorf("a handshake is answered %d", h.status)
	}
	return err
}

// request sends one.
func (l *line) request(method, path, fields, body string) error {
	length := ""
	if method == "POST" {
		length = fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	_, err := fmt.Fprintf(l, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s\r\n%s", method, path, fields, length, body)
	return err
}

// patient has what is read from now on fail after that time.
func (l *line) patient(d time.Duration) { _ = l.SetReadDeadline(time.Now().Add(d)) }

// reset closes a connection without a farewell.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}
