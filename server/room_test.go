package server

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// One door may have most of the room, and the others are left something.
func TestRoom(t *testing.T) {
	for _, c := range []struct {
		n, doors, atDoor, nodes int
		door, own, all          int // the most at a door, what is its own, and the most at all doors
	}{
		{20000, 2, 0, 0, 18630, 1242, 19872},
		{20000, 2, 0, 1250, 16287, 1085, 17372},
		{20000, 2, 0, 5000, 9255, 617, 9872},
		{20000, 2, 15000, 0, 15000, 1242, 19872},
		{1024, 1, 0, 0, 896, 64, 896},
		{1024, 2, 0, 0, 832, 64, 896},
		{1024, 2, 10, 0, 10, 10, 896},
		{1024, 3, 0, 256, 320, 32, 384},
		{256, 2, 0, 0, 112, 16, 128},
		{40, 2, 0, 10, 9, 1, 10},
		{3, 1, 0, 0, 1, 1, 1},
	} {
		r := newRoom(c.n, c.doors, c.atDoor, c.nodes)
		if door, all := r.part(c.atDoor).limit, c.doors*r.each+cap(r.shared); door != c.door || r.each != c.own || all != c.all {
			t.Errorf("%+v: %d at a door, %d of its own, %d at all", c, door, r.each, all)
		}
	}
	if p := newRoom(0, 2, 0, 0).part(0); p.limit != 0 || p.now() != 0 || p.take(nil, nil) != nil {
		t.Error("where there is no end of descriptors there is one of room")
	}
	if p := newRoom(0, 2, 0, 0).partOfNodes(); p.limit != 0 || p.take(nil, nil) != nil {
		t.Error("where there is no end of descriptors there is one for nodes")
	}
	if p := newRoom(0, 2, 3, 0).part(3); p.limit != 3 || p.now() != 3 {
		t.Errorf("%d, though max_connections says 3", p.limit)
	}
}

// Whatever there are of descriptors and doors, all together have fewer, and each
// door has something.
func TestRoomIsWithinTheDescriptors(t *testing.T) {
	for n := 16; n < 1<<20; n += 1 + n/7 {
		for doors := 1; doors <= 3; doors++ {
			for _, nodes := range []int{0, roomForNodes(n, false), roomForNodes(n, true)} {
				r := newRoom(n, doors, 0, nodes)
				if all := doors*r.each + cap(r.shared) + 2*nodes; r.each < 1 || all >= n {
					t.Errorf("%d descriptors, %d doors, %d of nodes: %d connections, %d of each door's own", n, doors, nodes, all, r.each)
				}
				if nodes > 0 && r.partOfNodes().limit != nodes {
					t.Errorf("%d descriptors: %d at the door for nodes, want %d", n, r.partOfNodes().limit, nodes)
				}
			}
		}
	}
}

// A door that takes all there is leaves the others what is their own, and what it
// gives back is theirs as well.
func TestRoomIsShared(t *testing.T) {
	r := newRoom(1024, 2, 0, 0)
	public, main := r.part(0), r.part(0)
	full := func() { t.Error("there is no room") }
	for range public.limit {
		if err := public.take(nil, full); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := [2]int{public.now(), main.now()}, [2]int{public.limit, r.each}; got != want {
		t.Errorf("there may be %v, want %v", got, want)
	}
	for range r.each {
		if err := main.take(nil, full); err != nil {
			t.Fatal(err)
		}
	}
	waits, came := make(chan struct{}, 1), make(chan error, 1)
	go func() { came <- main.take(nil, func() { waits <- struct{}{} }) }()
	<-waits
	public.give()
	if err := <-came; err != nil {
		t.Error(err)
	}
	if got, want := [2]int{public.now(), main.now()}, [2]int{public.limit - 1, r.each + 1}; got != want {
		t.Errorf("there may be %v, want %v", got, want)
	}
	closed := make(chan struct{})
	go func() { came <- public.take(closed, func() { waits <- struct{}{} }) }()
	<-waits
	close(closed)
	if err := <-came; !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want that the door is closed", err)
	}
}

// Who waits at a door that is closed leaves nothing taken, whatever there was none of.
func TestRoomOfAClosedDoor(t *testing.T) {
	r := newRoom(40, 1, 0, 0)
	for _, most := range []int{3, r.part(0).limit} {
		p := r.part(most)
		if p.most == nil {
			t.Fatalf("there is no limit of %d", most)
		}
		for range most {
			if err := p.take(nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		if most > 3 {
			<-p.most // so that it is the room that is missing
		}
		before := [3]int{len(p.most), len(p.own), len(p.shared)}
		closed, waits, came := make(chan struct{}), make(chan struct{}, 1), make(chan error, 1)
		go func() { came <- p.take(closed, func() { waits <- struct{}{} }) }()
		<-waits
		close(closed)
		if err := <-came; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v, want that the door is closed", err)
		}
		if after := [3]int{len(p.most), len(p.own), len(p.shared)}; after != before {
			t.Errorf("%v are taken, want %v", after, before)
		}
		if most > 3 {
			p.most <- struct{}{}
		}
		for range most {
			p.give()
		}
	}
}

// However they come and go, there are never more than may be, and at the end all
// room is there again.
func TestRoomIsGivenBack(t *testing.T) {
	r := newRoom(60, 3, 0, 10)
	parts := []*part{r.part(0), r.part(4), r.part(0), r.partOfNodes()}
	all := 3*r.each + r.nodes + cap(r.shared)
	var mu sync.Mutex
	open, of := 0, make([]int, len(parts))
	count := func(i, d int) {
		mu.Lock()
		defer mu.Unlock()
		open, of[i] = open+d, of[i]+d
		if open > all || of[i] > parts[i].limit {
			t.Errorf("%d are open of %d, %d at door %d", open, all, of[i], i)
		}
	}
	var callers sync.WaitGroup
	for i, p := range parts {
		for n := range 20 {
			rnd := rand.New(rand.NewPCG(uint64(i), uint64(n)))
			callers.Go(func() {
				for range long(150, 15000) {
					if err := p.take(nil, func() {}); err != nil {
						t.Error(err)
					}
					count(i, 1)
					if rnd.IntN(4) == 0 {
						time.Sleep(time.Duration(rnd.IntN(50)) * time.Microsecond)
					}
					count(i, -1)
					p.give()
				}
			})
		}
	}
	callers.Wait()
	for i, p := range parts {
		if len(p.own) != 0 || len(p.most) != 0 || p.lent.Load() != 0 || len(r.shared) != 0 {
			t.Errorf("of door %d there are left %d, %d, %d and %d", i, len(p.own), len(p.most), p.lent.Load(), len(r.shared))
		}
	}
}
