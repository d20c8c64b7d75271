// Package webhook has calls of JSON-RPC made by HTTP: one POST each, signed, so
// that who receives it can know where it comes from. [Protect] checks that for
// receivers in Go.
package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/handler"
)

// Options are what a [Caller] is made with.
type Options struct {
	// URL is where calls are posted to. See [CheckURL].
	URL string
	// Secrets sign the calls, each with all of them: so that a secret can be
	// changed, receivers may know either. At least one; see [CheckSecret].
	Secrets []string
	// Version is told as that of shaveet; default "dev".
	Version string
	// MaxAnswerBytes is how long an answer may be; default 1 MiB.
	MaxAnswerBytes int
	// TLS is used for https; nil: the system's certificates decide. It is not
	// changed by Configure.
	TLS *tls.Config
}

// DefaultMaxAnswerBytes is how long an answer may be if nothing else is said.
const DefaultMaxAnswerBytes = 1 << 20

func (o *Options) check() error {
	faults := []error{CheckURL(o.URL)}
	if len(o.Secrets) == 0 {
		faults = append(faults, errors.New("secret: must be given"))
	}
	for _, s := range o.Secrets {
		faults = append(faults, CheckSecret(s))
	}
	return errors.Join(faults...)
}

// CheckURL says what is wrong with the URL of a webhook.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil: // its words have the URL
		return errors.New("url: is none")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return errors.New("url: must be as in https://example.org/hook")
	case u.User != nil:
		return errors.New("url: must not have a user; calls are signed")
	case u.Fragment != "":
		return errors.New("url: must not have a fragment")
	}
	return nil
}

// minSecret is how long a secret is at least, in bytes.
const minSecret = 16

// CheckSecret says what is wrong with a secret.
func CheckSecret(s string) error {
	if len(s) < minSecret {
		return fmt.Errorf("secret: must have at least %d bytes", minSecret)
	}
	return nil
}

// A Caller makes calls. [New] makes one. Its methods may be called by many
// goroutines at once.
type Caller struct {
	opts      atomic.Pointer[Options]
	transport *http.Transport
}

var _ handler.Caller = (*Caller)(nil)

const (
	// idleTime is how long a connection is kept for another call. It is less than
	// servers keep theirs, most of them two seconds at least: a call that is sent
	// at the moment in which the other side hangs up cannot be tried again,
	// because nobody knows whether it was heard.
	idleTime = time.Second
	// keptConns is more than the calls that are under way at once by default.
	keptConns = 256
	// headerBytes is how long the header of an answer may be.
	headerBytes = 64 << 10
)

// New returns a caller. Close has it keep no connections.
func New(opts Options) (*Caller, error) {
	c := &Caller{}
	if err := c.Configure(opts); err != nil {
		return nil, err
	}
	secure := opts.TLS.Clone()
	if secure == nil {
		secure = &tls.Config{}
	}
	if secure.ClientSessionCache == nil {
		secure.ClientSessionCache = tls.NewLRUClientSessionCache(0) // connections are kept for a short time alone
	}
	secure.NextProtos = []string{"http/1.1"}
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}
	c.transport = &http.Transport{
		Proxy: nil, // whatever the environment says
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return counted(dialer.DialContext(ctx, network, addr))
		},
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			secured := tls.Dialer{NetDialer: &dialer, Config: secure}
			return counted(secured.DialContext(ctx, network, addr))
		},
		DisableCompression:     true, // an answer is as long as it is
		MaxIdleConns:           keptConns,
		MaxIdleConnsPerHost:    keptConns,
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: headerBytes,
		Protocols:              new(http.Protocols),
	}
	c.transport.Protocols.SetHTTP1(true) // a connection has one call at a time, whose bytes can be counted
	return c, nil
}

// Configure replaces the options but for TLS. With an error they stay as they are.
func (c *Caller) Configure(opts Options) error {
	if err := opts.check(); err != nil {
		return err
	}
	opts.Secrets = slices.Clone(opts.Secrets)
	opts.Version = cmp.Or(opts.Version, "dev")
	opts.MaxAnswerBytes = cmp.Or(opts.MaxAnswerBytes, DefaultMaxAnswerBytes)
	c.opts.Store(&opts)
	return nil
}

// Close closes the connections that nobody uses.
func (c *Caller) Close() { c.transport.CloseIdleConnections() }

// Call is part of [handler.Caller].
func (c *Caller) Call(ctx context.Context, call *handler.Call) (json.RawMessage, error) {
	opts := c.opts.Load()
	seen, body := new(traced), bodyOf(call)
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, seen.trace()), http.MethodPost, opts.URL, bytes.NewReader(body))
	if err != nil {
		return nil, &handler.NotSent{Err: err}
	}
	sign(req.Header, call.ID, body, opts.Secrets, time.Now())
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "shaveet/"+opts.Version)
	// A client would follow redirects; a transport does not.
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, seen.failure(ctx, err)
	}
	defer resp.Body.Close()
	return read(ctx, resp, call.ID, opts.MaxAnswerBytes)
}

// bodyOf returns a call as it is posted.
func bodyOf(c *handler.Call) []byte {
	b := make([]byte, 0, len(c.Params)+128)
	id, _ := json.Marshal(c.ID) // strings can be
	method, _ := json.Marshal(c.Method)
	b = append(append(b, `{"jsonrpc":"2.0","id":`...), id...)
	b = append(append(b, `,"method":`...), method...)
	b = append(b, `,"params":`...)
	b = append(b, c.Params...)
	return append(b, '}')
}

type statusError int

func (e statusError) Error() string { return fmt.Sprintf("the answer has the status %d", int(e)) }

// drained is how much of an answer that is of no use is read, so that the
// connection can be.
const drained = 64 << 10

// read reads an answer.
func read(ctx context.Context, resp *http.Response, id string, most int) (json.RawMessage, error) {
	switch status := resp.StatusCode; {
	case status == http.StatusNoContent:
		return json.RawMessage("null"), nil
	case status >= 502 && status <= 504:
		io.CopyN(io.Discard, resp.Body, drained)
		return nil, &handler.Lost{Err: statusError(status)}
	case status >= 300:
		io.CopyN(io.Discard, resp.Body, drained)
		return nil, statusError(status)
	case status < 200: // it wants to speak something else from now on
		return nil, statusError(status)
	}
	tooLong := fmt.Errorf("the answer is longer than handler_max_answer_bytes = %d", most)
	if resp.ContentLength > int64(most) {
		return nil, tooLong
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &handler.Lost{Err: fmt.Errorf("the answer has broken off: %w", err)}
	case len(body) > most:
		return nil, tooLong
	}
	return handler.ParseAnswer(body, id)
}
