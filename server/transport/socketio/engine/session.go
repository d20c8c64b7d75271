package engine

import (
	"encoding/base64"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/alarm"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/socketio/engineio"
)

// A sid is the name of a session, which only its client knows. Where there are
// several nodes, the client knows it with that of the node in front.
type sid [15]byte

// sidSize is how many characters of base64 it has.
const sidSize = 20

func (id sid) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func parseSID(name string) (id sid, ok bool) {
	if len(name) != sidSize {
		return id, false
	}
	n, err := base64.RawURLEncoding.Decode(id[:], []byte(name))
	return id, err == nil && n == len(id)
}

// A state is how far a session has come.
type state uint8

const (
	fresh   state = iota // nobody knows of it
	open                 //
	excused              // it has ended; a poll that was on its way is told nothing
	telling              // it has ended, which its next poll is told
	over                 // it has ended, and can be found no more
)

// A Session is one client's. Where nothing else is said, its methods may be
// called by many goroutines at once.
type Session struct {
	// Set before anybody else sees it.

	server *Server
	config *config

	conn  atomic.Pointer[park.Conn] // what a Wake goes to; nil: nobody could take anything
	alarm alarm.Alarm               // of the server's clock

	mu  sync.Mutex // guards all below, and is held for each call of app
	app App        // nil at the end

	poll    *poll      // held, and not answered; nil: none is
	socket  *socket    // nil: it has none, or none any more
	upgrade *upgrade   // nil: none is under way
	carrier *park.Conn // has what Next put last, if put
	stash   stash      // has it otherwise

	// Times of the server's clock.

	setTo  time.Duration // what the alarm was set to last; 0: it never was
	pingAt time.Duration // when the next ping is, or was, due; with protocol 3, the client's
	dueAt  time.Duration // when the app is due; 0: never
	until  time.Duration // how long it can be found after its end
	quota  time.Duration // when the packets that have come would be due, since the server began

	// Guarded by the server's lock of its table.

	slot     int32 // its place among those that stand as it does
	standing standing

	// Guarded by the session's again.

	id        sid  // set before anybody else sees it
	first     mark // of the handshake, set before anybody else sees it
	last      mark // of the last poll
	state     state
	three     bool   // protocol 3
	base64    bool   // the client takes no binary
	webSocket bool   // is its transport
	put       bool   // Next has put something that is not Sent
	pinged    bool   // the ping of pingAt has been, or is to be, sent
	toOpen    bool   // the first packet is to be sent
	toPing    bool   // a ping is to be sent
	toPong    bool   // a ping has come, with protocol 3, which is to be answered
	posting   bool   // a request's body is being read
	failing   Reason // what the app has said to Fail
	why       Reason // it has ended
}

// A mark stands for what a client puts into the query of a request so that it
// differs from all others. 0: there is nothing.
type mark uint32

func markOf(value []byte) mark {
	if len(value) == 0 {
		return 0
	}
	return mark(max(uint32(maphash.Bytes(seed, value)), 1))
}

var seed = maphash.MakeSeed()

// stash is what Next has put before it was clear in which form it goes out.
type stash []engineio.Packet

func (st stash) binary() bool {
	for _, p := range st {
		if p.Binary {
			return true
		}
	}
	return false
}

// ID returns the session's name, which is a secret between its client and us.
func (s *Session) ID() string { return s.server.node + s.id.String() }

// Protocol returns the version of Engine.IO that the client speaks, 3 or 4.
func (s *Session) Protocol() int {
	if s.three {
		return 3
	}
	return 4
}

// Transport returns by what the client is connected now, "polling" or
// "websocket". It is for methods of the app, and Open.
func (s *Session) Transport() string {
	if s.webSocket {
		return "websocket"
	}
	return "polling"
}

// Peer returns by what the client is connected now, as Transport does, and its
// address as far as that is known: between two polls it is not. It waits for the
// methods of the app: the caller must hold no lock that they take.
func (s *Session) Peer() (transport, address string) {
	s.mu.Lock()
	transport = s.Transport()
	var c *park.Conn
	switch {
	case s.socket != nil:
		c = &s.socket.Conn
	case s.poll != nil:
		c = &s.poll.Conn
	}
	s.mu.Unlock()
	if c != nil {
		address = c.RemoteAddr()
	}
	return transport, address
}

// Wake has the app's Next be called as soon as the transport can take something.
// It never blocks and takes no lock of the session's.
func (s *Session) Wake() {
	if c := s.conn.Load(); c != nil {
		c.Wake() // else Next is called when there is one
	}
}

// DueIn has the app's Due be called in d, once, and no more when it was to be
// before; 0: never. It is for methods of the app, and Open.
func (s *Session) DueIn(d time.Duration) {
	s.dueAt = 0
	if d > 0 {
		s.dueAt = s.now() + d
	}
	s.wind()
}

// Close ends the session because of why: what Next has put still goes out, then
// the client is told. It is not for methods of the app, and waits for them: the
// caller must hold no lock that they take.
func (s *Session) Close(why Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish(why)
}

// Fail does the same for methods of the app, and Open, as soon as they have
// returned. What Next puts in the same call still goes out.
func (s *Session) Fail(why Reason) {
	if s.failing == 0 {
		s.failing = why
	}
}

func (s *Session) now() time.Duration { return s.server.clock.Now() }

// settle does what the app has said to Fail.
func (s *Session) settle() {
	if why := s.failing; why != 0 {
		s.finish(why)
	}
}

// unlock unlocks the session, which ends if its app has panicked: then the caller
// has not come so far as to say that all is fine.
func (s *Session) unlock(fine *bool) {
	defer s.mu.Unlock()
	if !*fine {
		s.finish(Panicked)
	}
}
