package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// A site is where readers are served.
type site struct {
	base     string // without a slash at the end
	http     *http.Client
	upgrades *http.Client // speaks HTTP/1.1 alone, of which alone a WebSocket can be made
}

// newSite returns a site. trust may be nil.
func newSite(base string, trust *tls.Config) *site {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // a stream may be held back by it
	if trust != nil {
		transport.TLSClientConfig = trust
	}
	old := transport.Clone()
	old.Protocols = new(http.Protocols)
	old.Protocols.SetHTTP1(true)
	return &site{
		base:     base,
		http:     &http.Client{CheckRedirect: stay, Transport: transport},
		upgrades: &http.Client{CheckRedirect: stay, Transport: old},
	}
}

// close lets go of connections that nobody uses.
func (s *site) close() {
	s.http.CloseIdleConnections()
	s.upgrades.CloseIdleConnections()
}

// post says hello at a path. Credentials go in the body, which no log has.
func (s *site) post(ctx context.Context, path string, header http.Header, h hello) (*http.Response, error) {
	body, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	return s.http.Do(req)
}

// A source reads one batch after the other. Its methods are called by one
// goroutine.
type source interface {
	// next waits for a batch, or until ctx ends. After an error there is no
	// more.
	next(ctx context.Context) (*batch, error)
	close()
}

// A transport is a way to read.
type transport struct {
	name    string
	connect connect // nil: it polls
}

// transports are all of them, those that are tried first in front.
var transports = []transport{
	{"websocket", connectSocket},
	{"sse", connectEvents},
	{"stream", connectLines},
	{"longpoll", nil},
}

func transportNames() (names []string) {
	for _, t := range transports {
		names = append(names, t.name)
	}
	return names
}

func (t transport) streams() bool { return t.connect != nil }

// open returns what reads at s. Nothing has been sent yet.
func (t transport) open(s *site, h hello) source {
	if t.streams() {
		return newStream(s, h, nil, t.connect)
	}
	return &poller{s, h}
}

func transportOf(name string) transport {
	return transports[slices.IndexFunc(transports, func(t transport) bool { return t.name == name })]
}

// A poller reads by /longpoll.
type poller struct {
	site  *site
	hello hello
}

func (p *poller) next(ctx context.Context) (*batch, error) {
	resp, err := p.site.post(ctx, "/longpoll", nil, p.hello)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := readBatch(resp, "/longpoll")
	if err == nil && b.Cursor != "" {
		p.hello.Cursor = b.Cursor
	}
	return b, err
}

func (p *poller) close() {}

// A connect begins a stream, which ends with ctx. header has what is to be said
// beside what the transport says; it may be nil.
type connect func(ctx context.Context, s *site, header http.Header, h hello) (*incoming, error)

// An incoming is what a stream brings, once it has begun.
type incoming struct {
	status string
	header http.Header // of the answer
	read   func() (*batch, error)
	socket *socket // nil if it is none
	io.Closer
}

// A stream reads by one connection.
type stream struct {
	begin  func() (*incoming, error)
	cancel context.CancelFunc // ends the connection, also under way
	in     *incoming          // nil: it has not begun
	alive  bool               // a batch has come
}

func newStream(s *site, h hello, header http.Header, begin connect) *stream {
	ctx, cancel := context.WithCancel(context.Background())
	return &stream{
		begin:  func() (*incoming, error) { return begin(ctx, s, header, h) },
		cancel: cancel,
	}
}

func (s *stream) next(ctx context.Context) (*batch, error) {
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	if s.in == nil {
		in, err := s.begin()
		if err != nil {
			return nil, err
		}
		s.in = in
	}
	b, err := s.in.read()
	var status *statusError
	switch {
	case err == nil:
		s.alive = true
		return b, nil
	case errors.Is(err, errTooLong), errors.As(err, &status), errors.Is(err, errNoBatch) && !s.alive:
		return nil, err
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF // it has not said that it ends
	}
	return nil, &brokenError{err}
}

func (s *stream) close() {
	s.cancel()
	if s.in != nil {
		s.in.Close()
	}
}

// A brokenError is why a stream has ended that should not have. Another one may
// do better.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return fmt.Sprintf("the connection broke off: %v", e.err) }
func (e *brokenError) Unwrap() error { return e.err }

// errSilent ends what brings nothing for longer than it may.
var errSilent = &brokenError{errors.New("nothing has come for too long")}

// saidByServer reports whether err is what the server itself has said, which it
// would say again by any transport.
func saidByServer(err error) bool {
	var status *statusError
	var closed *closeError
	return errors.As(err, &status) && status.said || errors.As(err, &closed) && closed.said()
}
