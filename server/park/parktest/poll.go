package parktest

import (
	"slices"
	"sync"
	"syscall"

	"github.com/shaveet/shaveet/server/park/internal/kernel"
)

// A poll tells what happens to ends, once whenever it does. What it tells of an
// end is all that is so when it is asked. It is guarded by the kernel's mutex.
type poll struct {
	k           *Kernel
	line        []*item
	interrupted bool
	changed     *sync.Cond
}

// An item is an end in a poll.
type item struct {
	poll   *poll
	fd     int
	end    *end
	wanted kernel.What
	queued bool
}

// NewPoll is part of [kernel.Kernel].
func (k *Kernel) NewPoll() (kernel.Poll, error) {
	return &poll{k: k, changed: sync.NewCond(&k.mu)}, nil
}

func (p *poll) Add(fd int) error {
	return p.on(fd, func(e *end) error {
		if e.item != nil {
			return syscall.EEXIST
		}
		e.item = &item{poll: p, fd: fd, end: e, wanted: kernel.Came | kernel.Ending}
		p.look(e.item)
		return nil
	})
}

func (p *poll) WantRoom(fd int) error {
	return p.on(fd, func(e *end) error {
		if e.item == nil {
			return syscall.ENOENT
		}
		e.item.wanted |= kernel.Room
		p.look(e.item)
		return nil
	})
}

func (p *poll) Remove(fd int) error {
	return p.on(fd, func(e *end) error {
		if e.item == nil {
			return syscall.ENOENT
		}
		p.drop(e.item)
		return nil
	})
}

func (p *poll) on(fd int, f func(*end) error) error {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	e, err := p.k.endLocked(fd)
	if err == nil {
		if err = f(e); err != nil {
			p.k.wrongLocked("poll of descriptor %d: %v", fd, err)
		}
	}
	return err
}

// look has it be told what is so already.
func (p *poll) look(i *item) {
	if i.end.now()&i.wanted != 0 {
		p.queue(i)
	}
}

func (p *poll) queue(i *item) {
	if !i.queued {
		i.queued = true
		p.line = append(p.line, i)
		p.changed.Broadcast()
	}
}

func (p *poll) drop(i *item) {
	i.end.item = nil
	p.line = slices.DeleteFunc(p.line, func(o *item) bool { return o == i })
}

func (p *poll) Wait(told []kernel.Event) (n int) {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	for {
		for len(p.line) > 0 && n < len(told) {
			i := p.line[0]
			p.line, i.queued = p.line[1:], false
			if what := i.end.now() & i.wanted; what != 0 {
				told[n] = kernel.Event{FD: int32(i.fd), What: what}
				n++
			}
		}
		if n > 0 || p.interrupted {
			return n
		}
		p.changed.Wait()
	}
}

func (p *poll) Interrupt(on bool) {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	p.interrupted = on
	p.changed.Broadcast()
}
