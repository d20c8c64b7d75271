package streamapp

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"slices"
	"time"
)

// kept is how many lines wait for Shaveet when it is away. What is older is
// given up, for who listens to something live wants to hear of now.
const kept = 10

// producer says a line on a channel again and again, whether anybody listens
// or not. It belongs to the goroutine that runs it.
type producer struct {
	channel string
	every   time.Duration
	content func(number int) line
	publish func(ctx context.Context, channel string, data line, id string) error
	life    string // drawn at each start: numbers begin at 1 then, so publish ids need more than them

	number  int // of the last line
	waiting []waiting
	away    bool // Shaveet did not take the last line that it was told
}

// line is what is published, a JSON object. Beside its content it has the
// producer that it is of and, if lines before it were given up, their number
// as lost.
type line map[string]any

type waiting struct {
	number int
	lost   int // lines just before it that nobody will hear
	data   line
	told   bool // Shaveet may have it, though it has not said so
}

// hello is what the tutorial's producer says, once a second.
func hello(number int) line {
	return line{"number": number, "text": "Hello World", "time": time.Now().UnixMilli()}
}

// random is what the tutorial's WebSocket says, twice a second. Its x is the
// line's number.
func random(number int) line { return line{"x": number, "y": 1 + rand.IntN(5)} }

// run says lines until ctx ends.
func (p *producer) run(ctx context.Context) {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.add()
		p.say(ctx)
	}
}

// add makes the next line. If too many wait the oldest is given up of those
// that Shaveet has never been told, so that it is really lost. The one behind
// it, which it has never been told either, will say so.
func (p *producer) add() {
	p.number++
	data := p.content(p.number)
	data["producer"] = p.life
	p.waiting = append(p.waiting, waiting{number: p.number, data: data})
	if len(p.waiting) > kept {
		oldest := slices.IndexFunc(p.waiting, func(w waiting) bool { return !w.told }) // only the first can have been told
		p.waiting[oldest+1].lost = p.waiting[oldest].lost + 1
		p.waiting = slices.Delete(p.waiting, oldest, oldest+1)
	}
}

// say tells Shaveet what waits, the oldest first, and stops where it cannot: by
// then the next line is due. It need not know whether an attempt came through
// that brought no answer. The next one has the same publish id, and with that
// the line is said once, by any one Shaveet: its memory ends when it does.
func (p *producer) say(ctx context.Context) {
	attempt, cancel := context.WithTimeout(ctx, p.every)
	defer cancel()
	for len(p.waiting) > 0 {
		next := &p.waiting[0]
		next.told = true
		if next.lost > 0 {
			next.data["lost"] = next.lost
		}
		err := p.publish(attempt, p.channel, next.data, fmt.Sprintf("%s-%s-%d", p.channel, p.life, next.number))
		if ctx.Err() != nil {
			return
		}
		p.report(err)
		if err != nil {
			return
		}
		p.waiting = p.waiting[1:]
	}
}

// report logs when Shaveet goes and when it comes, and not each line between. It
// is of the first line that waits.
func (p *producer) report(err error) {
	first, lost := p.waiting[0].number, 0
	if len(p.waiting) > 1 {
		lost = p.waiting[1].lost
	}
	switch {
	case err != nil && !p.away:
		log.Printf("%s: line %d waits: %v", p.channel, first, err)
	case err == nil && p.away:
		log.Printf("%s: line %d is said, %d after it are lost", p.channel, first, lost)
	}
	p.away = err != nil
}
