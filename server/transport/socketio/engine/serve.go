package engine

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
	"github.com/shaveet/shaveet/server/wsframe"
)

// A call is a request with what it says.
type call struct {
	*Server
	w     http.ResponseWriter
	r     *http.Request
	query url.Values
	form  format
	raise bool // it asks for a WebSocket
}

// ServeHTTP serves one request of a client, whatever its path is. Which pages may
// come, and for how long a body, is not its business.
func (sv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Server: sv, w: w, r: r, query: r.URL.Query()}
	c.raise = strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	if refusal := c.serve(); refusal != nil {
		c.refuse(refusal)
	}
}

// serve checks in the order of the stock server, for clients are told the first
// thing that is wrong.
func (c *call) serve() *fault {
	transport := c.query.Get("transport")
	if transport != "polling" && transport != "websocket" {
		return &unknownTransport
	}
	webSocket := transport == "websocket"
	switch {
	case !validOrigin(c.r.Header.Get("Origin")):
		return &badRequest
	case c.r.Method != http.MethodPost && c.r.ContentLength != 0:
		// Nobody would read the body, which then looked like the next request.
		return &badRequest
	case !c.readFormat():
		return &badRequest
	case !c.query.Has("sid"):
		return c.handshake(webSocket)
	}
	s := c.find(c.query.Get("sid"))
	switch {
	case s == nil:
		return c.forward(c.query.Get("sid"))
	case c.form.script && !s.config.JSONP:
		return &badRequest
	case webSocket && c.raise:
		return c.upgrade(s)
	case webSocket || c.raise:
		return &badRequest
	}
	var f *fault
	switch c.r.Method {
	case http.MethodGet:
		f = c.poll(s)
	case http.MethodPost:
		f = c.post(s)
	default:
		return &badRequest
	}
	if f == &badRequest {
		s.afterProbe(c.r.Context())
	}
	return f
}

// forward has the node answer whose session it is. If it does not, the session is
// lost, as far as the client is concerned.
func (c *call) forward(name string) *fault {
	now := c.config.Load()
	home := c.home(name)
	switch {
	case home == "" || now.Forward == nil:
		return &unknownSession
	case c.r.ContentLength > formSize*int64(now.MaxPayload):
		return &tooLarge
	case now.Forward(home, c.w, c.r):
		return nil
	}
	return &unknownSession
}

// formSize is how many times larger a payload may be as a form.
const formSize = 3

// validOrigin reports whether s could be in a header at all.
func validOrigin(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// readFormat reads in what polls are to be answered, and reports whether that
// makes sense.
func (c *call) readFormat() (ok bool) {
	if !c.query.Has("j") {
		return true
	}
	number, err := strconv.ParseUint(c.query.Get("j"), 10, 64)
	c.form = format{script: true, number: number}
	return err == nil
}

// handshake begins a session.
func (c *call) handshake(webSocket bool) *fault {
	now := c.config.Load()
	version := c.query.Get("EIO")
	switch {
	case c.form.script && !now.JSONP:
		return &badRequest
	case c.r.Method != http.MethodGet:
		return &badMethod
	case webSocket != c.raise:
		return &badRequest
	case version != "4" && (version != "3" || !now.AllowEIO3):
		return &badVersion
	}
	var shake wsframe.Handshake
	if webSocket {
		var err error
		if shake, err = wsframe.ReadHandshake(c.r); err != nil {
			return badHandshake(c.w, err)
		}
	}
	if now.Drain.Err() != nil {
		return c.tooMany(&leaving)
	}
	if !c.guests.admit(c.r.RemoteAddr, now.MaxHandshakes) {
		return c.tooMany(&tooManyHandshakes)
	}
	s := &Session{server: c.Server, config: now, three: version == "3", base64: c.query.Has("b64") || c.form.script, webSocket: webSocket,
		first: markOf([]byte(c.query.Get(moving)))}
	if webSocket {
		return c.beginSocket(s, &shake)
	}
	return c.beginPolling(s)
}

func (c *call) tooMany(f *fault) *fault {
	c.counts.refused.Add(1)
	return f
}

// begin lets the session in, with its app. If another one has to go for it, that
// ends when its lock is not held any more: none is taken under another.
func (c *call) begin(s *Session) *fault {
	var victim *Session
	defer func() {
		if victim != nil {
			victim.displace()
		}
	}()
	fine := false
	s.mu.Lock()
	defer s.unlock(&fine)
	victim, ok := c.add(s)
	f := &tooManySessions
	if ok {
		f = c.open(s)
	}
	fine = true
	return f
}

func (c *call) open(s *Session) *fault {
	if s.webSocket {
		c.counts.sockets.Add(1)
	}
	if s.app = s.config.Open(s, c.r, c.query); s.app == nil {
		s.leave()
		return c.tooMany(&forbidden)
	}
	s.begin()
	return nil
}

func (c *call) beginPolling(s *Session) *fault {
	if f := c.begin(s); f != nil {
		return f
	}
	c.tell(s.three, s.opening())
	return nil
}

func (c *call) beginSocket(s *Session, shake *wsframe.Handshake) *fault {
	k := &socket{session: s, base64: s.base64, reader: wsframe.NewReader(&s.config.frames, false)}
	s.toOpen, s.socket = true, k
	s.conn.Store(&k.Conn)
	if f := c.begin(s); f != nil {
		return f
	}
	return c.hold(k, shake)
}

// upgrade begins a WebSocket that the client may go over to.
func (c *call) upgrade(s *Session) *fault {
	shake, err := wsframe.ReadHandshake(c.r)
	if err != nil {
		return badHandshake(c.w, err)
	}
	k := &socket{session: s, base64: c.query.Has("b64"), reader: wsframe.NewReader(&s.config.frames, false)}
	if f := s.reach(k); f != nil {
		return f
	}
	return c.hold(k, &shake)
}

// hold hands the connection over to k.
func (c *call) hold(k *socket, shake *wsframe.Handshake) *fault {
	accepted := make(http.Header)
	shake.Accept(accepted, "", false)
	for name, values := range accepted {
		c.w.Header()[name] = values
	}
	err := c.lot.Upgrade(&k.Conn, c.w, c.r, k, 0)
	if err == nil {
		return nil
	}
	for name := range accepted {
		c.w.Header().Del(name)
	}
	k.Closed(errNotBegun)
	return &badRequest
}

// poll answers a request that asks for what there is to say, when there is
// something.
func (c *call) poll(s *Session) *fault {
	p := &poll{session: s, format: c.form, mark: markOf([]byte(c.query.Get(moving)))}
	bell, say, f := s.hold(p)
	switch {
	case f != nil:
		return f
	case say != sayNothing:
		c.tell(s.three, sayings[say]...)
		return nil
	}
	if f := p.await(c.r, bell); f != nil {
		return f
	}
	c.head(p.octets)
	// When it is to be answered at the latest, the session knows.
	c.lot.Answer(&p.Conn, c.w, c.r, p, 0)
	return nil
}

// sayings are what polls are told after the end.
var sayings = map[saying][]engineio.Packet{
	sayNoop: {{Type: engineio.Noop}},
	sayBoth: {{Type: engineio.Noop}, {Type: engineio.Close}},
}
