package backend

import (
	"context"
	"errors"
	"hash/maphash"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shaveet/shaveet/server/wsframe"
)

// A conn is one connection. The goroutine of its handler reads, one writes, and
// one does what is requested.
type conn struct {
	server *Server
	rw     net.Conn
	out    *outbox
	ctx    context.Context // of what is done for it
	cancel context.CancelFunc
	seed   maphash.Seed
	number uint64 // since enter

	// Of the goroutine that reads.
	reader wsframe.Reader
	pinged bool // nothing has come since the last ping

	answer []byte // room for the one that is made; of the goroutine that does

	loads    chan *load     // what is to be done; closed when nothing more will be
	waiting  sync.WaitGroup // for requests that take their time
	waitings atomic.Int64   // how many there are

	gone chan struct{} // closed when no call of ours will be answered any more

	mu       sync.Mutex             // guards all below; may be taken under the server's
	draining bool                   // it is time to go
	retired  bool                   // no more calls are made
	deaf     bool                   // nothing more is read
	lastCall uint64                 // number of the last one
	calls    map[uint64]chan []byte // for the text of the reply to each
}

func newConn(s *Server, rw net.Conn, ctx context.Context) *conn {
	c := &conn{
		server: s,
		rw:     rw,
		out:    newOutbox(s.opts.MaxUnread, s.opts.WriteTimeout),
		seed:   maphash.MakeSeed(),
		loads:  make(chan *load, maxLoads),
		gone:   make(chan struct{}),
		calls:  make(map[uint64]chan []byte),
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	// What is longer than a request may be may still be a reply.
	limits := wsframe.Limits{Message: max(int(s.opts.MaxBody), s.opts.MaxAnswer())}.WithDefaults()
	c.reader = wsframe.NewReader(&limits, false)
	return c
}

// A farewell is why a connection is not read any more.
type farewell struct {
	err  error  // the connection is lost; nil: it is closed as follows
	code uint16 // of the close frame that is sent
	text string
	peer bool // the peer has closed it
}

var (
	errSilent = &farewell{code: wsframe.CodePolicy, text: "there was no answer to a ping"}
	errLeave  = &farewell{code: wsframe.CodeRestart, text: "the server lets go of its connections"}
)

// serve serves the connection to its end. early is what has come already.
func (c *conn) serve(early []byte) {
	defer c.cancel()
	defer context.AfterFunc(c.server.cut, c.cancel)()
	defer c.waiting.Wait()
	var doing, others sync.WaitGroup
	doing.Go(c.do)
	others.Go(c.write)
	why := c.read(early)
	c.retire(why)
	close(c.loads)
	if why.err != nil {
		c.rw.Close()
		c.out.finish(nil)
		others.Wait()
		close(c.gone) // nobody waits longer for what will not come
		doing.Wait()
		return
	}
	if !why.peer {
		c.rw.SetReadDeadline(time.Time{})
		others.Go(c.passOver)
	}
	doing.Wait()
	if why == errLeave {
		c.waiting.Wait()
	}
	c.out.finish(wsframe.AppendClose(nil, why.code, why.text))
	<-c.out.ended
	close(c.gone)
	if why.peer || closeWrite(c.rw) != nil {
		c.rw.Close()
	} else {
		c.rw.SetReadDeadline(time.Now().Add(lingerTime))
	}
	others.Wait()
	c.rw.Close()
}

// write writes until all is said, or the connection is lost.
func (c *conn) write() {
	err := c.out.run(c.rw)
	if errors.Is(err, errTooSlow) {
		c.server.counts.slow.Add(1)
	}
	if err != nil {
		c.rw.Close() // which ends the reading
	}
}

// lingerTime is how long a peer may take to hear the end, and lingerBytes how
// much it may say meanwhile.
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 8 << 20
)

// passOver reads what nobody hears any more: a peer that talks may not listen
// before it is through, and when a connection is closed with something on it
// that nobody has read, the peer may lose what it has not read yet.
func (c *conn) passOver() {
	b := make([]byte, 4<<10)
	for noise := 0; noise < lingerBytes; {
		n, err := c.rw.Read(b)
		if err != nil {
			return
		}
		noise += n
	}
}

// closeWrite says the end of what is written, if the connection can.
func closeWrite(c net.Conn) error {
	for {
		if half, ok := c.(interface{ CloseWrite() error }); ok {
			return half.CloseWrite()
		}
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return errors.ErrUnsupported
		}
		c = outer.NetConn()
	}
}

// A load is what one read has brought.
type load struct {
	buf      [16 << 10]byte
	messages []message // to be done, in this order; parts of buf, or memory of their own
}

// maxLoads is how many loads may be waiting to be done.
const maxLoads = 4

var loads = sync.Pool{New: func() any { return new(load) }}

func (l *load) release() {
	if clear(l.messages); cap(l.messages) > 4<<10 {
		l.messages = nil
	}
	l.messages = l.messages[:0]
	loads.Put(l)
}

// read reads until there is a reason not to.
func (c *conn) read(early []byte) *farewell {
	for {
		l := loads.Get().(*load)
		n := copy(l.buf[:], early)
		early = early[n:]
		var why *farewell
		if n == 0 {
			n, why = c.listen(l.buf[:])
		}
		if why == nil {
			why = c.take(l, l.buf[:n])
		}
		if len(l.messages) > 0 {
			c.loads <- l
		} else {
			l.release()
		}
		if why != nil {
			return why
		}
	}
}

// listen waits for what comes, once there is room for what it may be answered.
func (c *conn) listen(b []byte) (n int, why *farewell) {
	for {
		c.out.await(nil)
		if !c.listening() {
			return 0, errLeave
		}
		n, err := c.rw.Read(b)
		switch {
		case n > 0:
			c.pinged = false
			return n, nil // an error comes again
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return 0, &farewell{err: err}
		case !c.listening():
			return 0, errLeave
		case c.pinged:
			c.server.counts.dead.Add(1)
			return 0, errSilent
		}
		c.pinged = true
		c.out.append(func(b []byte) []byte { return wsframe.AppendPing(b, nil) })
		c.out.flush()
	}
}

// listening says how long to wait for the peer, unless it is time to go: then
// it reports false.
func (c *conn) listening() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving() {
		return false
	}
	c.rw.SetReadDeadline(time.Now().Add(c.server.opts.Heartbeat()))
	return true
}

// leaving reports whether nothing more is to be read: it is time to go, and
// there is no call that the peer might reply to. mu is held.
func (c *conn) leaving() bool { return c.draining && len(c.calls) == 0 }

// drain has the connection end as soon as nothing is under way.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining, c.retired = true, true
	c.settle()
}

// settle ends the reading if it is time. mu is held.
func (c *conn) settle() {
	if c.leaving() && !c.deaf {
		c.rw.SetReadDeadline(time.Unix(1, 0))
	}
}

// take takes what has come: replies at once, and requests into the load.
func (c *conn) take(l *load, p []byte) *farewell {
	var pong []byte
	defer func() {
		if pong != nil {
			c.out.append(func(b []byte) []byte { return wsframe.AppendPong(b, pong) })
			c.out.flush()
		}
	}()
	for len(p) > 0 {
		n, f, err := c.reader.Feed(p)
		if err != nil {
			return &farewell{code: wsframe.CodeOf(err), text: err.Error()}
		}
		p = p[n:]
		switch f.Op {
		case wsframe.Text:
			m := sort(f.Data, c.server.waits)
			if m.kind != reply || !c.replied(m) {
				l.messages = append(l.messages, m)
			}
		case wsframe.Binary:
			return &farewell{code: wsframe.CodeUnsupported, text: "messages must be text"}
		case wsframe.Ping:
			pong = append(make([]byte, 0, 1), f.Data...) // the last one is enough
		case wsframe.Close:
			return &farewell{code: f.Code, peer: true}
		}
	}
	return nil
}
