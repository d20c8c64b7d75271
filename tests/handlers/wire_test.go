package handlers_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// A wire is a WebSocket of the lightest kind. One goroutine hears; several may
// say.
type wire struct {
	conn *net.TCPConn
	r    *bufio.Reader
}

// dial connects to a path of the server.
func dial(addr, path string) (*wire, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	w := &wire{c.(*net.TCPConn), bufio.NewReaderSize(c, 1024)}
	c.SetDeadline(time.Now().Add(patience))
	if err := w.shake(addr, path); err != nil {
		c.Close()
		return nil, err
	}
	return w, c.SetDeadline(time.Time{})
}

func (w *wire) shake(addr, path string) error {
	if _, err := fmt.Fprintf(w.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", path, addr); err != nil {
		return err
	}
	status, err := w.r.ReadString('\n')
	if err == nil && !strings.Contains(status, " 101 ") {
		err = fmt.Errorf("%s: %s", path, status)
	}
	for line := status; err == nil && len(line) > 2; {
		line, err = w.r.ReadString('\n')
	}
	return err
}

// say sends a text, by one write.
func (w *wire) say(text string) error { return w.send(ws.OpText, []byte(text)) }

func (w *wire) send(op ws.OpCode, p []byte) error {
	frame := ws.NewFrame(op, true, p)
	frame.Header.Masked = true // with nothing
	b, err := ws.CompileFrame(frame)
	if err == nil {
		_, err = w.conn.Write(b)
	}
	return err
}

// hear returns the next text. It answers pings of the WebSocket's own.
func (w *wire) hear() ([]byte, error) {
	for {
		head, err := ws.ReadHeader(w.r)
		if err != nil {
			return nil, err
		}
		p := make([]byte, head.Length)
		if _, err := io.ReadFull(w.r, p); err != nil {
			return nil, err
		}
		switch {
		case head.OpCode == ws.OpPing:
			if err := w.send(ws.OpPong, p); err != nil {
				return nil, err
			}
		case head.OpCode == ws.OpClose:
			return nil, fmt.Errorf("it was closed: %q", p)
		case head.OpCode != ws.OpText || !head.Fin:
			return nil, fmt.Errorf("a frame of no use: %+v", head)
		default:
			return p, nil
		}
	}
}

// cut ends it as a crash does: what is under way is lost.
func (w *wire) cut() {
	w.conn.SetLinger(0)
	w.conn.Close()
}
