package main

import (
	"context"
	"crypto/tls"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// reachable: does anything answer?
func (d *doctor) reachable(ctx context.Context) finding {
	r, err := d.ask(ctx, question{path: "/healthz"})
	if err != nil {
		return fail(adviceReach, "%s does not answer: %v", d.base, err)
	}
	d.reached = true
	return good("%s answers in %s", d.base, milliseconds(r.took))
}

func milliseconds(t time.Duration) string {
	return (t.Round(100 * time.Microsecond)).String()
}

// certificate: do browsers trust it, and how long yet?
func (d *doctor) certificate(ctx context.Context) finding {
	u, _ := url.Parse(d.base)
	if u.Scheme == "http" {
		if isLoopback(d.base) {
			return skip("no TLS, on this machine alone")
		}
		return warn(adviceTLS, "no TLS: the keys of clients can be read on the way")
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	ctx, cancel := context.WithTimeout(ctx, d.times.answer)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: d.roots, ServerName: u.Hostname()}}
	c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return fail(adviceTLS, "browsers would refuse it: %v", err)
	}
	defer c.Close()
	state := c.(*tls.Conn).ConnectionState()
	leaf := state.PeerCertificates[0]
	left, life := time.Until(leaf.NotAfter), leaf.NotAfter.Sub(leaf.NotBefore)
	text := "valid until " + leaf.NotAfter.Format(time.DateOnly) + ", " + tls.VersionName(state.Version)
	if left < min(14*24*time.Hour, life/3) {
		return warn(adviceTLS, "%s: it ends in %.1f days; is it renewed?", text, left.Hours()/24)
	}
	return good("%s", text)
}

// protocol: which HTTP?
func (d *doctor) protocol(ctx context.Context) finding {
	r, err := d.ask(ctx, question{path: "/healthz"})
	switch {
	case err != nil:
		return fail(adviceReach, "%v", err)
	case strings.HasPrefix(d.base, "https:") && strings.HasPrefix(r.proto, "HTTP/1"):
		return warn(adviceHTTP2, "%s: a browser opens at most six such connections to a host, and each page that polls holds one", r.proto)
	}
	return good("%s", r.proto)
}

// farClock is a difference of clocks that is worth a word.
const farClock = 10 * time.Second

// clock: does who answers know the time?
func (d *doctor) clock(ctx context.Context) finding {
	r, err := d.ask(ctx, question{path: "/healthz"})
	if err != nil {
		return fail(adviceReach, "%v", err)
	}
	date, err := http.ParseTime(r.header.Get("Date"))
	if err != nil {
		return skip("the answers have no Date")
	}
	// A Date is cut to whole seconds, and was written somewhere in between.
	skew := date.Add(500 * time.Millisecond).Sub(r.begun.Add(r.took / 2)).Round(time.Second)
	if math.Abs(float64(skew)) > float64(farClock+r.took) {
		return warn(adviceClock, "the clock there is %+.0f s off this machine's", skew.Seconds())
	}
	return good("within a few seconds of this machine's")
}

// health: is /healthz passed on?
func (d *doctor) health(ctx context.Context) finding {
	return d.probe(ctx, "/healthz", "ok")
}

// readiness: is /readyz, and does it say yes?
func (d *doctor) readiness(ctx context.Context) finding {
	return d.probe(ctx, "/readyz", "ready")
}

func (d *doctor) probe(ctx context.Context, path, wants string) finding {
	r, err := d.ask(ctx, question{path: path})
	switch {
	case err != nil:
		return fail(adviceReach, "%s: %v", path, err)
	case r.status == http.StatusOK && r.line() == wants:
		return good("%s says %q", path, wants)
	case r.status == http.StatusServiceUnavailable && (r.line() == "draining" || r.line() == "waiting for the log"):
		return fail(nil, "%s says %q: no new reader should be sent here now", path, r.line())
	case r.gateway():
		return fail(adviceReach, "%s is answered %s: a proxy does not reach what is behind it", path, r.text)
	}
	return skip("%s is not passed on (%s); balancers must ask the server itself", path, r.described())
}

// script: do pages get shaveet.js?
func (d *doctor) script(ctx context.Context) finding {
	const path = "/static/shaveet.js"
	r, err := d.ask(ctx, question{path: path})
	switch {
	case err != nil:
		return fail(adviceReach, "%s: %v", path, err)
	case r.status == http.StatusNotFound:
		return warn(adviceScript, "%s is not found: pages that load it from here have no script", path)
	case r.status != http.StatusOK || !strings.Contains(r.header.Get("Content-Type"), "javascript") || !r.has("Shaveet"):
		return fail(adviceScript, "%s is not the script but %s", path, r.described())
	}
	return good("%s, %d bytes", path, len(r.body))
}

// keepAlive: can a page poll again on the same connection?
func (d *doctor) keepAlive(ctx context.Context) finding {
	again := *d
	again.http = d.newHTTP()
	defer again.http.CloseIdleConnections()
	var r *reply
	for range 2 {
		var err error
		if r, err = again.ask(ctx, stranger()); err != nil {
			return fail(adviceKeepAlive, "%v", err)
		}
	}
	if !r.reused {
		return warn(adviceKeepAlive, "the connection is closed after an answer, so that every poll makes a new one")
	}
	return good("the connection stays open between two requests")
}
