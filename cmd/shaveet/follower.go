package main

import "context"

// A follower reads for one client from where it left off, by the best of its
// transports that works.
type follower struct {
	site    *site
	hello   hello
	chooser *chooser
	say     func(format string, args ...any)

	source source // nil: nothing is under way
	why    error  // the first transport has failed for, in this round
	told   bool   // that it is another one
}

// newFollower returns a follower by some of the transports, the best first.
func newFollower(s *site, names []string, say func(format string, args ...any)) *follower {
	return &follower{site: s, chooser: newChooser(names), say: say}
}

// begin makes it read for a client, from a position.
func (f *follower) begin(client, key, cursor string) {
	f.drop()
	f.hello = hello{Clients: []credential{{client, key}}, Cursor: cursor, Wait: pollTime.Milliseconds()}
	f.newSession()
}

// newSession has it read on under another name.
func (f *follower) newSession() {
	f.drop()
	f.hello.Session = randomName()
}

// drop ends what is under way.
func (f *follower) drop() {
	if f.source != nil {
		f.source.close()
		f.source = nil
	}
}

func (f *follower) close() {
	f.drop()
	f.site.close()
}

// next waits for what is new. An error that may pass leaves it where it was.
func (f *follower) next(ctx context.Context) (*batch, error) {
	if f.source == nil {
		f.chooser.restart()
		f.why = nil
	}
	var failure error // of all in this round, one that may pass
	for {
		b, broken, err := f.read(ctx)
		switch {
		case err == nil:
			return b, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case failure == nil || !mayPass(failure):
			failure = err
		}
		if f.why == nil {
			f.why = err
		}
		if saidByServer(err) {
			return nil, err
		}
		if !f.chooser.failed(broken, !mayPass(err)) {
			return nil, failure
		}
	}
}

// read reads once. broken tells of an error that the transport was open until
// then.
func (f *follower) read(ctx context.Context) (b *batch, broken bool, err error) {
	name := f.chooser.current()
	t := transportOf(name)
	first, limit := f.source == nil, pollTime+pollGrace
	if first {
		f.source = t.open(f.site, f.hello)
		switch {
		case !t.streams():
		case len(f.chooser.names) > 1:
			limit = streamTime
		default:
			limit = pollGrace
		}
	}
	bounded, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	defer cancel()
	if b, err = f.source.next(bounded); err != nil {
		f.drop()
		if bounded.Err() != nil {
			return nil, false, context.Cause(bounded)
		}
		return nil, !first, err
	}
	f.chooser.heard(first)
	if best := f.chooser.names[0]; name != best && !f.told {
		f.say("%s does not work here (%v); reading by %s", best, f.why, name)
		f.told = true
	}
	if b.Cursor != "" {
		f.hello.Cursor = b.Cursor
	}
	if b.ends() {
		f.drop()
	}
	return b, false, nil
}
