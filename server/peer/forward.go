package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// A passage is a request that is handed on.
type passage struct {
	to     *other
	asker  string // the address it has come from
	failed bool   // nothing of an answer has been written
	writer *http.ResponseController
}

type (
	passageKey   struct{}
	forwardedKey struct{}
)

// Forwarded reports whether another node has handed r on: then it is not handed
// on again.
func Forwarded(r *http.Request) bool { return r.Context().Value(forwardedKey{}) != nil }

// Forward has another node answer a request, which may be for a WebSocket, and
// returns at the end of the answer. It reports false if that cannot be, and
// nothing has been written then: there is no such node, or it has not answered, or
// there are too many such requests already.
func (p *Peers) Forward(node string, w http.ResponseWriter, r *http.Request) bool {
	if Forwarded(r) {
		return false
	}
	to := p.other(node)
	if to == nil {
		return false
	}
	defer p.counts.under.Add(-1)
	defer to.under.Add(-1)
	all, one := p.counts.under.Add(1), to.under.Add(1)
	if one > int64(p.opts.MaxForwards) || p.opts.MaxUnderWay > 0 && all > int64(p.opts.MaxUnderWay) {
		p.counts.failed.Add(1)
		return false
	}
	p.counts.forwarded.Add(1)
	way := &passage{to: to, asker: r.RemoteAddr, writer: http.NewResponseController(w)}
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), passageKey{}, way))
	defer cancel()
	defer context.AfterFunc(to.ctx, cancel)()
	way.writer.SetWriteDeadline(time.Time{}) // the answer may have to wait
	kept := clearHeader(w.Header())
	p.proxy.ServeHTTP(w, r.WithContext(ctx))
	if way.failed {
		restoreHeader(w.Header(), kept)
		way.writer.SetWriteDeadline(time.Now().Add(p.opts.WriteTimeout))
		p.counts.failed.Add(1)
	}
	return !way.failed
}

// clearHeader takes off what is said of the answer already: the other node says it
// again. That the connection is to be closed is said by this one.
func clearHeader(h http.Header) (was http.Header) {
	was = h.Clone()
	clear(h)
	if last := was["Connection"]; last != nil {
		h["Connection"] = last
	}
	return was
}

func restoreHeader(h, was http.Header) {
	clear(h)
	for name, values := range was {
		h[name] = values
	}
}

func (p *Peers) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:      p.forward,
		Rewrite:        p.rewrite,
		ModifyResponse: p.check,
		FlushInterval:  -1,
		BufferPool:     &buffers{},
		ErrorLog:       log.New(discard{}, "", 0), // what it has to say, the error handler is told
		ErrorHandler:   p.fail,
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// buffers are lent to who hands on an answer.
type buffers struct{ pool sync.Pool }

// bufferSize is what most answers fit into.
const bufferSize = 8 << 10

// Get is part of [httputil.BufferPool].
func (b *buffers) Get() []byte {
	if v, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return v[:]
	}
	return make([]byte, bufferSize)
}

// Put is part of [httputil.BufferPool].
func (b *buffers) Put(p []byte) { b.pool.Put((*[bufferSize]byte)(p)) }

// rewrite makes the request that the other node gets: the same one, and from whom
// it is.
func (p *Peers) rewrite(pr *httputil.ProxyRequest) {
	way := pr.In.Context().Value(passageKey{}).(*passage)
	u := *pr.In.URL
	u.Scheme, u.Host = "http", way.to.Addr
	pr.Out.URL, pr.Out.Host = &u, pr.In.Host
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, there := pr.In.Header[name]; there {
			pr.Out.Header[name] = values
		}
	}
	p.show(pr.Out.Header, way.to.ID)
	pr.Out.Header.Set(methodHeader, pr.In.Method)
	if !becomesWebSocket(pr.In.Header) {
		pr.Out.Method = http.MethodPost
		pr.Out.Header.Del("Upgrade") // to what only the two ends of one connection can speak
		pr.Out.Header.Del("Connection")
	}
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} { // by which net/http takes a POST for one to be made again
		pr.Out.Header.Del(name)
	}
	pr.Out.Header.Set(peerHeader, address(way.asker))
}

// becomesWebSocket reports whether a request asks for a WebSocket, which is all that
// a connection can become here.
func becomesWebSocket(h http.Header) bool {
	return strings.EqualFold(h.Get("Upgrade"), "websocket")
}

// address is how a peer's address is handed on; that of a Unix socket is none.
func address(remote string) string {
	if _, err := netip.ParseAddrPort(remote); err != nil {
		return "unix"
	}
	return remote
}

var errStranger = errors.New("it is not the node that was meant")

// check sees to it that an answer comes from the node that was meant.
func (p *Peers) check(resp *http.Response) error {
	way := resp.Request.Context().Value(passageKey{}).(*passage)
	if resp.Header.Get(byHeader) != way.to.ID {
		return fmt.Errorf("%w (status %d)", errStranger, resp.StatusCode)
	}
	resp.Header.Del(byHeader)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		way.writer.SetReadDeadline(time.Time{})
		return nil
	}
	way.writer.SetWriteDeadline(time.Now().Add(p.opts.WriteTimeout))
	return nil
}

// fail leaves it to the caller of Forward to say what it means that there is no
// answer.
func (p *Peers) fail(_ http.ResponseWriter, r *http.Request, err error) {
	way := r.Context().Value(passageKey{}).(*passage)
	way.failed = true
	if !errors.Is(err, context.Canceled) {
		p.opts.Logger.Debug("another node has not answered a request", "node", way.to.ID, "name", way.to.Name, "err", err)
	}
}

// serveForwarded serves a request that another node has handed on, as if it had
// come here.
func (p *Peers) serveForwarded(w http.ResponseWriter, r *http.Request) {
	if p.opts.Forwarded == nil {
		http.NotFound(w, r)
		return
	}
	p.counts.served.Add(1)
	asker := r.Header.Get(peerHeader)
	r = r.WithContext(context.WithValue(r.Context(), forwardedKey{}, true))
	r.Method = r.Header.Get(methodHeader)
	for _, name := range []string{secretHeader, toHeader, peerHeader, methodHeader} {
		r.Header.Del(name)
	}
	r.RemoteAddr = asker
	if asker == "unix" {
		r.RemoteAddr = "@"
	}
	p.opts.Forwarded.ServeHTTP(&answerWriter{w, r}, r)
}

// An answerWriter writes the answer to a request that was handed on. Only what
// becomes a WebSocket is taken from net/http: for others whoever takes a
// connection would know only the node it has come from.
type answerWriter struct {
	http.ResponseWriter
	request *http.Request
}

// SetReadDeadline is for [http.ResponseController].
func (w *answerWriter) SetReadDeadline(at time.Time) error {
	return http.NewResponseController(w.ResponseWriter).SetReadDeadline(at)
}

// SetWriteDeadline is for [http.ResponseController].
func (w *answerWriter) SetWriteDeadline(at time.Time) error {
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(at)
}

// FlushError is for [http.ResponseController].
func (w *answerWriter) FlushError() error {
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack is for [http.ResponseController].
func (w *answerWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !becomesWebSocket(w.request.Header) {
		return nil, nil, http.ErrNotSupported
	}
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		conn = &handedOn{conn, w.request.RemoteAddr}
	}
	return conn, rw, err
}

// handedOn is a connection with another node that is as good as one with a browser.
type handedOn struct {
	net.Conn
	asker string
}

// RemoteAddr returns the browser's address.
func (c *handedOn) RemoteAddr() net.Addr {
	at, err := netip.ParseAddrPort(c.asker)
	if err != nil {
		return c.Conn.RemoteAddr()
	}
	return net.TCPAddrFromAddrPort(at)
}

// NetConn returns the connection with the other node.
func (c *handedOn) NetConn() net.Conn { return c.Conn }

// Detach is for package park, to whom the connection is nothing but its descriptor.
func (c *handedOn) Detach() (conn net.Conn, gone func()) {
	if d, is := c.Conn.(interface{ Detach() (net.Conn, func()) }); is {
		return d.Detach() // the listener's, which counts it
	}
	return c.Conn, nil
}
