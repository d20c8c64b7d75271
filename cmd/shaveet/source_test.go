package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// streaming is a server that answers every request by play, with a media type.
func streaming(t *testing.T, mediaType string, play func(w io.Writer, flush func())) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		play(w, func() { http.NewResponseController(w).Flush() })
	}))
	t.Cleanup(s.Close)
	return s
}

// reads reads all that a transport brings, to the error at its end.
func reads(t *testing.T, name, base string) (all []*batch, err error) {
	t.Helper()
	s := newSite(base, nil)
	defer s.close()
	source := transportOf(name).open(s, hello{Clients: []credential{{"a", "key"}}})
	defer source.close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		b, err := source.next(ctx)
		if err != nil {
			return all, err
		}
		all = append(all, b)
	}
}

const oneBatch = `{"cursor":"1.2","signals":[],"messages":[{"data":1}]}`

// zeros is so many bytes of nothing.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left <= 0 {
		return 0, io.EOF
	}
	z.left -= int64(len(p))
	clear(p)
	return len(p), nil
}

// What comes by a stream of lines, and by one of events, and how that ends.
func TestStreamsOfText(t *testing.T) {
	event := "id: 1.2\ndata: {\"data\":1}\n\n"
	for name, tt := range map[string]struct {
		by, sent string
		batches  string // cursor, signals and messages of each
		says     string
		passes   bool
	}{
		"lines":              {"stream", oneBatch + "\n" + oneBatch + "\r\n", "1.2/0/1 1.2/0/1", "unexpected EOF", true},
		"half a line":        {"stream", oneBatch + "\n" + oneBatch, "1.2/0/1", "unexpected EOF", true},
		"no lines":           {"stream", "<html>\n", "", "no batch", false},
		"an empty line":      {"stream", oneBatch + "\n\n", "1.2/0/1", "no batch", true},
		"an error in a line": {"stream", oneBatch + "\n" + `{"error":{"code":503,"message":"not now"}}` + "\n", "1.2/0/1", "not now", true},

		"events":            {"sse", "retry: 5\n\n" + event + event, "1.2/0/1 1.2/0/1", "unexpected EOF", true},
		"half an event":     {"sse", event + "id: 1.3\ndata: {}\n", "1.2/0/1", "unexpected EOF", true},
		"half a line of it": {"sse", event + "id: 1.3\nda", "1.2/0/1", "unexpected EOF", true},
		"a tick":            {"sse", "event: tick\nid: 1.9\ndata: \n\n", "1.9/0/0", "unexpected EOF", true},
		"a bare tick":       {"sse", "event:tick\r\ndata\r\nid:1.9\r\n\r\n", "1.9/0/0", "unexpected EOF", true},
		"a signal":          {"sse", "event: gap\ndata: {\"type\":\"gap\"}\n\n", "/1/0", "unexpected EOF", true},
		"a reset":           {"sse", "event: reset\nid: 2.2\ndata: {\"type\":\"reset\"}\n\n", "2.2/1/0", "unexpected EOF", true},
		"data in lines":     {"sse", "id: 1.2\ndata: {\ndata: }\n\n", "1.2/0/1", "unexpected EOF", true},
		"comments":          {"sse", ": hello\n\n:\n" + event, "1.2/0/1", "unexpected EOF", true},
		"no JSON":           {"sse", "data: hello\n\n", "", "no batch", false},
		"a signal of none":  {"sse", "event: gap\ndata: 7\n\n", "", "no batch", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := map[string]string{"stream": "application/x-ndjson", "sse": "text/event-stream; charset=utf-8"}[tt.by]
			server := streaming(t, kind, func(w io.Writer, _ func()) { io.WriteString(w, tt.sent) })
			all, err := reads(t, tt.by, server.URL)
			var got []string
			for _, b := range all {
				got = append(got, fmt.Sprintf("%s/%d/%d", b.Cursor, len(b.Signals), len(b.Messages)))
			}
			if strings.Join(got, " ") != tt.batches || !strings.Contains(err.Error(), tt.says) || mayPass(err) != tt.passes {
				t.Errorf("%v, then %v (may pass: %v); want %s and %q", got, err, mayPass(err), tt.batches, tt.says)
			}
		})
	}
}

// Answers that are no stream of this kind.
func TestStreamsAreRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status     int
		kind, body string
		says       string
		passes     bool
		said       bool
	}{
		"a page":         {200, "text/html", "<h1>", "is not Shaveet's", false, false},
		"not found":      {404, "text/html", "<h1>", "404 Not Found", false, false},
		"a bad gateway":  {502, "text/html", "<h1>", "502 Bad Gateway", true, false},
		"too many":       {429, "application/json", `{"error":{"code":429,"message":"too many","retry_ms":5}}`, "too many", true, true},
		"a bad question": {400, "application/json", `{"error":{"code":400,"message":"cursor"}}`, "cursor", false, true},
	} {
		for _, by := range []string{"sse", "stream", "longpoll"} {
			t.Run(name+" "+by, func(t *testing.T) {
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", tt.kind)
					w.WriteHeader(tt.status)
					io.WriteString(w, tt.body)
				}))
				defer server.Close()
				_, err := reads(t, by, server.URL)
				if !strings.Contains(err.Error(), tt.says) || mayPass(err) != tt.passes || saidByServer(err) != tt.said {
					t.Errorf("%v (may pass %v, said %v), want %q", err, mayPass(err), saidByServer(err), tt.says)
				}
			})
		}
	}
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(404)
		io.WriteString(w, `{"signals":[{"type":"gone","client":"a"}],"messages":[]}`)
	}))
	defer gone.Close()
	for _, by := range []string{"sse", "stream"} {
		if all, err := reads(t, by, gone.URL); len(all) != 1 || !all[0].ends() || !mayPass(err) {
			t.Errorf("%s: %v %v", by, all, err)
		}
	}
}

// A server that never stops is not read for ever, nor kept in memory.
func TestEndlessStreams(t *testing.T) {
	pour := func(w io.Writer, piece []byte) (sent int64) {
		for sent < 4*maxAnswer {
			n, err := w.Write(piece)
			if sent += int64(n); err != nil {
				break
			}
		}
		return sent
	}
	var sent atomic.Int64
	long := bytes.Repeat([]byte("x"), 1<<20)
	fragment := frame(ws.Header{OpCode: ws.OpContinuation, Length: 1 << 20}, string(long))
	for name, tt := range map[string]struct {
		by     string
		server *httptest.Server
	}{
		"a line": {"stream", streaming(t, "application/x-ndjson", func(w io.Writer, _ func()) { sent.Store(pour(w, long)) })},
		"a line of an event": {"sse", streaming(t, "text/event-stream", func(w io.Writer, _ func()) {
			io.WriteString(w, "data: ")
			sent.Store(pour(w, long))
		})},
		"an event of many lines": {"sse", streaming(t, "text/event-stream", func(w io.Writer, _ func()) {
			sent.Store(pour(w, append(append([]byte("data: "), long...), '\n')))
		})},
		"fragments": {"websocket", upgraded(t, func(c net.Conn) {
			c.Write(frame(ws.Header{OpCode: ws.OpText}, ""))
			sent.Store(pour(c, fragment))
		})},
	} {
		t.Run(name, func(t *testing.T) {
			sent.Store(-1)
			if _, err := reads(t, tt.by, tt.server.URL); !errors.Is(err, errTooLong) || mayPass(err) {
				t.Errorf("it ends with %v", err)
			}
			tt.server.Close() // waits for it
			if n := sent.Load(); n > 2*maxAnswer {
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
}

// A stream that is silent, and one that says nothing that counts, are given up
// when it is time.
func TestSilentStreams(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	defer close(left)
	chatter := func(w io.Writer, flush func()) {
		for {
			if _, err := io.WriteString(w, ": still here\n\n"); err != nil {
				return
			}
			flush()
			select {
			case <-left:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}
	for name, tt := range map[string]struct {
		by     string
		server *httptest.Server
	}{
		"comments": {"sse", streaming(t, "text/event-stream", chatter)},
		"pings": {"websocket", upgraded(t, func(c net.Conn) {
			go io.Copy(io.Discard, c)
			chatter(writing(func([]byte) (int, error) { return c.Write(ws.MustCompileFrame(ws.NewPingFrame(nil))) }), func() {})
		})},
		"a deaf peer": {"websocket", upgraded(t, func(c net.Conn) {
			chatter(writing(func([]byte) (int, error) { return c.Write(ws.MustCompileFrame(ws.NewPingFrame(nil))) }), func() {})
		})},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(tt.server.URL, nil)
			defer s.close()
			source := transportOf(tt.by).open(s, hello{})
			defer source.close()
			ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errSilent)
			defer cancel()
			if _, err := source.next(ctx); err == nil || !errors.Is(context.Cause(ctx), errSilent) {
				t.Errorf("%v", err)
			}
		})
	}
}

type writing func([]byte) (int, error)

func (w writing) Write(p []byte) (int, error) { return w(p) }

// Whatever comes, an event is read within bounds, and what is read is sound.
func FuzzEvent(f *testing.F) {
	f.Add([]byte("retry: 5\n\nid: 1.2\ndata: {\"data\":1}\n\nevent: tick\nid: 1.3\ndata:\n\n"))
	f.Add([]byte("event: gap\r\ndata: {\"type\":\"gap\"}\r\n\r\n:\n\ndata\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bufio.NewReaderSize(bytes.NewReader(text), 16)
		for {
			b, err := readEvent(in)
			if err != nil {
				return
			}
			if len(b.Signals)+len(b.Messages) > 1 {
				t.Fatalf("%+v", b)
			}
		}
	})
}
