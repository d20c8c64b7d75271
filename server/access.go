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
	token string
	hosts map[string]bool
	log   *slog.Logger
	limit rareLog
}

func newAdminAccess(next http.Handler, cfg Config, log *slog.Logger) *adminAccess {
	hosts := make(map[string]bool)
	for _, h := range cfg.AllowedHosts {
		hosts[strings.ToLower(h)] = true
	}
	return &adminAccess{next: next, token: cfg.AdminToken, hosts: hosts, log: log}
}

// ServeHTTP answers those who may not call as if there were nothing here; the
// log has the reason.
func (a *adminAccess) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if reason := a.refusal(r); reason != "" {
		if a.limit.allow() {
			a.log.Warn("admin call refused", "reason", reason, "peer", r.RemoteAddr)
		}
		notFound(w, r)
		return
	}
	a.next.ServeHTTP(w, r)
}

// refusal says why r may not call, or nothing.
func (a *adminAccess) refusal(r *http.Request) string {
	if a.token != "" {
		if !sameSecret(bearer(r), a.token) {
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
	if !a.hostAllowed(r.Host) {
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
// cannot have been made to point here by somebody else; a name can.
func (a *adminAccess) hostAllowed(host string) bool {
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
	return host == "" || host == "localhost" || a.hosts[host]
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
type rareLog struct{ last atomic.Int64 }

func (l *rareLog) allow() bool {
	now := time.Now().Unix()
	last := l.last.Load()
	return now != last && l.last.CompareAndSwap(last, now)
}
