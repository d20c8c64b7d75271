package storm

import (
	"math/rand/v2"
	"time"
)

// A Habit is how a kind of reader comes back. It keeps nothing itself; what one
// reader must remember is in its Memory.
type Habit interface {
	// Lost is how long a reader waits when its connection has ended. told is
	// what the server has asked it to wait; 0: it was cut off without a word.
	Lost(m *Memory, told time.Duration, dice *rand.Rand) time.Duration

	// Failed is how long it waits when an attempt has come to nothing.
	Failed(m *Memory, dice *rand.Rand) time.Duration

	// Denied is the same when it was the page's backend that did not answer.
	Denied(m *Memory, dice *rand.Rand) time.Duration

	// Patience is how long the attempt under way may take.
	Patience(m *Memory) time.Duration
}

// A Memory is what a reader knows of its attempts.
type Memory struct {
	Failures uint8  // waits so far
	Forgiven uint8  // Shaveet: failures that were not the transport's fault
	Place    uint8  // Shaveet: which transport of the round is tried
	Spent    uint8  // Shaveet: rounds in which all transports have failed
	Own      uint16 // EventSource: its fixed wait, ms
}

func (m *Memory) count() int {
	f := m.Failures
	if f < 255 {
		m.Failures++
	}
	return int(f)
}

// upTo draws a time below d.
func upTo(d time.Duration, dice *rand.Rand) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(dice.Int64N(int64(d)))
}

// Shaveet is shaveet.js with a WebSocket that has worked until now: backoff.ts,
// chooser.ts, and connection.ts with its times.ts. It waits a random time below
// 1, 2, 4 … 20 s, behind what the server asks for. After two failures of the
// WebSocket that are forgiven, it goes through all other transports at once,
// and later through two of them in each round.
type Shaveet struct {
	// First is what the first wait after a cut is drawn from, if the server
	// had told it while all was well. 0: 1 s, as the script has it today.
	First time.Duration
}

// Those of client-js/src.
const (
	firstWait   = time.Second
	longestWait = 20 * time.Second
	trial       = 5 * time.Second
	margin      = 15 * time.Second
	transports  = 5 // websocket, sse, stream, longpoll, jsonp
	streams     = 3 // of them
	askPatience = 20 * time.Second
)

// Lost is part of [Habit].
func (h Shaveet) Lost(m *Memory, told time.Duration, dice *rand.Rand) time.Duration {
	if told > 0 {
		return told + h.pause(m, dice)
	}
	m.Forgiven = 1
	if h.First > 0 {
		m.count()
		return upTo(h.First, dice)
	}
	return h.pause(m, dice)
}

func (h Shaveet) pause(m *Memory, dice *rand.Rand) time.Duration {
	return upTo(min(longestWait, firstWait<<min(m.count(), 5)), dice)
}

// Failed is part of [Habit].
func (h Shaveet) Failed(m *Memory, dice *rand.Rand) time.Duration {
	if m.Place == 0 && m.Forgiven < 2 {
		m.Forgiven++
		return h.pause(m, dice)
	}
	if m.Place++; int(m.Place) < round(m.Spent) {
		return 0
	}
	m.Place = 0
	m.Spent++
	return h.pause(m, dice)
}

// Denied is part of [Habit].
func (h Shaveet) Denied(m *Memory, dice *rand.Rand) time.Duration { return h.pause(m, dice) }

// round is how many transports are tried in a row.
func round(spent uint8) int {
	switch {
	case spent == 0:
		return transports
	case spent%transports == 0:
		return 1
	}
	return 2
}

// Patience is part of [Habit].
func (h Shaveet) Patience(m *Memory) time.Duration {
	current := m.Place
	if m.Spent > 0 && current > 0 {
		current = m.Spent % transports
	}
	if current < streams {
		return trial << min(m.Failures, 2)
	}
	return margin << min(m.Failures, 2)
}

// EventSource is a browser's own, which waits the same time before each
// attempt: one that was drawn by the server, from Retry to twice that, and told
// as retry when the connection began.
type EventSource struct{ Retry time.Duration }

// connectTimeout is what TCP takes to give up on Linux, after six repeated SYNs.
const connectTimeout = 127 * time.Second

// Lost is part of [Habit].
func (h EventSource) Lost(m *Memory, _ time.Duration, dice *rand.Rand) time.Duration {
	m.Own = uint16((h.Retry + upTo(h.Retry, dice)).Milliseconds())
	return h.Failed(m, dice)
}

// Failed is part of [Habit].
func (h EventSource) Failed(m *Memory, _ *rand.Rand) time.Duration {
	m.count()
	return time.Duration(m.Own) * time.Millisecond
}

// Denied is part of [Habit].
func (h EventSource) Denied(m *Memory, dice *rand.Rand) time.Duration { return h.Failed(m, dice) }

// Patience is part of [Habit].
func (h EventSource) Patience(*Memory) time.Duration { return connectTimeout }

// SocketIO is the stock client of Socket.IO with its defaults: 1, 2, 4, 5, 5 … s,
// half of it more or less, never more than 5 s, and 20 s for an attempt. What the
// server asks for it does not hear.
type SocketIO struct{}

// Lost is part of [Habit].
func (h SocketIO) Lost(m *Memory, _ time.Duration, dice *rand.Rand) time.Duration {
	return h.Failed(m, dice)
}

// Failed is part of [Habit].
func (h SocketIO) Failed(m *Memory, dice *rand.Rand) time.Duration {
	d := time.Second << min(m.count(), 4)
	return min(d/2+upTo(d, dice), 5*time.Second)
}

// Denied is part of [Habit].
func (h SocketIO) Denied(m *Memory, dice *rand.Rand) time.Duration { return h.Failed(m, dice) }

// Patience is part of [Habit].
func (h SocketIO) Patience(*Memory) time.Duration { return 20 * time.Second }

// Fixed waits always the same time, and as long for an attempt as Limit says: how
// it should not be done.
type Fixed struct{ Delay, Limit time.Duration }

// Lost is part of [Habit].
func (h Fixed) Lost(m *Memory, _ time.Duration, dice *rand.Rand) time.Duration {
	return h.Failed(m, dice)
}

// Failed is part of [Habit].
func (h Fixed) Failed(m *Memory, _ *rand.Rand) time.Duration {
	m.count()
	return h.Delay
}

// Denied is part of [Habit].
func (h Fixed) Denied(m *Memory, dice *rand.Rand) time.Duration { return h.Failed(m, dice) }

// Patience is part of [Habit].
func (h Fixed) Patience(*Memory) time.Duration { return h.Limit }
