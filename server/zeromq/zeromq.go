// Package zeromq joins channels and ZeroMQ sockets: what is sent to a SUB or
// PULL socket of ours is published, a PUB socket of ours sends what is said on
// channels, and a REP socket answers calls of the admin API.
//
// ZeroMQ's peers show no credentials here, so who can reach a socket may use
// it. Sockets are bound to this machine's own addresses unless they are told
// otherwise, and REP sockets always.
package zeromq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/zmtp"
)

// A Hub is what is needed of a hub. [hub.Hub] is one.
type Hub interface {
	Publish(context.Context, hub.Publication) (hub.Published, error)
	Tap(patterns []string, ready func()) *hub.Tap
	Limits() hub.Limits
}

// Options are what sockets need beside their configuration.
type Options struct {
	// Encode appends a message as a PUB socket sends it.
	Encode func(dst []byte, m *hub.Message) []byte
	// Ask answers a request of the admin API that came with this token, "" for
	// none. It answers nothing where nobody waits for an answer.
	Ask func(ctx context.Context, token string, request []byte) []byte
	// MaxAsk is how many bytes a request of the admin API may have, and MaxDepth
	// how many levels of JSON a message may; default 64.
	MaxAsk, MaxDepth int
	// Logger hears of peers and of what is dropped; default slog.Default().
	Logger *slog.Logger
}

// Sockets are all the sockets of a server. Listen and then Run are called once.
type Sockets struct {
	all []*socket

	intake     context.Context // of SUB and PULL sockets: ends when no more is taken
	stopIntake context.CancelFunc
	taken      chan struct{} // closed when all has been
}

// New returns the sockets that are configured, which must be without faults.
func New(h Hub, configs []Config, opts Options) *Sockets {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.MaxDepth == 0 {
		opts.MaxDepth = 64
	}
	s := &Sockets{taken: make(chan struct{})}
	s.intake, s.stopIntake = context.WithCancel(context.Background())
	for _, c := range configs {
		c.Name = c.name()
		s.all = append(s.all, &socket{
			Config: c,
			hub:    h,
			opts:   opts,
			log:    opts.Logger.With("socket", c.Name),
			room:   make(chan struct{}, c.MaxPeers),
			dial:   dialer.DialContext,
		})
	}
	return s
}

// Listen binds the sockets that are to be bound. With an error none is.
func (s *Sockets) Listen() error {
	for _, k := range s.all {
		if err := k.listen(); err != nil {
			s.Close()
			return err
		}
	}
	return nil
}

// Close closes what Listen has bound and Run does not serve.
func (s *Sockets) Close() {
	for _, k := range s.all {
		if k.listener != nil {
			k.listener.Close()
		}
	}
}

// Run serves the sockets until ctx ends, and returns nil when nothing of them
// runs any more.
func (s *Sockets) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.stopIntake)()
	var taking, others sync.WaitGroup
	for _, k := range s.all {
		if k.takesIn() {
			taking.Go(func() { k.run(s.intake) })
		} else {
			others.Go(func() { k.run(ctx) })
		}
	}
	taking.Wait()
	close(s.taken)
	<-ctx.Done() // also without any
	others.Wait()
	return nil
}

// StopIntake has SUB and PULL sockets take no more than what is on its way to
// them already. It returns when that has been published, or ctx ends.
func (s *Sockets) StopIntake(ctx context.Context) {
	s.stopIntake()
	select {
	case <-s.taken:
	case <-ctx.Done():
	}
}

// A socket is one ZeroMQ socket: what its peers have in common.
type socket struct {
	Config
	hub  Hub
	opts Options
	log  *slog.Logger

	listener net.Listener
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	room     chan struct{} // has a token for each peer that has come to us
	counts   counts
	rare     rareLog
}

// takesIn reports whether what comes by the socket is published.
func (k *socket) takesIn() bool { return k.Type == "sub" || k.Type == "pull" }

// listen binds the socket, if it is one to be bound. A file that a dead process
// has left behind is in nobody's way.
func (k *socket) listen() error {
	if k.Bind == "" {
		return nil
	}
	at, err := zmtp.ParseEndpoint(k.Bind)
	if err != nil {
		return err
	}
	if at.Network == "unix" {
		removeStale(at.Address)
	}
	l, err := listen(at)
	if err != nil {
		return fmt.Errorf("zeromq %s: %w", k.Name, err)
	}
	k.listener = l
	return nil
}

// removeStale removes the socket at path if nobody listens there. Somebody who
// is too busy to answer does.
func removeStale(path string) {
	if path[0] == '@' {
		return // it has no file
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
	case errors.Is(err, syscall.ECONNREFUSED):
		os.Remove(path)
	}
}

// run serves the socket until ctx ends.
func (k *socket) run(ctx context.Context) {
	serve := k.serveIn
	switch k.Type {
	case "pub":
		out := newOutlet(k)
		serve = out.serve
		defer out.close()
	case "rep":
		serve = k.serveAsk
	}
	var peers sync.WaitGroup
	defer peers.Wait()
	if k.listener != nil {
		at := k.listener.Addr() // port 0 has become another one
		k.log.Info("zeromq socket bound", "type", k.Type, "endpoint", zmtp.Endpoint{Network: at.Network(), Address: at.String()}.String())
		peers.Go(func() { k.accept(ctx, serve) })
	}
	for _, endpoint := range k.Connect {
		at, err := zmtp.ParseEndpoint(endpoint)
		if err != nil {
			continue // Check has seen to it
		}
		peers.Go(func() { k.connect(ctx, at, serve) })
	}
}

// Stats are what one socket has done, and does.
type Stats struct {
	Name, Type string
	Peers      int    // connected now
	Refused    uint64 // connections that failed, by handshake or for want of room
	Received   uint64 // messages, whatever became of them
	Bytes      uint64 // of them
	Sent       uint64 // messages to peers
	Dropped    map[string]uint64
}

// Stats tells of all sockets, in the order of the configuration.
func (s *Sockets) Stats() []Stats {
	all := make([]Stats, 0, len(s.all))
	for _, k := range s.all {
		all = append(all, k.counts.stats(k.Name, k.Type))
	}
	return all
}
