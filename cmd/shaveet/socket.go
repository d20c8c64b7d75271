package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// A socket is the client's side of a WebSocket. It is read by one goroutine.
type socket struct {
	conn     io.ReadWriteCloser
	in       *bufio.Reader
	deflates bool // permessage-deflate has been agreed on

	pings, pongs int // that have come
	inflated     int // messages that came compressed

	write sync.Mutex // held while a frame is written
}

// connectSocket reads by /websocket: a batch in each message. The hello is what
// we say first.
func connectSocket(ctx context.Context, s *site, header http.Header, h hello) (*incoming, error) {
	socket, resp, err := s.upgrade(ctx, header)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { socket.Close() })
	text, err := json.Marshal(h)
	if err == nil {
		err = socket.send(ws.NewTextFrame(text))
	}
	if err != nil {
		socket.Close()
		return nil, &brokenError{err}
	}
	read := func() (*batch, error) {
		text, err := socket.message()
		if err != nil {
			return nil, err
		}
		return spoken(parseBatch(text))
	}
	return &incoming{status: resp.Status, header: resp.Header, read: read, socket: socket, Closer: socket}, nil
}

const deflate = "permessage-deflate"

// upgrade makes a WebSocket of ours, as upgradeAt does.
func (s *site) upgrade(ctx context.Context, header http.Header) (*socket, *http.Response, error) {
	return s.upgradeAt(ctx, "/websocket", header)
}

// upgradeAt makes a WebSocket at a path, whose end is the caller's business. An
// answer that is none is a *statusError.
func (s *site) upgradeAt(ctx context.Context, path string, header http.Header) (*socket, *http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return nil, nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	nonce := make([]byte, 16)
	rand.Read(nonce)
	key := base64.StdEncoding.EncodeToString(nonce)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", key)
	resp, err := s.upgrades.Do(req)
	if err != nil {
		return nil, nil, err
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		defer resp.Body.Close()
		return nil, nil, refusedUpgrade(resp)
	}
	deflates, err := checkUpgrade(resp.Header, key, header.Get("Sec-WebSocket-Extensions") != "")
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return &socket{conn: conn, in: bufio.NewReader(conn), deflates: deflates}, resp, nil
}

// refusedUpgrade is the error of an answer that is no upgrade. What the server
// itself says of this is no refusal of the reader: another transport may do.
func refusedUpgrade(resp *http.Response) error {
	failure := &statusError{
		status:     resp.StatusCode,
		text:       fmt.Sprintf("the server answered %s for /websocket, which should be upgraded", resp.Status),
		retryAfter: retryAfter(resp.Header),
	}
	text, err := readAnswer(resp.Body)
	if err != nil {
		return failure
	}
	if _, said, err := parseBatch(text); err == nil && said != nil {
		failure.text = fmt.Sprintf("the server answered %s for /websocket: %s", resp.Status, said.Message)
	}
	return failure
}

var errNoSocket = errors.New("what answers for /websocket is no WebSocket")

// checkUpgrade checks the answer to a handshake with this key, and tells
// whether messages may come compressed.
func checkUpgrade(header http.Header, key string, offered bool) (deflates bool, err error) {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, 1.3
	sum := sha1.Sum([]byte(key + guid))
	extension, _, _ := strings.Cut(header.Get("Sec-WebSocket-Extensions"), ";")
	switch {
	case header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]),
		!lists(header.Values("Upgrade"), "websocket"),
		extension != "" && (!offered || extension != deflate),
		header.Get("Sec-WebSocket-Protocol") != "":
		return false, errNoSocket
	}
	return extension != "", nil
}

func (s *socket) Close() error { return s.conn.Close() }

// send sends a frame. It is safe for concurrent use.
func (s *socket) send(f ws.Frame) error {
	frame, err := ws.CompileFrame(ws.MaskFrame(f))
	if err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	_, err = s.conn.Write(frame)
	return err
}

// message reads a message, and answers pings meanwhile.
func (s *socket) message() ([]byte, error) {
	var text bytes.Buffer
	var compressed bool
	state := ws.StateClientSide | ws.StateExtended
	for {
		head, err := ws.ReadHeader(s.in)
		if err == nil {
			err = s.check(head, state)
		}
		if err != nil {
			return nil, err
		}
		if head.OpCode.IsControl() {
			if err := s.control(head); err != nil {
				return nil, err
			}
			continue
		}
		if !state.Fragmented() {
			compressed = head.Rsv1()
		}
		if head.Length > int64(maxAnswer-text.Len()) {
			return nil, errTooLong
		}
		if _, err := io.CopyN(&text, s.in, head.Length); err != nil {
			return nil, err
		}
		if head.Fin {
			return s.whole(text.Bytes(), compressed)
		}
		state = state.Set(ws.StateFragmented)
	}
}

// check checks what is in the head of a frame.
func (s *socket) check(h ws.Header, state ws.State) error {
	mayDeflate := s.deflates && h.OpCode == ws.OpText
	if h.Rsv != 0 && !(mayDeflate && h.Rsv == ws.Rsv(true, false, false)) {
		return ws.ErrProtocolNonZeroRsv
	}
	if h.OpCode == ws.OpBinary {
		return errNoBatch
	}
	return ws.CheckHeader(h, state)
}

// whole returns the text of a message that has come whole.
func (s *socket) whole(text []byte, compressed bool) ([]byte, error) {
	if compressed {
		s.inflated++
		const ending = "\x00\x00\xff\xff\x01\x00\x00\xff\xff" // RFC 7692, 7.2.2
		z := flate.NewReader(io.MultiReader(bytes.NewReader(text), strings.NewReader(ending)))
		var err error
		if text, err = io.ReadAll(io.LimitReader(z, maxAnswer+1)); err != nil {
			return nil, fmt.Errorf("a compressed message cannot be read: %w", err)
		}
		if len(text) > maxAnswer {
			return nil, errTooLong
		}
	}
	if !utf8.Valid(text) {
		return nil, errNoBatch
	}
	return text, nil
}

// control acts on a control frame. The error is a *closeError after a close.
func (s *socket) control(h ws.Header) error {
	data := make([]byte, h.Length) // 125 bytes at most
	if _, err := io.ReadFull(s.in, data); err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpPing:
		s.pings++
		return s.send(ws.NewPongFrame(data))
	case ws.OpPong:
		s.pongs++
		return nil
	}
	code, reason := ws.ParseCloseFrameData(data)
	s.send(ws.NewCloseFrame(data[:min(2, len(data))])) // it may be gone already
	return &closeError{int(code), reason}
}

// A closeError is the word by which a server ends a WebSocket.
type closeError struct {
	code   int
	reason string
}

func (e *closeError) Error() string {
	return fmt.Sprintf("closed by the server (%d %s)", e.code, e.reason)
}

// said reports whether it is the word of our server and not of the network:
// those have their own codes.
func (e *closeError) said() bool { return e.code >= 1011 && e.code != 1015 }
