package handler

import (
	"slices"
	"sync"
)

// serials number the calls.
type serials struct {
	mu   sync.Mutex // guards all below; no other lock is taken under it
	last uint64
	back []uint64 // those nobody has heard, the smallest first
}

// take returns the next number: the smallest that the backend has not heard.
func (s *serials) take() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.back) > 0 {
		n := s.back[0]
		s.back = slices.Delete(s.back, 0, 1)
		return n
	}
	s.last++
	return s.last
}

// giveBack returns the number of a call that was never sent and never will be, so
// that it is no hole.
func (s *serials) giveBack(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, _ := slices.BinarySearch(s.back, n)
	s.back = slices.Insert(s.back, at, n)
}
