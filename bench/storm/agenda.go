package storm

// An event is something that will happen at a time.
type event struct {
	at   int64 // ns since the storm began
	who  int32 // reader, or node if it is done with one
	try  uint16
	what what
	nth  uint8 // of SYNs
}

type what uint8

const (
	begins  what = iota // a reader begins its next step
	knocks              // a SYN comes
	givesUp             // a reader's patience has come to its end
	done                // a node has done with the first of its line
)

// An agenda is a heap of events, the next one first.
type agenda []event

func (a *agenda) push(e event) {
	h := append(*a, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if h[up].at <= e.at {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
	*a = h
}

func (a *agenda) pop() event {
	h := *a
	first, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	if len(h) > 0 {
		h.sink(last)
	}
	*a = h
	return first
}

// sink puts e where the first was.
func (a agenda) sink(e event) {
	i := 0
	for {
		down := 2*i + 1
		if down >= len(a) {
			break
		}
		if down+1 < len(a) && a[down+1].at < a[down].at {
			down++
		}
		if e.at <= a[down].at {
			break
		}
		a[i] = a[down]
		i = down
	}
	a[i] = e
}
