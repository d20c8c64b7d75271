package faultproxy

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"time"
)

// An End is how one direction of a connection ends before its time.
type End uint8

// The ends.
const (
	// EndNone: the direction ends when its sender ends it.
	EndNone End = iota
	// EndCut: the whole connection is closed.
	EndCut
	// EndReset: the whole connection is reset, on both sides: what is under way
	// is thrown away, also what the peer has not read yet.
	EndReset
	// EndHalf: this direction is closed, and what still comes is thrown away;
	// the other direction goes on.
	EndHalf
	// EndStall: nothing more is handed on, but the connection stays for
	// Faults.Stall, and is reset then.
	EndStall
)

func (e End) String() string { return [...]string{"none", "cut", "reset", "half", "stall"}[e] }

// A Way is what befalls one direction of a connection.
type Way struct {
	End   End
	After int64         // bytes that are handed on before the end
	Piece int           // most bytes in each of the first mostPieces pieces; 0: as they come
	Pause time.Duration // before every so many pieces, mostPauses times at most
	Every int           // 0: no pauses
}

// mostPauses and mostPieces bound how much later a direction's bytes can come,
// however many they are.
const (
	mostPauses = 32
	mostPieces = 4096
)

func (w Way) String() string {
	return fmt.Sprintf("%v after %d bytes, pieces of %d, %v every %d", w.End, w.After, w.Piece, w.Pause, w.Every)
}

// A Plan is what befalls one connection.
type Plan struct {
	Request Way // from who has connected to the server
	Answer  Way // from the server
}

func (p Plan) String() string { return fmt.Sprintf("request: %v; answer: %v", p.Request, p.Answer) }

// Faults say how likely each fault is, in thousandths, and how bad. The zero
// value is a proxy that does no harm. At most one end befalls a connection.
type Faults struct {
	Cut, Reset, Half, Stall int // the answer's direction ends early
	Requests                int // of those ends, how many befall the request instead
	Pieces                  int // a direction is handed on in tiny pieces
	Pauses                  int // a direction is handed on with pauses

	// Reach is how many bytes may be handed on before an end. Where exactly is
	// random, and small numbers are as likely as large ones: of two ends one is
	// within the square root of Reach. 0: 1 MiB.
	Reach int64
	// Pause is the longest pause. 0: 1 ms.
	Pause time.Duration
	// StallTime is how long a stall lasts. 0: 20 ms.
	StallTime time.Duration
}

// PlanFor returns the plan of the connection number n, counted from 0. It
// depends on nothing but its parameters.
func PlanFor(seed, n uint64, f Faults) Plan {
	f = f.withDefaults()
	r := rand.New(rand.NewPCG(seed, n))
	p := Plan{Request: f.tempo(r), Answer: f.tempo(r)}
	end, after := f.end(r), f.reach(r)
	way := &p.Answer
	if r.IntN(1000) < f.Requests {
		way = &p.Request
		after %= 1024 // requests are short
	}
	if way.End = end; end != EndNone {
		way.After = after
	}
	return p
}

func (f Faults) withDefaults() Faults {
	if f.Reach <= 0 {
		f.Reach = 1 << 20
	}
	if f.Pause <= 0 {
		f.Pause = time.Millisecond
	}
	if f.StallTime <= 0 {
		f.StallTime = 20 * time.Millisecond
	}
	return f
}

func (f Faults) end(r *rand.Rand) End {
	n := r.IntN(1000)
	for _, e := range []struct {
		end    End
		likely int
	}{{EndCut, f.Cut}, {EndReset, f.Reset}, {EndHalf, f.Half}, {EndStall, f.Stall}} {
		if n -= e.likely; n < 0 {
			return e.end
		}
	}
	return EndNone
}

// reach draws a number of bytes: first its size, then the number.
func (f Faults) reach(r *rand.Rand) int64 {
	size := r.IntN(bits.Len64(uint64(f.Reach)) + 1)
	return r.Int64N(min(f.Reach, int64(1)<<size) + 1)
}

func (f Faults) tempo(r *rand.Rand) (w Way) {
	if r.IntN(1000) < f.Pieces {
		w.Piece = 1 + r.IntN(1<<(1+r.IntN(10)))
	}
	if r.IntN(1000) < f.Pauses {
		w.Every = 1 + r.IntN(64)
		w.Pause = time.Duration(1 + r.Int64N(int64(f.Pause)))
	}
	return w
}
