package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
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

// unknown is told to who may have been heard, or not.
var unknown = outcome{kind: isLost, err: hub.ErrUnavailable}

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
	began := b.now()
	batch = ofEpoch(batch, began.epoch)
	if len(batch) == 0 {
		return
	}
	l.batch++
	until := latest(batch)
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	unsure := false // an answer was lost: all may be done, or nothing
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		answers, err := l.try(ctx, batch, began.epoch)
		switch {
		case err == nil:
			b.tellAll(batch, began.epoch, answers)
			return
		case errors.Is(err, errDone):
			l.settle(ctx, batch, began)
			return
		case errors.Is(err, errOther):
			b.loseLog()
			tellChanged(batch, unsure)
			return
		case errors.Is(err, errRefused):
			b.refusals.tell(b.log, err)
			b.counts.errors.Add(1)
			_ = b.Sync(ctx) // what was done of it comes by the log
			tellEach(batch, unknown)
			return
		}
		unsure = unsure || mayBeDone(err)
		b.counts.errors.Add(1)
		select {
		case <-ctx.Done():
			tellEach(batch, unknown)
			return
		case <-time.After(pause):
		}
	}
}

// ofEpoch returns the calls that were prepared for the log of an epoch. The
// others are to be prepared anew.
func ofEpoch(batch []call, epoch uint64) []call {
	return slices.DeleteFunc(batch, func(c call) bool {
		if c.epoch != epoch {
			c.tell(outcome{kind: hasChanged})
		}
		return c.epoch != epoch
	})
}

// mayBeDone says whether Redis may have done what it was asked, by the error.
func mayBeDone(err error) bool {
	var dial *net.OpError
	if errors.Is(err, errAway) || errors.As(err, &dial) && dial.Op == "dial" {
		return false
	}
	_, answered := rueidis.IsRedisErr(err)
	return !answered
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
	errAway    = fmt.Errorf("%w: there is no connection", hub.ErrUnavailable)
	errDone    = errors.New("the batch has been done")
	errOther   = errors.New("the log is another one")
	errRefused = errors.New("refused")
)

// try sends a batch once, to the log of an epoch.
func (l *lane) try(ctx context.Context, batch []call, epoch uint64) ([]string, error) {
	b := l.broker
	conn, at, err := b.connection()
	if err != nil {
		return nil, err
	}
	if !at.ready || at.epoch != epoch {
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
func (b *Broker) tellAll(batch []call, epoch uint64, answers []string) {
	for i, c := range batch {
		switch a := answers[i]; a[0] {
		case '+':
			seq, _ := strconv.ParseUint(a[1:], 10, 64)
			b.expect(c.request, hub.Position{Epoch: epoch, Seq: seq})
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

// expect notes where the log has q, which is told when that has been applied.
func (b *Broker) expect(q *request, at hub.Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q.at = at
	if b.at.ready {
		b.tellMissed(q)
	}
}

// tellMissed tells q if its entry does not come any more: the state was read
// anew, from beyond it. b.mu is held.
func (b *Broker) tellMissed(q *request) {
	if q.at != (hub.Position{}) && (q.at.Epoch != b.at.epoch || q.at.Seq <= b.at.seq) {
		q.tell(unknown)
	}
}

func tellEach(batch []call, o outcome) {
	for _, c := range batch {
		c.tell(o)
	}
}

// tellChanged has the batch prepared and sent again. Where it may have been done
// already, what must not be done twice is left as not known.
func tellChanged(batch []call, unsure bool) {
	for _, c := range batch {
		if unsure && c.once {
			c.tell(unknown)
		} else {
			c.tell(outcome{kind: hasChanged})
		}
	}
}

// settle finds out what has become of a batch that was done, and whose answer
// was lost. What has not come by the log when that has been read to its end was
// turned down; unless the state was read anew meanwhile, which tells nobody.
func (l *lane) settle(ctx context.Context, batch []call, began place) {
	if l.broker.Sync(ctx) != nil {
		tellEach(batch, unknown)
		return
	}
	tellChanged(batch, l.broker.now().loads != began.loads)
}
