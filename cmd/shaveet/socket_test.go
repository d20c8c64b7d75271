package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// readFrame reads a frame of a peer that is to be trusted.
func readFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

// upgraded is a server that makes a WebSocket of every request and hands it to
// play, behind the hello.
func upgraded(t *testing.T, play func(c net.Conn)) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := readFrame(c); err == nil {
			play(c)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// frame is what a server sends: a head by hand, so that it may be wrong.
func frame(head ws.Header, payload string) []byte {
	var b bytes.Buffer
	if err := ws.WriteHeader(&b, head); err != nil {
		panic(err)
	}
	return append(b.Bytes(), payload...)
}

func textFrame(payload string) []byte {
	return frame(ws.Header{Fin: true, OpCode: ws.OpText, Length: int64(len(payload))}, payload)
}

// A WebSocket's frames, in all ways they may come, and what is made of them.
func TestSocketFrames(t *testing.T) {
	good := textFrame(oneBatch)
	part := func(op ws.OpCode, fin bool, text string) []byte {
		return frame(ws.Header{Fin: fin, OpCode: op, Length: int64(len(text))}, text)
	}
	closing := func(code ws.StatusCode, why string) []byte {
		return ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, why)))
	}
	join := func(all ...[]byte) []byte { return bytes.Join(all, nil) }
	for name, tt := range map[string]struct {
		sent    []byte
		batches int
		says    string
		passes  bool // it may be tried again
	}{
		"one, and the end":             {good, 1, "broke off: unexpected EOF", true},
		"nothing":                      {nil, 0, "broke off: unexpected EOF", true},
		"in fragments":                 {join(part(ws.OpText, false, oneBatch[:9]), ws.MustCompileFrame(ws.NewPingFrame([]byte("x"))), part(ws.OpContinuation, true, oneBatch[9:])), 1, "unexpected EOF", true},
		"half a frame":                 {join(good, good[:len(good)-5]), 1, "unexpected EOF", true},
		"half a head":                  {join(good, good[:1]), 1, "unexpected EOF", true},
		"a drain":                      {join(textFrame(`{"signals":[{"type":"drain"}],"messages":[]}`), closing(1012, "drain")), 1, "1012 drain", true},
		"a word of the server":         {join(good, closing(4408, "no hello")), 1, "4408 no hello", true},
		"closed without one":           {join(good, part(ws.OpClose, true, "")), 1, "closed by the server", true},
		"an error":                     {textFrame(`{"error":{"code":429,"type":"limit_reached","message":"too many","retry_ms":7}}`), 0, "429: too many", true},
		"a mistake of ours":            {textFrame(`{"error":{"code":400,"type":"invalid_request","message":"no such cursor"}}`), 0, "no such cursor", false},
		"no batch":                     {textFrame(`{"hello":"world"}`), 0, "no batch", false},
		"no batch, later":              {join(good, textFrame("<html>")), 1, "no batch", true},
		"binary":                       {part(ws.OpBinary, true, "x"), 0, "no batch", false},
		"not UTF-8":                    {textFrame("{\"signals\":[],\"messages\":[\"\xff\"]}"), 0, "no batch", false},
		"a huge frame":                 {join(good, frame(ws.Header{Fin: true, OpCode: ws.OpText, Length: 1 << 62}, "")), 1, "bytes at once", false},
		"a negative length":            {join(good, []byte{0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), 1, "most significant bit", true},
		"masked":                       {join(good, frame(ws.Header{Fin: true, OpCode: ws.OpText, Masked: true}, "")), 1, "must be not masked", true},
		"reserved bits":                {join(good, frame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: 4}, "")), 1, "rsv", true},
		"a long ping":                  {join(good, frame(ws.Header{Fin: true, OpCode: ws.OpPing, Length: 126}, strings.Repeat("x", 126))), 1, "control frame", true},
		"a continuation of no message": {join(good, part(ws.OpContinuation, true, "x")), 1, "continuation", true},
		"a message inside another":     {join(good, part(ws.OpText, false, "x"), good), 1, "continuation", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := upgraded(t, func(c net.Conn) {
				c.Write(tt.sent)
				c.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, c)
			})
			all, err := reads(t, "websocket", server.URL)
			if len(all) != tt.batches || !strings.Contains(err.Error(), tt.says) || mayPass(err) != tt.passes {
				t.Errorf("%d batches, then %v (may pass: %v); want %d and %q", len(all), err, mayPass(err), tt.batches, tt.says)
			}
		})
	}
}

// Pings are answered with what they say, masked, and the hello is as well.
func TestSocketAnswersPings(t *testing.T) {
	t.Parallel()
	heard := make(chan ws.Frame, 1)
	server := upgraded(t, func(c net.Conn) {
		c.Write(ws.MustCompileFrame(ws.NewPingFrame([]byte("are you there?"))))
		if f, err := readFrame(c); err == nil {
			heard <- f
		}
	})
	reads(t, "websocket", server.URL)
	f := <-heard
	if !f.Header.Masked || f.Header.OpCode != ws.OpPong {
		t.Errorf("%+v", f.Header)
	}
	if ws.Cipher(f.Payload, f.Header.Mask, 0); string(f.Payload) != "are you there?" {
		t.Errorf("%q", f.Payload)
	}
}

// An answer to the upgrade that is none.
func TestSocketIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer func(w http.ResponseWriter)
		says   string
		passes bool
	}{
		"by 400":         {says(400, `{"error":{"code":400,"type":"x","message":"a WebSocket needs HTTP/1.1"}}`), "400 Bad Request for /websocket: a WebSocket needs HTTP/1.1", false},
		"by 502":         {says(502, "<h1>"), "502 Bad Gateway", true},
		"by a page":      {says(200, "<h1>"), "200 OK", false},
		"by a redirect":  {func(w http.ResponseWriter) { w.Header().Set("Location", "/x"); w.WriteHeader(302) }, "302 Found", false},
		"without an end": {func(w http.ResponseWriter) { w.WriteHeader(500); io.Copy(w, &zeros{left: 80 << 20}) }, "500", true},
		"by another key": {func(w http.ResponseWriter) {
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Sec-WebSocket-Accept", "AAAA")
			w.WriteHeader(101)
		}, "no WebSocket", false},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { tt.answer(w) }))
			defer server.Close()
			if _, err := reads(t, "websocket", server.URL); !strings.Contains(err.Error(), tt.says) || mayPass(err) != tt.passes || saidByServer(err) {
				t.Errorf("%v (may pass: %v), want %q", err, mayPass(err), tt.says)
			}
		})
	}
}

// Compressed messages are read, where that is agreed on, but not without end.
func TestSocketInflates(t *testing.T) {
	deflated := func(text io.Reader) []byte {
		var b bytes.Buffer
		z, _ := flate.NewWriter(&b, flate.BestSpeed)
		io.Copy(z, text)
		z.Flush()
		small := strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
		return frame(ws.Header{Fin: true, Rsv: ws.Rsv(true, false, false), OpCode: ws.OpText, Length: int64(len(small))}, small)
	}
	for name, tt := range map[string]struct {
		sent []byte
		want string
		fail error
	}{
		"a text":     {deflated(strings.NewReader(oneBatch)), oneBatch, nil},
		"plain text": {textFrame(oneBatch), oneBatch, nil},
		"a bomb":     {deflated(&zeros{left: 2 * maxAnswer}), "", errTooLong},
		"no UTF-8":   {deflated(strings.NewReader("\xff")), "", errNoBatch},
	} {
		s := &socket{conn: discarding{}, in: bufio.NewReader(bytes.NewReader(tt.sent)), deflates: true}
		if text, err := s.message(); string(text) != tt.want || !errors.Is(err, tt.fail) {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
		s = &socket{conn: discarding{}, in: bufio.NewReader(bytes.NewReader(tt.sent))}
		if _, err := s.message(); (err == nil) != (name == "plain text") {
			t.Errorf("%s, not agreed on: %v", name, err)
		}
	}
}

// Whatever frames come, messages are read within bounds.
func FuzzSocket(f *testing.F) {
	f.Add(textFrame(oneBatch), false)
	f.Add(append(ws.MustCompileFrame(ws.NewPingFrame([]byte("x"))), ws.MustCompileFrame(ws.NewCloseFrame([]byte{3, 232}))...), false)
	f.Add(binary.BigEndian.AppendUint64([]byte{0xc1, 127}, 1<<40), true)
	f.Add([]byte{0xc1, 7, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}, true) // "Hello", of RFC 7692
	f.Fuzz(func(t *testing.T, sent []byte, deflates bool) {
		s := &socket{conn: discarding{}, in: bufio.NewReader(bytes.NewReader(sent)), deflates: deflates}
		for {
			if _, err := s.message(); err != nil {
				return
			}
		}
	})
}

type discarding struct{ io.ReadWriter }

func (discarding) Write(p []byte) (int, error) { return len(p), nil }
func (discarding) Close() error                { return nil }
