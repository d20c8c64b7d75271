package transport

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
)

// An Encoding appends b to dst as a transport writes it. retry is what a drain
// tells; beat asks for a sign of life if b has nothing to tell.
type Encoding func(dst []byte, b *hub.Batch, retry time.Duration, beat bool) []byte

// A Feed is a session that reads by a held connection: what is pending is
// written when there is something; and at first, and each time Due, also if
// there is nothing. It is a [park.Tenant].
type Feed struct {
	park.Conn

	host    *Host
	encode  Encoding
	session *hub.Session

	// Patient feeds begin with nothing before there is news, or it is due.
	Patient bool

	begun bool // something has been written
	more  bool // the last batch was not all there was
	over  bool // the session has ended
}

// Attach begins a session for a reader that has come by the transport of this
// name. It fails as [hub.Hub.Attach] does. The session ends with the
// connection; who holds none after all calls Closed.
func (f *Feed) Attach(ctx context.Context, host *Host, hello Hello, transport string, encode Encoding) error {
	start := hello.Start(transport)
	start.Ready = f.Wake
	if !f.Patient {
		start.BatchBytes = streamBatch
	}
	session, err := host.Hub.Attach(ctx, hello.Clients, start)
	if err != nil {
		return err
	}
	f.host, f.encode, f.session = host, encode, session
	return nil
}

// streamBatch is how many bytes of messages a stream's batch may have. A reader
// behind a slow line moves on with each that it has whole; and for as long as
// one is under way, it is all that is held for such a reader.
const streamBatch = 64 << 10

// Next is part of [park.Tenant].
func (f *Feed) Next(dst []byte, why park.Event) (out []byte, end bool) {
	if f.over {
		return dst, true
	}
	b := batches.Get().(*hub.Batch)
	defer func() {
		*b = hub.Batch{} // it must not keep alive what was in it
		batches.Put(b)
	}()
	*b = f.session.Collect()
	if why&park.Drain != 0 {
		end = true
		if !slices.ContainsFunc(b.Signals, endsSession) {
			b.Signals = append(b.Signals, hub.Signal{Type: hub.SignalDrain})
		}
	}
	beat := !f.begun && !f.Patient || why&park.Due != 0
	if b.Empty() && !beat {
		return dst, false
	}
	f.begun, f.more = true, b.More
	// Who is told that a client is gone is told nothing else: the rest waits.
	if b.More || slices.ContainsFunc(b.Signals, tellsGone) {
		f.Wake()
	}
	var retry time.Duration
	if len(b.Signals) > 0 { // only a drain tells it
		retry = f.host.RetryTime()
	}
	return f.encode(dst, b, retry, beat), end
}

// batches are lent for as long as it takes to encode what is in them.
var batches = sync.Pool{New: func() any { return new(hub.Batch) }}

// endsSession reports whether s is told by the session itself to who has to go.
func endsSession(s hub.Signal) bool {
	return s.Type == hub.SignalDrain || s.Type == hub.SignalSuperseded
}

func tellsGone(s hub.Signal) bool { return s.Type == hub.SignalGone }

// Sent is part of [park.Tenant].
func (f *Feed) Sent() {
	f.session.Commit()
	if !f.more {
		f.session.Writable()
	}
	if f.session.Ended() {
		f.over = true
		f.Wake()
	}
}

// Ended reports whether the session has ended, and what was sent last has said
// so.
func (f *Feed) Ended() bool { return f.over }

// Closed is part of [park.Tenant].
func (f *Feed) Closed(error) { f.session.Close() }

// At returns where the session is: nowhere, if it has had nothing yet.
func (f *Feed) At() hub.Position { return f.session.At() }

// Again begins another session like the last one, which has been closed, at
// another position. It reports whether it could, see [hub.Session.Renew].
func (f *Feed) Again(at hub.Position) bool {
	session, ok := f.session.Renew(at)
	if ok {
		f.session, f.begun, f.more, f.over = session, false, false, false
	}
	return ok
}
