// Package memory has the log of a single process: one mutex, and a random
// epoch for each life.
package memory

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// Broker is a [hub.Broker] that lives and dies with its process. Its mutex is
// the log's lock: a command is checked, numbered and applied under it.
type Broker struct {
	mu    sync.Mutex // guards all below, and is the log
	state hub.State  // nil while Run is not running
	epoch uint64
	seq   uint64
	entry hub.Entry // that is being made; empty between two
}

var _ hub.Broker = (*Broker)(nil)

// New returns a broker whose log begins with Run.
func New() *Broker { return new(Broker) }

// Append implements [hub.Broker]. It never waits for anything but its turn.
func (b *Broker) Append(ctx context.Context, cmd hub.Command) (hub.Result, error) {
	if err := ctx.Err(); err != nil {
		return hub.Result{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == nil {
		return hub.Result{}, hub.ErrUnavailable
	}
	// Not on the stack: what a State is shown would be made anew for each.
	e := &b.entry
	defer func() { *e = hub.Entry{} }()
	e.Command = cmd
	result, err := b.state.Check(&e.Command)
	if err != nil {
		return hub.Result{}, err
	}
	n := e.Numbers()
	if n == 0 {
		return result, nil
	}
	e.Epoch, e.First, e.Last, e.Time = b.epoch, b.seq+1, b.seq+n, time.Now()
	b.seq = e.Last
	result.ID = b.state.Apply(*e)
	result.Messages = e.Messages
	result.Position = hub.Position{Epoch: b.epoch, Seq: e.Last}
	return result, nil
}

// Run implements [hub.Broker].
func (b *Broker) Run(ctx context.Context, s hub.State) error {
	b.begin(s)
	<-ctx.Done()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = nil
	return context.Cause(ctx)
}

func (b *Broker) begin(s hub.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch, b.seq = newEpoch(), 0
	b.state = s
	s.Apply(hub.Entry{Epoch: b.epoch})
}

// newEpoch returns a random number that is not 0.
func newEpoch() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:]) // does not fail
		if e := binary.BigEndian.Uint64(b[:]); e != 0 {
			return e
		}
	}
}
