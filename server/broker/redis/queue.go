package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/shaveet/shaveet/server/hub"
)

// An outcome is what has become of a request.
type outcome struct {
	kind     outcomeKind
	id       uint64         // isEntry: the message's number in its channel
	at       hub.Position   // isEntry
	messages []*hub.Message // isEntry
	text     string
	err      error // isLost
}

type outcomeKind uint8

const (
	isLost      outcomeKind = iota // it is not known
	isEntry                        // it is in the log, and applied here
	hasChanged                     // something that it rests on
	wasEarlier                     // its publish id; text says where
	isElsewhere                    // others look after the clients in text
	isGrace                        // nobody is let go now
)

// tell says what has become of q, unless that was said before.
func (q *request) tell(o outcome) {
	select {
	case q.done <- o:
	default:
	}
}

// A queue has the requests that are to be sent.
type queue struct {
	mu    sync.Mutex // guards calls
	calls []call
	wake  chan struct{} // holds a token when there is work
}

// A call is a request whose caller waits until ctx ends.
type call struct {
	*request
	ctx context.Context
}

func (q *queue) add(ctx context.Context, r *request) {
	q.mu.Lock()
	q.calls = append(q.calls, call{r, ctx})
	q.mu.Unlock()
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// What is sent at once: so many requests, and so many bytes of entries, at most.
const (
	batchRequests = 256
	batchBytes    = 512 << 10
)

// take returns the next batch, without those that nobody waits for any more.
func (q *queue) take() (batch []call) {
	q.mu.Lock()
	defer q.mu.Unlock()
	bytes, n := 0, 0
	for n < len(q.calls) && len(batch) < batchRequests && (bytes == 0 || bytes < batchBytes) {
		c := q.calls[n]
		n++
		if c.ctx.Err() == nil {
			batch = append(batch, c)
			bytes += len(c.entry)
		}
	}
	rest := copy(q.calls, q.calls[n:])
	clear(q.calls[rest:])
	q.calls = q.calls[:rest]
	if rest > 0 {
		q.signal()
	}
	return batch
}

// lanes is how many batches are under way at once, at most.
const lanes = 4

// A lane sends one batch after the other. It numbers them, so that Redis can
// tell one that comes again, since its answer was lost: a batch is done once or
// not at all, and one that was given up is never done after a later one.
type lane struct {
	broker *Broker
	name   string
	batch  uint64
}

func (l *lane) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.broker.queue.wake:
		}
		if batch := l.broker.queue.take(); len(batch) > 0 {
			l.send(ctx, batch)
		}
	}
}

// send sends a batch, again and again if it has to, until it is known what has
// become of it, or nobody wants to know.
func (l *lane) send(ctx context.Context, batch []call) {
	b := l.broker
	l.batch++
	until := latest(batch)
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		answers, err := l.try(ctx, batch)
		switch {
		case err == nil:
			tellAll(batch, answers)
			return
		case errors.Is(err, errDone):
			l.settle(ctx, batch, outcome{kind: hasChanged})
			return
		case errors.Is(err, errOther):
			b.loseLog()
			tellEach(batch, outcome{kind: hasChanged})
			return
		case errors.Is(err, errRefused):
			b.log.Error("Redis has refused to write", "err", err)
			b.counts.errors.Add(1)
			l.settle(ctx, batch, outcome{kind: isLost, err: hub.ErrUnavailable})
			return
		}
		b.counts.errors.Add(1)
		select {
		case <-ctx.Done():
			tellEach(batch, outcome{kind: isLost, err: hub.ErrUnavailable})
			return
		case <-time.After(pause):
		}
	}
}

// latest returns when the last caller of a batch gives up.
func latest(batch []call) (at time.Time) {
	for _, c := range batch {
		if d, ok := c.ctx.Deadline(); ok && d.After(at) {
			at = d
		}
	}
	return at
}

var (
	errDone    = errors.New("the batch has been done")
	errOther   = errors.New("the log is another one")
	errRefused = errors.New("refused")
)

func (l *lane) try(ctx context.Context, batch []call) ([]string, error) {
	b := l.broker
	conn, at, err := b.connection()
	if err != nil {
		return nil, err
	}
	if !at.ready {
		return nil, errOther
	}
	trim := ""
	if t := b.trimmedTo(); t > 0 {
		trim = decimal(t)
	}
	args := []string{b.prefix(at.set), formatEpoch(at.epoch), b.node, l.name, decimal(l.batch),
		strconv.FormatInt(b.opts.DeadAfter.Milliseconds(), 10), trim}
	for _, c := range batch {
		args = c.args(args)
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	b.counts.batches.Add(1)
	answers, err := appendScript.Exec(ctx, conn, []string{b.logKey()}, args).AsStrSlice()
	if err != nil {
		return nil, refusal(err)
	}
	switch {
	case len(answers) == 1 && answers[0] == "epoch":
		return nil, errOther
	case len(answers) == 1 && answers[0] == "done":
		return nil, errDone
	case len(answers) != len(batch):
		return nil, errEntry
	}
	return answers, nil
}

// refusal says whether an error is Redis' answer, which will be the same again.
func refusal(err error) error {
	r, ok := rueidis.IsRedisErr(err)
	if !ok {
		return err
	}
	for _, passing := range []string{"LOADING", "READONLY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "BUSY", "UNBLOCKED"} {
		if strings.HasPrefix(r.Error(), passing) {
			return err
		}
	}
	return errors.Join(errRefused, err)
}

// tellAll tells the callers what Redis has answered. Who is an entry hears it
// when that has been applied.
func tellAll(batch []call, answers []string) {
	for i, c := range batch {
		switch a := answers[i]; a[0] {
		case '!':
			c.tell(outcome{kind: hasChanged})
		case '=':
			c.tell(outcome{kind: wasEarlier, text: a[1:]})
		case '@':
			c.tell(outcome{kind: isElsewhere, text: a[1:]})
		case 'g':
			c.tell(outcome{kind: isGrace})
		}
	}
}

func tellEach(batch []call, o outcome) {
	for _, c := range batch {
		c.tell(o)
	}
}

// settle finds out what has become of a batch whose answer says nothing of its
// requests: what has not come by the log when that has been read to its end, is
// not in it, and fares as o says.
func (l *lane) settle(ctx context.Context, batch []call, o outcome) {
	if l.broker.Sync(ctx) != nil {
		o = outcome{kind: isLost, err: hub.ErrUnavailable}
	}
	tellEach(batch, o)
}

// syncs are the callers who want to know that the state is not behind.
type syncs struct {
	mu      sync.Mutex // guards waiting
	waiting []chan error
	wake    chan struct{} // holds a token when there is one
}

func (s *syncs) wait(ctx context.Context) error {
	done := make(chan error, 1)
	s.mu.Lock()
	s.waiting = append(s.waiting, done)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *syncs) take() []chan error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.waiting
	s.waiting = nil
	return all
}

// runSyncs asks where the log is, once for all who have asked meanwhile.
func (b *Broker) runSyncs(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			for _, done := range b.syncs.take() {
				done <- hub.ErrUnavailable
			}
			return context.Cause(ctx)
		case <-b.syncs.wake:
		}
		all := b.syncs.take()
		if len(all) == 0 {
			continue
		}
		b.counts.syncs.Add(1)
		err := b.catchUp(ctx)
		for _, done := range all {
			done <- err
		}
	}
}

// catchUp returns when all has been applied that is in the log now.
func (b *Broker) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	for {
		if done, err := b.tryCatchUp(ctx); done {
			return err
		}
		select {
		case <-ctx.Done():
			return hub.ErrUnavailable
		case <-time.After(20 * time.Millisecond): // the log is being looked for
		}
	}
}

func (b *Broker) tryCatchUp(ctx context.Context) (done bool, err error) {
	conn, _, err := b.connection()
	if err != nil {
		return false, err
	}
	w, err := b.where(ctx, conn)
	switch {
	case err != nil:
		return false, err
	case !w.own:
		b.loseLog()
		return false, nil
	}
	err = b.await(ctx, w)
	return !errors.Is(err, errOther), err
}

// await waits until the state is at w, or beyond. The error is errOther if it is
// of another epoch by then.
func (b *Broker) await(ctx context.Context, w whereabouts) error {
	seen := false
	for {
		b.mu.Lock()
		at, moved := b.at, b.moved
		b.mu.Unlock()
		if at.ready && at.epoch == w.epoch && at.seq >= w.seq {
			return nil
		}
		if at.ready && at.epoch == w.epoch {
			seen = true
		} else if seen {
			return errOther
		} else {
			b.loseLog()
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return hub.ErrUnavailable
		}
	}
}
