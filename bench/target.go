package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// A target is a kind of server: how its readers come, and how it is told what
// to say. Its methods are called one after the other, but for those of its
// dialects and calls.
type target interface {
	// prepare makes what readers need, clients and subscriptions. It is called
	// once for a run.
	prepare(ctx context.Context, p *Plan) error

	// dialect returns what reader r speaks, on a connection to readersAt.
	dialect(r int) dialect
	readersAt() string

	// says returns how messages are said in the way of the plan.
	says() (call, error)

	// tidy removes what prepare has made.
	tidy(ctx context.Context)
}

// A call is how messages are said.
type call struct {
	url    string // where to connect to
	token  string // shown as a bearer token, if there is one
	batch  int    // messages of one request at most
	socket string // path of a WebSocket whose frames the requests are; empty: there is none

	// request appends the path of a request, and its body.
	request func(path, body []byte, notes []note) (_, _ []byte)
	answer  func(status int, body []byte) error
}

// errOnlyCalls is the answer of targets that know no other way of publishing.
var errOnlyCalls = errors.New("messages are published to this kind of server by calls alone")

// appendMessage appends the JSON of what is said: a string with a note.
func appendMessage(dst []byte, n note, size int) []byte {
	return append(appendNote(append(dst, '"'), n, size), '"')
}

// dial connects to where a URL points: http, https, or unix:/path.
func dial(ctx context.Context, address string) (conn net.Conn, host string, err error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		conn, err = dialer.DialContext(ctx, "unix", path)
		return conn, "localhost", err
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, "", err
	}
	host = u.Host
	switch u.Scheme {
	case "http":
		conn, err = dialer.DialContext(ctx, "tcp", hostPort(u))
	case "https":
		conn, err = (&tls.Dialer{NetDialer: dialer}).DialContext(ctx, "tcp", hostPort(u))
	default:
		err = fmt.Errorf("%q is no address: it must begin with unix:, http:// or https:// and name a host", address)
	}
	return conn, host, err
}

// hostPort is where a URL points.
func hostPort(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Host
	case u.Scheme == "https":
		return net.JoinHostPort(u.Hostname(), "443")
	}
	return net.JoinHostPort(u.Hostname(), "80")
}
