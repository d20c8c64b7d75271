package socketio_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// A gathering is of light clients of a server by WebSocket: they count what they
// are told, and answer heartbeats.
type gathering struct {
	heard atomic.Int64 // events

	joined  atomic.Int64
	conns   []net.Conn
	running sync.WaitGroup
}

// gather has n clients join the root.
func gather(t testing.TB, srv *server, n int) *gathering {
	t.Helper()
	g := &gathering{}
	addr := strings.TrimPrefix(srv.Base, "http://")
	for i := range n {
		conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		g.conns = append(g.conns, conn)
		if _, err := fmt.Fprintf(conn, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"+
			"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", addr); err != nil {
			t.Fatal(err)
		}
		g.running.Go(func() { _ = g.follow(conn) }) // it ends when it leaves
		if i%50 == 49 || i == n-1 {                 // not all at once
			live.Until(t, "clients join", time.Minute, func() bool { return g.joined.Load() == int64(i+1) })
		}
	}
	return g
}

// leave has all go, and waits for them.
func (g *gathering) leave() {
	for _, conn := range g.conns {
		conn.Close()
	}
	g.running.Wait()
}

func (g *gathering) follow(conn net.Conn) error {
	r := bufio.NewReaderSize(conn, 2048)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
	}
	if err := say(conn, "40"); err != nil {
		return err
	}
	for {
		text, err := readFrame(r)
		if err != nil {
			return err
		}
		switch {
		case bytes.HasPrefix(text, []byte("42")):
			g.heard.Add(1)
		case bytes.HasPrefix(text, []byte("40")):
			g.joined.Add(1)
		case string(text) == "2":
			if err := say(conn, "3"); err != nil {
				return err
			}
		}
	}
}

// readFrame returns the begin of a server's frame, until the next is read.
func readFrame(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	size, behind := int(head[1]), 2
	if size == 126 {
		if head, err = r.Peek(4); err != nil {
			return nil, err
		}
		size, behind = int(binary.BigEndian.Uint16(head[2:])), 4
	} else if size > 126 {
		return nil, fmt.Errorf("a frame of any size: %d", size)
	}
	if _, err := r.Discard(behind); err != nil {
		return nil, err
	}
	begin, err := r.Peek(min(size, 2))
	if err != nil {
		return nil, err
	}
	text := [2]byte{}
	copy(text[:], begin)
	_, err = r.Discard(size)
	return text[:len(begin)], err
}

// say sends a short text, masked with nothing.
func say(w io.Writer, text string) error {
	_, err := w.Write(append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...))
	return err
}
