package bench

import (
	"context"
	"syscall"
	"time"
)

// A Server is a program that was started to be measured. On Linux it ends with
// us, however we end.
type Server struct{ c *child }

// Start starts a server, and waits until a line that it has written to its
// standard error is found. nil: it is not waited for anything.
func Start(ctx context.Context, found func(line string) bool, env []string, name string, args ...string) (*Server, error) {
	c, err := startChild(name, env, args...)
	if err != nil {
		return nil, err
	}
	if found != nil {
		if err := c.wait(ctx, found); err != nil {
			c.stop()
			return nil, err
		}
	}
	return &Server{c}, nil
}

// PID is its process.
func (s *Server) PID() int { return int(s.c.process()) }

// Said are the last lines that it has written to its standard error.
func (s *Server) Said() string { return s.c.tail() }

// Ended is closed when it has ended.
func (s *Server) Ended() <-chan struct{} { return s.c.done }

// Stop asks it to end, so that it ends its own children, and waits for that; in
// the end it is not asked.
func (s *Server) Stop() {
	s.c.cmd.Process.Signal(syscall.SIGTERM) // unless it has ended already
	select {
	case <-s.c.done:
	case <-time.After(5 * time.Second):
		s.c.stop()
	}
}
