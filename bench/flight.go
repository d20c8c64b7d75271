package bench

import "sync/atomic"

// A flight knows which messages are under way: said, and not yet with all their
// readers. With a window it has so many seats. Whoever wants to say a message
// takes one, and it is free again when the message has arrived everywhere.
type flight struct {
	free  chan uint32 // the next number of each free seat; nil: there are seats for all
	seats []seat      // of message n: n%len
}

type seat struct {
	number atomic.Uint32
	left   atomic.Int32 // readers that do not have it yet
}

func newFlight(window int) *flight {
	if window == 0 {
		return &flight{}
	}
	f := &flight{free: make(chan uint32, window), seats: make([]seat, window)}
	for i := range window {
		f.free <- uint32(i)
	}
	return f
}

// leaves tells that the message of a free number is about to be said to so many.
func (f *flight) leaves(number uint32, readers int) {
	if f.free == nil {
		return
	}
	s := &f.seats[int(number)%len(f.seats)]
	s.number.Store(number)
	s.left.Store(int32(readers))
}

// arrived tells that one reader has it.
func (f *flight) arrived(number uint32) {
	if f.free == nil {
		return
	}
	s := &f.seats[int(number)%len(f.seats)]
	if s.number.Load() == number && s.left.Add(-1) == 0 {
		f.landed(number)
	}
}

// landed makes the seat free, for another number.
func (f *flight) landed(number uint32) {
	if f.free != nil {
		f.free <- number + uint32(len(f.seats))
	}
}
