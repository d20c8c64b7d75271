package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// adminAccess lets the backend through to the admin API, and nobody else.
//
// With a token configured, who shows it is the backend. Without one it must be
// a program on this machine that calls us directly: a web page gives itself
// away by headers that browsers add and pages cannot take off, a proxy by those
// that proxies add, and a name that was made to point here by the Host.
type adminAccess struct {
	next  http.Handler
	live  *atomic.Pointer[live]
	log   *slog.Logger
	limit *rareLog // of all that is refused
}

// guard lets only the backend through to next.
func (s *Server) guard(next http.Handler) http.Handler {
	return &adminAccess{next: next, live: &s.live, log: s.log, limit: &s.refused}
}

// mayCall reports whether guard would let a request through.
func (s *Server) mayCall(r *http.Request) bool {
	return (&adminAccess{live: &s.live}).refusal(r) == ""
}

// allowedHosts are the names that requests without a token may use.
func allowedHosts(cfg Config) map[string]bool {
	hosts := make(map[string]bool)
	for _, h := range cfg.AllowedHosts {
		hosts[strings.ToLower(h)] = true
	}
	return hosts
}

// ServeHTTP answers those who may not call as if there were nothing here; the
// log has the reason.
func (a *adminAccess) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if reason := a.refusal(r); reason != "" {
		if a.limit.allow() {
			a.log.WarnContext(r.Context(), "admin call refused", "reason", reason, "peer", r.RemoteAddr)
		}
		notFound(w, r)
		return
	}
	a.next.ServeHTTP(w, r)
}

// refusal says why r may not call, or nothing.
func (a *adminAccess) refusal(r *http.Request) string {
	now := a.live.Load()
	if token := now.cfg.AdminToken; token != "" {
		if !sameSecret(bearer(r), token) {
			return "no admin token, or a wrong one"
		}
		return ""
	}
	if !localPeer(r.RemoteAddr) {
		return "the peer is not on this machine"
	}
	for name := range r.Header {
		if tellsOfBrowserOrProxy(name) {
			return "the request has the header " + name
		}
	}
	if !hostAllowed(r.Host, now.hosts) {
		return "the host is not listed"
	}
	return ""
}

// tellsOfBrowserOrProxy reports whether a header of this canonical name is one
// that only web pages or proxies send.
func tellsOfBrowserOrProxy(name string) bool {
	switch name {
	case "Origin", "Sec-Fetch-Site", "Forwarded", "X-Real-Ip", "Via",
		"X-Client-Ip", "Cf-Connecting-Ip", "True-Client-Ip", "X-Original-Forwarded-For":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// hostAllowed reports whether a request may be addressed to host. An address
// cannot have been made to point here by somebody else; a name can, so it must
// be one of those listed.
func hostAllowed(host string, listed map[string]bool) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(host)
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Zone() == ""
	}
	return host == "" || host == "localhost" || listed[host]
}

// localPeer reports whether a peer is on this machine. Those of Unix sockets
// have no address.
func localPeer(remote string) bool {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote == "" || strings.HasPrefix(remote, "@") || strings.HasPrefix(remote, "/")
	}
	return ap.Addr().Unmap().IsLoopback()
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// sameSecret compares in a time that tells nothing of either.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// A rareLog lets one line a second through, so that a flood of bad requests
// does not become a flood of lines.
type rareLog struct {
	last    atomic.Int64
	dropped func() // told of each line that was not let through
}

func (l *rareLog) allow() bool {
	now := time.Now().Unix()
	last := l.last.Load()
	if now != last && l.last.CompareAndSwap(last, now) {
		return true
	}
	l.dropped()
	return false
}
