package handlers_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// others are those who have nothing to do with a backend that is ill: a socket
// whose handler is well, a plain WebSocket, and who publishes. One after the
// other does something, and the time it takes is noted.
type others struct {
	s    *server
	page *socket
	read *wire

	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex // guards all below
	period string     // the fault that there is; "": none
	took   map[string]map[string][]time.Duration
	err    error
}

// What they do.
var deeds = []string{"event", "publish", "delivery"}

// watch has them begin.
func watch(t testing.TB, s *server) *others {
	t.Helper()
	o := &others{s: s, stop: make(chan struct{}), took: make(map[string]map[string][]time.Duration)}
	c := &crowd{addr: s.addr, namespace: "/well"}
	var err error
	if o.page, err = c.join(); err != nil {
		t.Fatal(err)
	}
	var key string
	s.call(&key, "create_client", []any{"other"})
	s.call(nil, "subscribe", []any{"other", "news"})
	if o.read, err = dial(s.addr, "/websocket"); err != nil {
		t.Fatal(err)
	}
	if err := o.read.say(fmt.Sprintf(`{"clients":[{"id":"other","key":%q}]}`, key)); err != nil {
		t.Fatal(err)
	}
	o.done.Go(o.run)
	t.Cleanup(func() {
		close(o.stop)
		o.done.Wait()
		o.page.conn.Close()
		o.read.conn.Close()
	})
	return o
}

// now says what fault there is from now on.
func (o *others) now(period string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.period = period
}

func (o *others) run() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-o.stop:
			return
		case <-tick.C:
		}
		o.page.conn.SetReadDeadline(time.Now().Add(patience))
		o.read.conn.SetReadDeadline(time.Now().Add(patience))
		if err := o.turn(n); err != nil {
			o.mu.Lock()
			o.err = err
			o.mu.Unlock()
			return
		}
	}
}

// turn does all once.
func (o *others) turn(n int) error {
	began := time.Now()
	if err := o.page.utter(0); err != nil {
		return err
	}
	if err := o.answered(n); err != nil {
		return err
	}
	o.note("event", began)
	began = time.Now()
	if err := o.s.try(nil, "new_message", []any{"bob", n, "news", false}); err != nil {
		return err
	}
	o.note("publish", began)
	err := o.hears(n)
	o.note("delivery", began)
	return err
}

// answered waits for the answer to the page. All handlers have the same time-out,
// so on a machine that is very busy there may be none.
func (o *others) answered(n int) error {
	begin := fmt.Sprintf("43/well,%d", n)
	for {
		text, err := o.page.hear()
		if err != nil {
			return err
		}
		rest, isAck := strings.CutPrefix(string(text), begin)
		switch {
		case !isAck && string(text) != "2", isAck && rest != answerTo(n) && !strings.Contains(rest, timeout):
			return fmt.Errorf("it is told %s", text)
		case isAck:
			return nil
		}
		if err := o.page.say("3"); err != nil {
			return err
		}
	}
}

// hears waits for a message on the channel.
func (o *others) hears(n int) error {
	for {
		text, err := o.read.hear()
		if err != nil {
			return err
		}
		numbers, err := numbersOf(text)
		if err != nil || slices.Contains(numbers, n) {
			return err
		}
	}
}

// note notes how long something took.
func (o *others) note(deed string, began time.Time) {
	took := time.Since(began)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.took[o.period] == nil {
		o.took[o.period] = make(map[string][]time.Duration)
	}
	o.took[o.period][deed] = append(o.took[o.period][deed], took)
}

// turns wants them to do all so many times more under the present fault.
func (o *others) turns(t testing.TB, more int) {
	t.Helper()
	all := func() (n int, err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.took[o.period][deeds[len(deeds)-1]]), o.err
	}
	before, _ := all()
	live.Until(t, "others go on", patience, func() bool {
		n, err := all()
		if err != nil {
			t.Fatal(err)
		}
		return n >= before+more
	})
}

// bound is how many times as long things may take while another's backend is ill
// as while it is well.
const bound = 10

// judge compares how long things took when there was a fault and when not.
func (o *others) judge(t testing.TB) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		t.Errorf("someone else was harmed while the other's backend was %q: %v", o.period, o.err)
	}
	for _, deed := range deeds {
		var well, ill []time.Duration
		for period, took := range o.took {
			if period == "" {
				well = append(well, took[deed]...)
			} else {
				ill = append(ill, took[deed]...)
			}
		}
		slices.Sort(well)
		slices.Sort(ill)
		if len(well) == 0 || len(ill) == 0 {
			t.Fatalf("%s: %d and %d times", deed, len(well), len(ill))
		}
		t.Logf("%s: %v of %d while the other's backend is well, %v of %d while it is not", deed, quantiles(well), len(well), quantiles(ill), len(ill))
		if middle(ill) > bound*middle(well) {
			t.Errorf("%s takes %v while another's backend is ill, and else %v", deed, middle(ill), middle(well))
		}
	}
}

func middle(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] }

// quantiles are the half and the 99th in a hundred.
func quantiles(sorted []time.Duration) string {
	return fmt.Sprintf("p50 %v p99 %v", middle(sorted).Round(10*time.Microsecond), sorted[len(sorted)*99/100].Round(10*time.Microsecond))
}
