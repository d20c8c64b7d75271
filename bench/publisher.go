package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// A speech is all that is said in a run, by all publishers.
type speech struct {
	plan    *Plan
	call    call
	flight  *flight
	members []int
	said    []uint32 // messages of each channel; of those of one publisher, its own
	began   time.Time

	starts   time.Duration // when the first message is due, of a rate
	expected atomic.Int64  // deliveries of all that was said
	answered atomic.Int64  // messages
	latency  []histogram   // of answers, one for each publisher, if nobody listens
	from, to *atomic.Int64
}

// A publisher says its share of the messages on a connection of its own.
type publisher struct {
	*speech
	nth      int
	turn     int // of the next channel
	messages int // that it has said
	notes    []note
	path     []byte
	body     []byte
	out      []byte
	fields   string // headers of each request
	conn     net.Conn
	in       []byte // that has come and is not read
}

func newPublisher(ctx context.Context, s *speech, nth int) (*publisher, error) {
	conn, host, err := dial(ctx, s.call.url)
	if err != nil {
		return nil, err
	}
	p := &publisher{speech: s, nth: nth, turn: nth, conn: conn}
	p.fields = "Host: " + host + "\r\n"
	if s.call.token != "" {
		p.fields += "Authorization: Bearer " + s.call.token + "\r\n"
	}
	return p, nil
}

// run says messages until ctx ends. What is under way then is said and answered.
func (p *publisher) run(ctx context.Context) error {
	defer p.conn.Close()
	if p.call.socket != "" {
		return p.runSocket(ctx)
	}
	p.fields += "Content-Type: application/json\r\n"
	for {
		notes := p.gather(ctx, p.call.batch)
		if len(notes) == 0 {
			return nil
		}
		p.path, p.body = p.call.request(p.path[:0], p.body[:0], notes)
		out := append(append(append(p.out[:0], "POST "...), p.path...), " HTTP/1.1\r\n"...)
		out = append(append(out, p.fields...), "Content-Length: "...)
		out = append(strconv.AppendInt(out, int64(len(p.body)), 10), "\r\n\r\n"...)
		p.out = append(out, p.body...)
		p.conn.SetDeadline(time.Now().Add(p.plan.Patience))
		if _, err := p.conn.Write(p.out); err != nil {
			return err
		}
		if err := p.await(); err != nil {
			return err
		}
		p.heard(notes)
	}
}

// await reads the answer to a request.
func (p *publisher) await() error {
	for {
		n, h, body, err := readAnswer(p.in)
		switch {
		case err != nil:
			return err
		case n > 0 && h.close:
			return fmt.Errorf("the server answered %d and closes the publisher's connection: %s", h.status, excerpt(body))
		case n > 0:
			err = p.call.answer(h.status, body)
			p.in = append(p.in[:0], p.in[n:]...)
			return err
		}
		if err := p.read(); err != nil {
			return err
		}
	}
}

// read adds to p.in what comes next.
func (p *publisher) read() error {
	p.in = slices.Grow(p.in, 16<<10)
	n, err := p.conn.Read(p.in[len(p.in):cap(p.in)])
	p.in = p.in[:len(p.in)+n]
	if n > 0 {
		return nil
	}
	return fmt.Errorf("a publisher waits for an answer: %w", err)
}

// heard notes that messages have been answered.
func (p *publisher) heard(notes []note) {
	p.answered.Add(int64(len(notes)))
	for _, n := range notes {
		if p.members[n.channel] > 0 {
			continue
		}
		if due := int64(n.due); due >= p.from.Load() && due < p.to.Load() {
			p.latency[p.nth].add(time.Since(p.began) - n.due)
		}
		p.flight.landed(n.number)
	}
}

// gather waits until a message may be said, and returns it and those that may
// be said with it. There is none when ctx ends.
func (p *publisher) gather(ctx context.Context, most int) []note {
	p.notes = p.notes[:0]
	if p.plan.Rate > 0 {
		p.gatherDue(ctx, most)
		return p.notes
	}
	select {
	case <-ctx.Done():
		return nil
	case number := <-p.flight.free:
		if ctx.Err() != nil {
			return nil
		}
		p.note(number, time.Since(p.began))
	}
	for len(p.notes) < most {
		select {
		case number := <-p.flight.free:
			p.note(number, time.Since(p.began))
			continue
		default:
		}
		break
	}
	return p.notes
}

// gatherDue waits for the time of the next message. All that have become due
// meanwhile may go with it.
func (p *publisher) gatherDue(ctx context.Context, most int) {
	for len(p.notes) < most {
		due := p.starts + time.Duration(float64(p.messages*p.plan.Publishers+p.nth)/p.plan.Rate*float64(time.Second))
		if wait := due - time.Since(p.began); wait > 0 {
			if len(p.notes) > 0 || !sleep(ctx, wait) {
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		p.note(0, due)
	}
}

// note adds a message that is due at a time.
func (p *publisher) note(number uint32, due time.Duration) {
	channel := p.turn
	if p.turn += p.plan.Publishers; p.turn >= p.plan.Channels {
		p.turn = p.nth
	}
	p.flight.leaves(number, p.members[channel])
	p.notes = append(p.notes, note{channel, p.said[channel], number, due})
	p.said[channel]++
	p.messages++
	p.expected.Add(int64(p.members[channel]))
}

// sleep waits, and reports whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// maxUnanswered is how many requests may wait for their answers on a WebSocket.
const maxUnanswered = 1000

// runSocket says messages on a WebSocket, and does not wait for answers but for
// the last.
func (p *publisher) runSocket(ctx context.Context) error {
	if err := p.upgrade(); err != nil {
		return err
	}
	unanswered, dead := make(chan note, maxUnanswered), make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var readErr error
	go func() {
		readErr = p.readSocket(unanswered)
		cancel()
		close(dead)
	}()
	err := p.writeSocket(ctx, unanswered, dead)
	close(unanswered)
	p.conn.SetReadDeadline(time.Now().Add(p.plan.Patience))
	if err != nil {
		p.conn.Close()
	}
	<-dead
	return cmp.Or(readErr, err)
}

func (p *publisher) upgrade() error {
	p.conn.SetDeadline(time.Now().Add(p.plan.Patience))
	if _, err := io.WriteString(p.conn, "GET "+p.call.socket+" HTTP/1.1\r\n"+p.fields+upgradeFields+"\r\n"); err != nil {
		return err
	}
	for {
		n, h, err := readHead(p.in)
		if err != nil {
			return err
		}
		if n > 0 {
			p.in = append(p.in[:0], p.in[n:]...)
			p.conn.SetDeadline(time.Time{})
			return upgraded(h)
		}
		if err := p.read(); err != nil {
			return err
		}
	}
}

func (p *publisher) writeSocket(ctx context.Context, unanswered chan<- note, dead <-chan struct{}) error {
	for {
		notes := p.gather(ctx, p.call.batch)
		if len(notes) == 0 {
			return nil
		}
		out := p.out[:0]
		for i, n := range notes {
			_, p.body = p.call.request(nil, p.body[:0], notes[i:i+1])
			out = appendFrame(out, opText, p.body)
			select {
			case unanswered <- n:
			case <-dead:
				return nil
			}
		}
		p.out = out
		p.conn.SetWriteDeadline(time.Now().Add(p.plan.Patience))
		if _, err := p.conn.Write(out); err != nil {
			return err
		}
	}
}

// readSocket reads an answer for each message, in their order.
func (p *publisher) readSocket(unanswered <-chan note) error {
	read := 0 // of p.in
	for n := range unanswered {
		for {
			size, f, err := readFrame(p.in[read:])
			if err != nil {
				return err
			}
			if size == 0 {
				p.in = append(p.in[:0], p.in[read:]...)
				read = 0
				if err := p.read(); err != nil {
					return err
				}
				continue
			}
			read += size
			if f.op == opText {
				if err := p.call.answer(200, f.data); err != nil {
					return err
				}
				break
			}
			if f.op == opClose {
				return closedBy(f.data)
			}
			p.conn.Write(appendFrame(nil, opPong, f.data))
		}
		p.heard([]note{n})
	}
	return nil
}
