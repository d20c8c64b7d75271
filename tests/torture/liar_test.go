package torture

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// liar is a proxy for readers that changes what is in batches, and nothing else
// about them. With a nil lie it changes nothing.
func liar(t *testing.T, to string, lie lie) string {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: to})
	transport := &http.Transport{DisableCompression: true}
	proxy.Transport, proxy.ErrorLog = transport, log.New(io.Discard, "", 0)
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	proxy.ModifyResponse = func(resp *http.Response) error {
		switch kind := resp.Header.Get("Content-Type"); {
		case lie == nil:
			return nil
		case resp.StatusCode == http.StatusOK && kind == "text/event-stream":
			resp.Body = relay(resp.Body, lie, relayEvents)
		case resp.StatusCode == http.StatusOK && kind == "application/x-ndjson":
			resp.Body = relay(resp.Body, lie, relayLines)
		default:
			return relayAnswer(resp, lie)
		}
		return nil
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/websocket" {
			relayFrames(w, r, to, transport, lie)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); transport.CloseIdleConnections() })
	return srv.Listener.Addr().String()
}

// relayAnswer lies about an answer that is one batch, or a call with one.
func relayAnswer(resp *http.Response, lie lie) error {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	start, end := bytes.IndexByte(body, '{'), bytes.LastIndexByte(body, '}')+1
	if resp.StatusCode == http.StatusOK && start >= 0 {
		body = slices.Concat(body[:start], told(lie, false, body[start:end])[0], body[end:])
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// told is what a reader is told instead of text.
func told(lie lie, first bool, text []byte) [][]byte {
	var b loose
	if lie == nil || json.Unmarshal(text, &b) != nil || b.Messages == nil {
		return [][]byte{text}
	}
	var all [][]byte
	for _, b := range lie(first, b) {
		text, err := json.Marshal(b)
		if err != nil {
			panic(err)
		}
		all = append(all, text)
	}
	return all
}

// relay returns what how makes of a body.
func relay(body io.ReadCloser, lie lie, how func(*bufio.Reader, io.Writer, lie) error) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(how(bufio.NewReader(body), w, lie)) }()
	return &relayed{r, body}
}

type relayed struct {
	*io.PipeReader
	body io.Closer
}

func (r *relayed) Close() error { r.PipeReader.Close(); return r.body.Close() }

func relayLines(in *bufio.Reader, out io.Writer, lie lie) error {
	for first := true; ; first = false {
		line, err := in.ReadBytes('\n')
		if err != nil {
			out.Write(line)
			return err
		}
		for _, text := range told(lie, first, line) {
			if _, err := out.Write(append(bytes.TrimSuffix(text, []byte("\n")), '\n')); err != nil {
				return err
			}
		}
	}
}

func relayEvents(in *bufio.Reader, out io.Writer, lie lie) error {
	var b loose
	for first := true; ; {
		text, err := readEvent(in)
		if err != nil {
			return err
		}
		e, err := parseEvent(string(text))
		if err != nil {
			return err
		}
		if e.id != "" {
			b.Cursor = e.id
		}
		switch {
		case e.retry != "":
			out.Write(text)
			continue
		case e.kind == "":
			m, err := parseMessage([]byte(e.data), false)
			if err != nil {
				return err
			}
			if b.Messages = append(b.Messages, m); len(b.Signals) > 0 {
				continue
			}
		case e.kind != "tick":
			b.Signals = append(b.Signals, json.RawMessage(e.data))
			continue
		}
		for _, b := range lie(first, b) {
			if _, err := io.WriteString(out, b.events()); err != nil {
				return err
			}
		}
		first, b = false, loose{}
	}
}

// events is b as events.
func (b loose) events() string {
	var out strings.Builder
	at := ""
	for _, text := range b.Signals {
		var s signal
		if err := json.Unmarshal(text, &s); err != nil {
			panic(err)
		}
		fmt.Fprintf(&out, "event: %s\n", s.Type)
		if s.Type == "reset" {
			fmt.Fprintf(&out, "id: %v\n", s.Cursor)
		}
		fmt.Fprintf(&out, "data: %s\n\n", text)
	}
	for _, m := range b.Messages {
		text, err := json.Marshal(m)
		if err != nil {
			panic(err)
		}
		at = m.Pos.String()
		fmt.Fprintf(&out, "id: %s\ndata: %s\n\n", at, text)
	}
	if len(b.Signals) > 0 || at != b.Cursor {
		out.WriteString("event: tick\n")
		if b.Cursor != "" {
			fmt.Fprintf(&out, "id: %s\n", b.Cursor)
		}
		out.WriteString("data: \n\n")
	}
	return out.String()
}

// relayFrames stands between a reader's WebSocket and the server's.
func relayFrames(w http.ResponseWriter, r *http.Request, to string, transport *http.Transport, lie lie) {
	header := http.Header{}
	if said := r.Header["Authorization"]; said != nil {
		header["Authorization"] = said
	}
	ctx := r.Context()
	var protocols []string
	for name := range strings.SplitSeq(r.Header.Get("Sec-WebSocket-Protocol"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			protocols = append(protocols, name)
		}
	}
	server, _, err := websocket.Dial(ctx, "ws://"+to+r.URL.RequestURI(), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, HTTPHeader: header, Subprotocols: protocols})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer server.CloseNow()
	reader, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"shaveet.v1"}})
	if err != nil {
		return
	}
	defer reader.CloseNow()
	reader.SetReadLimit(4 << 20)
	server.SetReadLimit(4 << 20)
	go func() {
		defer server.CloseNow()
		for {
			kind, text, err := reader.Read(ctx)
			if err != nil || server.Write(ctx, kind, text) != nil {
				return
			}
		}
	}()
	for first := true; ; first = false {
		kind, text, err := server.Read(ctx)
		if err != nil {
			if code := websocket.CloseStatus(err); code != -1 {
				reader.Close(code, "")
			}
			return
		}
		for _, text := range told(lie, first, text) {
			if reader.Write(ctx, kind, text) != nil {
				return
			}
		}
	}
}
