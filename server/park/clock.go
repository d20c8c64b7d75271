package park

import (
	"container/heap"
	"sync"
	"time"
)

// A clock tells connections that they are due. All of them share one timer,
// because one each would be larger than the rest of what an idle one needs.
type clock struct {
	begun time.Time

	mu    sync.Mutex // guards all below, and alarm of every connection
	queue queue
	timer *time.Timer   // nil until it is needed
	next  time.Duration // when it goes off, if the queue is not empty
}

// An alarm is when a connection is due.
type alarm struct {
	at   time.Duration // since the clock began
	slot int32         // its place in the queue, counted from 1; 0: it is in none
}

// set has c be due in d, and not before.
func (k *clock) set(c *Conn, d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c.alarm.at = time.Since(k.begun) + d
	if c.alarm.slot > 0 {
		heap.Fix(&k.queue, int(c.alarm.slot-1))
	} else {
		heap.Push(&k.queue, c)
	}
	k.wind()
}

// clear has c not be due.
func (k *clock) clear(c *Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.alarm.slot > 0 {
		heap.Remove(&k.queue, int(c.alarm.slot-1))
		k.wind()
	}
}

// wind sets the timer for the first of the queue. k.mu is held.
func (k *clock) wind() {
	switch {
	case len(k.queue) == 0:
		if k.timer != nil {
			k.timer.Stop()
		}
		k.next = 0
	case k.timer == nil:
		k.next = k.queue[0].alarm.at
		k.timer = time.AfterFunc(k.next-time.Since(k.begun), k.ring)
	case k.next != k.queue[0].alarm.at:
		k.next = k.queue[0].alarm.at
		k.timer.Reset(k.next - time.Since(k.begun))
	}
}

// ring tells those who are due.
func (k *clock) ring() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Since(k.begun)
	for len(k.queue) > 0 && k.queue[0].alarm.at <= now {
		heap.Pop(&k.queue).(*Conn).kick(due)
	}
	k.next = 0 // the timer has gone off
	k.wind()
}

// A queue is a heap of connections, the one that is due first in front.
type queue []*Conn

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].alarm.at < q[j].alarm.at }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].alarm.slot, q[j].alarm.slot = int32(i+1), int32(j+1)
}

// Push is part of [heap.Interface].
func (q *queue) Push(c any) {
	*q = append(*q, c.(*Conn))
	c.(*Conn).alarm.slot = int32(len(*q))
}

// Pop is part of [heap.Interface].
func (q *queue) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	c.alarm.slot = 0
	return c
}
