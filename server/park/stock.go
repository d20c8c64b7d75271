package park

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// A stock is a request that stays with net/http, and with its handler's
// goroutine.
type stock struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	r     *http.Request
	bell  chan struct{} // rung when there is something to look at
	whole bool          // one answer, and not a stream
	begun bool          // the head has been written
	err   error         // why it has ended, if not as it should
}

func newStock(w http.ResponseWriter, r *http.Request, whole bool) *stock {
	return &stock{w: w, rc: http.NewResponseController(w), r: r, whole: whole, bell: make(chan struct{}, 1)}
}

// stay looks after the request until it has ended. The mark running is set.
func (s *stock) stay(c *Conn) {
	c.stock = s
	c.tick()
	// What comes for longer than a request may take is still wanted.
	s.rc.SetReadDeadline(time.Time{})
	c.lot.add(c)
	defer c.lot.remove(c)
	stop := context.AfterFunc(s.r.Context(), func() { c.kick(hungUp) })
	defer stop()
	if !s.whole {
		s.begin()
		s.rc.Flush() // if that fails, so does what follows
	}
	for !c.run() {
		<-s.bell
	}
	s.leave()
}

// begin writes the head of a stream.
func (s *stock) begin() {
	if !s.begun {
		s.begun = true
		s.w.WriteHeader(http.StatusOK)
	}
}

// write writes p, the whole of it if there is to be one answer, and returns
// when the kernel has it.
func (s *stock) write(c *Conn, p []byte) error {
	began := time.Now()
	// Not every writer has deadlines; net/http's connections do.
	if err := s.rc.SetWriteDeadline(began.Add(c.lot.opts.WriteTimeout)); err == nil {
		defer s.rc.SetWriteDeadline(time.Time{})
	}
	if s.whole {
		s.w.Header().Set("Content-Length", strconv.Itoa(len(p)))
		if c.lot.opts.Drain.Err() != nil {
			s.w.Header().Set("Connection", "close")
		}
	}
	s.begin()
	_, err := s.w.Write(p)
	if err == nil {
		err = s.rc.Flush()
	}
	if err == nil && c.Certain && s.gone() {
		err = ErrGone
	}
	return c.lot.judge(err, time.Since(began))
}

// gone reports whether the peer has gone.
func (s *stock) gone() bool {
	if s.r.Context().Err() != nil {
		return true
	}
	at, _ := s.r.Context().Value(placeKey{}).(place)
	return at.conn != nil && peerGone(at.conn)
}

// leave has net/http end the request as it has ended.
func (s *stock) leave() {
	if s.err != nil && !s.whole {
		panic(http.ErrAbortHandler) // it must not look as if all had been said
	}
}
