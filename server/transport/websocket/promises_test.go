package websocket_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/transporttest"
	"github.com/shaveet/shaveet/server/transport/websocket"
)

const address = "http://shaveet/websocket"

// ways are the ways to say who reads: by the request, and by the first message.
var ways = map[string]func(s transporttest.Start) (r *http.Request, hello string){
	"by message":     byEarlyMessage,
	"by subprotocol": bySubprotocol,
	"by header": func(s transporttest.Start) (*http.Request, string) {
		return transporttest.ByHeader(address, s), ""
	},
	"by query": func(s transporttest.Start) (*http.Request, string) {
		return transporttest.ByQuery(address, s), ""
	},
}

// byMessage says everything in the first message, which is what others have in
// the body of a POST.
func byMessage(s transporttest.Start) (*http.Request, string) {
	body, err := io.ReadAll(transporttest.ByPost(address, s).Body)
	if err != nil {
		panic(err)
	}
	return transporttest.ByQuery(address, transporttest.Start{}), string(body)
}

// byEarlyMessage says the same without waiting for the answer to the handshake,
// and so also if none comes. [withEarly] has the message follow at once, which
// no http.Client can.
func byEarlyMessage(s transporttest.Start) (*http.Request, string) {
	r, hello := byMessage(s)
	r.Header.Set("Early", base64.StdEncoding.EncodeToString([]byte(text(hello))))
	return r, ""
}

func withEarly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := base64.StdEncoding.DecodeString(r.Header.Get("Early"))
		if err != nil {
			panic(err)
		}
		next.ServeHTTP(&earlyWriter{w, string(sent)}, r)
	})
}

// An earlyWriter hands over a connection by which something has come already.
type earlyWriter struct {
	http.ResponseWriter
	sent string
}

func (w *earlyWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	in := bufio.NewReader(io.MultiReader(strings.NewReader(w.sent), rw.Reader))
	_, err = in.Peek(len(w.sent))
	return conn, bufio.NewReadWriter(in, rw.Writer), err
}

func bySubprotocol(s transporttest.Start) (*http.Request, string) {
	r := transporttest.ByQuery(address, transporttest.Start{Cursor: s.Cursor, Session: s.Session})
	names := []string{"shaveet.v1"}
	for _, c := range s.Clients {
		token := url.PathEscape(c.ID) + hub.Delimiter + url.PathEscape(c.Key)
		names = append(names, "shaveet.auth."+base64.RawURLEncoding.EncodeToString([]byte(token)))
	}
	r.Header.Set("Sec-WebSocket-Protocol", strings.Join(names, ", "))
	return r, ""
}

func by(ask func(transporttest.Start) (*http.Request, string), compressed bool) transporttest.Transport {
	return transporttest.Transport{
		Handler: func(h *hub.Hub, lot *park.Lot, _ context.Context) http.Handler {
			return withEarly(websocket.New(h, websocket.Options{Options: transport.Options{Lot: lot}, Compression: compressed}))
		},
		Dial: func(client *http.Client, start transporttest.Start) transporttest.Reader {
			return transporttest.Streaming(start, func(ctx context.Context, s transporttest.Start) (transporttest.Stream, transporttest.News, error) {
				r, hello := ask(s)
				return open(ctx, client, r, hello, compressed)
			})
		},
		Positions: true,
	}
}

func TestPromises(t *testing.T) {
	for name, ask := range ways {
		t.Run(name, func(t *testing.T) { transporttest.Run(t, by(ask, false)) })
	}
}

func TestPromisesCompressed(t *testing.T) { transporttest.Run(t, by(byEarlyMessage, true)) }

func TestMoves(t *testing.T) {
	transporttest.RunMoves(t, by(byMessage, false), by(bySubprotocol, false))
	transporttest.RunMoves(t, by(byMessage, true), by(byMessage, false))
}

// A socket is a WebSocket of a reader's.
type socket struct {
	conn io.ReadWriteCloser
	in   *bufio.Reader
	stop func() bool
	said []transporttest.News // what has come and is not read yet
}

// open opens a WebSocket and reads what it begins with: a batch, or why there
// will be none.
func open(ctx context.Context, client *http.Client, r *http.Request, hello string, compressed bool) (transporttest.Stream, transporttest.News, error) {
	var none transporttest.News
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	if compressed {
		r.Header.Set("Sec-WebSocket-Extensions", "permessage-deflate")
	}
	resp, err := client.Do(r.WithContext(ctx))
	if err != nil {
		return nil, none, err
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body.Close()
		return nil, none, fmt.Errorf("the answer is %d", resp.StatusCode)
	}
	s := &socket{conn: conn, in: bufio.NewReader(conn), stop: context.AfterFunc(ctx, func() { conn.Close() })}
	if hello != "" {
		s.write(ws.OpText, hello)
	}
	news, err := s.first()
	if err != nil {
		s.Close()
		return nil, news, err
	}
	s.said = append(s.said, news)
	return s, none, nil
}

func (s *socket) write(op ws.OpCode, payload string) {
	io.WriteString(s.conn, frame(op, payload)) // if it fails, so will the next read
}

// first reads the first message. If that says why there will be no others, the
// close frame has to say the same.
func (s *socket) first() (transporttest.News, error) {
	var none transporttest.News
	body, err := s.message()
	if err != nil {
		return none, err
	}
	if !strings.HasPrefix(string(body), `{"error":`) {
		news, err := transporttest.ParseBatch(body)
		if err != nil || news.Cursor != "" || len(news.Signals) == 0 {
			return news, err
		}
		return news, errors.Join(transporttest.ErrGone, s.closed(4404))
	}
	news, err := transporttest.Refused(0, body)
	if errors.Is(err, transporttest.ErrInvalid) {
		err = errors.Join(err, s.closed(4400))
	}
	return news, err
}

// errClosed is that the server has closed the WebSocket.
type errClosed struct{ code ws.StatusCode }

func (e errClosed) Error() string { return fmt.Sprint("closed by ", e.code) }

// closed wants a close frame with the code to come.
func (s *socket) closed(code ws.StatusCode) error {
	_, err := s.message()
	if err == (errClosed{code}) {
		return nil
	}
	return fmt.Errorf("in place of %d comes %w", code, err)
}

// message returns the next message. It answers what is to be answered.
func (s *socket) message() ([]byte, error) {
	for {
		f, err := readFrame(s.in)
		if err != nil {
			return nil, err
		}
		switch f.Header.OpCode {
		case ws.OpPing:
			s.write(ws.OpPong, string(f.Payload))
		case ws.OpClose:
			s.write(ws.OpClose, string(f.Payload))
			code, _ := ws.ParseCloseFrameData(f.Payload)
			return nil, errClosed{code}
		case ws.OpText:
			if f.Header.Rsv1() {
				return inflate(f.Payload)
			}
			return f.Payload, nil
		default:
			return nil, fmt.Errorf("a strange frame: %+v", f.Header)
		}
	}
}

// ends are the codes for what ends a session.
var ends = map[string]ws.StatusCode{"drain": 1012, "superseded": 4409}

func (s *socket) Next() (transporttest.News, error) {
	if len(s.said) > 0 {
		news := s.said[0]
		s.said = s.said[1:]
		return news, s.after(news)
	}
	body, err := s.message()
	if err != nil {
		return transporttest.News{}, err
	}
	news, err := transporttest.ParseBatch(body)
	if err != nil {
		return news, err
	}
	return news, s.after(news)
}

// after reads the end, if news say that it comes.
func (s *socket) after(news transporttest.News) error {
	for kind, code := range ends {
		if slices.ContainsFunc(news.Signals, func(s transporttest.Signal) bool { return s.Type == kind }) {
			if err := s.closed(code); err != nil {
				return err
			}
			return errClosed{code}
		}
	}
	return nil
}

func (s *socket) Close() {
	s.stop()
	s.conn.Close()
}
