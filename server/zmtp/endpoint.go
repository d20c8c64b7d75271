package zmtp

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// An Endpoint is where a socket is, in the words of package net.
type Endpoint struct{ Network, Address string }

// ParseEndpoint reads an endpoint as ZeroMQ writes it: tcp://HOST:PORT, where
// the host * stands for all of this machine's addresses, or ipc://PATH, where a
// path that begins with @ has no file (on Linux).
func ParseEndpoint(s string) (Endpoint, error) {
	scheme, rest, found := strings.Cut(s, "://")
	switch {
	case found && scheme == "ipc":
		if rest == "" || len(rest) > maxPath {
			return Endpoint{}, fmt.Errorf("%q: must be as ipc:///run/name, with %d bytes after ipc:// at most", s, maxPath)
		}
		return Endpoint{"unix", rest}, nil
	case found && scheme == "tcp":
		host, port, err := net.SplitHostPort(rest)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" {
			return Endpoint{}, fmt.Errorf("%q: must be as tcp://127.0.0.1:5555, with a port of 65535 at most", s)
		}
		if host == "*" {
			host = ""
		}
		return Endpoint{"tcp", net.JoinHostPort(host, port)}, nil
	}
	return Endpoint{}, fmt.Errorf("%q: must begin with tcp:// or ipc://", s)
}

// maxPath is how long the name of a Unix socket may be on every system that we
// know of.
const maxPath = 103

// Local reports whether nobody but this machine can reach a socket that is
// bound to e.
func (e Endpoint) Local() bool {
	if e.Network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(e.Address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (e Endpoint) String() string {
	if e.Network == "unix" {
		return "ipc://" + e.Address
	}
	if strings.HasPrefix(e.Address, ":") {
		return "tcp://*" + e.Address // as ParseEndpoint reads it
	}
	return "tcp://" + e.Address
}
