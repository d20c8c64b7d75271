package park

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// A kept is a request that stays with net/http, and with its handler's
// goroutine.
type kept struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	r     *http.Request
	bell  chan struct{} // rung when there is something to look at
	whole bool          // one answer, and not a stream
	begun bool          // the head has been written
	err   error         // why it has ended, if not as it should
}

func newKept(w http.ResponseWriter, r *http.Request, whole bool) *kept {
	return &kept{w: w, rc: http.NewResponseController(w), r: r, whole: whole, bell: make(chan struct{}, 1)}
}

// stay looks after the request until it has ended. The mark running is set.
func (s *kept) stay(c *Conn) {
	c.keep(s)
	c.tick()
	// What comes for longer than a request may take is still wanted.
	s.rc.SetReadDeadline(time.Time{})
	s.rc.SetWriteDeadline(time.Time{}) // each write has its own
	c.lot.add(c)
	defer c.lot.remove(c)
	stop := context.AfterFunc(s.r.Context(), func() { c.kick(hungUp) })
	defer stop()
	if !s.whole {
		s.begin()
		s.rc.Flush() // if that fails, so does what follows
	}
	for !s.watch(c, c.run) {
		<-s.bell
	}
	s.leave()
}

// watch has look look after the request. A panic of the tenant's goes on to
// net/http, and the tenant is told.
func (s *kept) watch(c *Conn, look func() bool) (over bool) {
	defer func() {
		if v := recover(); v != nil {
			func() {
				defer func() { recover() }()
				c.leave(ErrCut, true)
			}()
			panic(v)
		}
	}()
	return look()
}

// begin writes the head of a stream.
func (s *kept) begin() {
	if !s.begun {
		s.begun = true
		s.w.WriteHeader(http.StatusOK)
	}
}

// write writes p, the whole of it if there is to be one answer, and returns
// when net/http has written it: with HTTP/1.1 the kernel has it then.
func (s *kept) write(c *Conn, p []byte) error {
	if s.whole {
		s.w.Header().Set("Content-Length", strconv.Itoa(len(p)))
		if c.lot.opts.Drain.Err() != nil {
			s.w.Header().Set("Connection", "close")
		}
	}
	s.begin()
	// Not every writer has deadlines; net/http's connections do.
	defer s.rc.SetWriteDeadline(time.Time{})
	for {
		began := time.Now()
		s.rc.SetWriteDeadline(began.Add(c.lot.opts.WriteTimeout))
		n, err := s.w.Write(p[:min(len(p), piece)])
		if err == nil && n == len(p) {
			err = s.rc.Flush()
		}
		if err = c.lot.judge(err, time.Since(began)); err != nil {
			return err
		}
		if p = p[n:]; len(p) == 0 {
			break
		}
	}
	if c.Certain && s.gone() {
		return ErrGone
	}
	return nil
}

// gone reports whether the peer has gone.
func (s *kept) gone() bool {
	if s.r.Context().Err() != nil {
		return true
	}
	at, _ := s.r.Context().Value(placeKey{}).(place)
	return at.conn != nil && peerGone(at.conn)
}

// leave has net/http end the request as it has ended.
func (s *kept) leave() {
	if s.err != nil && !errors.Is(s.err, ErrGone) && !(s.whole && s.begun) {
		panic(http.ErrAbortHandler) // it must not look as if all had been said
	}
}
