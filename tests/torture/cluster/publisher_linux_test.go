package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A publisher says numbered messages, one after the other or some at once.
type publisher struct {
	*world
	number int
	caller *caller
	rand   *rand.Rand
	said   int
}

type publication struct {
	Channel   string `json:"channel"`
	Data      string `json:"data"`
	PublishID string `json:"publish_id,omitempty"`
}

// A word is a message on its way.
type word struct {
	publication
	*saying
	channel *channel
	n       int
}

// run publishes until ctx ends.
func (p *publisher) run(ctx context.Context) {
	defer p.caller.http.CloseIdleConnections()
	began := time.Now()
	for ctx.Err() == nil {
		words := p.words()
		p.say(ctx, words)
		p.said += len(words)
		due := began.Add(time.Duration(p.said) * time.Second / time.Duration(p.plan.rate))
		if wait := time.Until(due); wait > 0 {
			pause(ctx, wait)
		} else if wait < -time.Second { // it could not: nobody catches up
			began = time.Now()
			p.said = 0
		}
	}
}

// words are the next messages. Most are one, and most can be repeated.
func (p *publisher) words() []*word {
	n := 1
	if p.rand.IntN(4) == 0 {
		n += p.rand.IntN(8)
	}
	retries := p.rand.IntN(10) > 0
	words := make([]*word, n)
	for i := range words {
		words[i] = p.word(p.anyChannel(), p.size(), retries)
	}
	return words
}

func (p *publisher) anyChannel() *channel {
	f := p.rand.Float64()
	return p.channels[int(f*f*float64(len(p.channels)))]
}

// size is mostly small, seldom large.
func (p *publisher) size() int {
	switch p.rand.IntN(200) {
	case 0:
		return 100_000
	case 1, 2, 3, 4:
		return p.rand.IntN(16_000)
	}
	return p.rand.IntN(300)
}

func (p *publisher) word(ch *channel, size int, retries bool) *word {
	now := p.now()
	n, s := ch.say(p.number, now)
	w := &word{publication: publication{Channel: ch.name, Data: body(ch.number, n, now, strings.Repeat("x", size))}, saying: s, channel: ch, n: n}
	if retries {
		w.PublishID = fmt.Sprintf("%s-%d", ch.name, n)
	}
	return w
}

// say publishes the words until it is known what has become of them, or cannot be.
func (p *publisher) say(ctx context.Context, words []*word) {
	last := time.Now().Add(p.plan.insist)
	for wait := 5 * time.Millisecond; len(words) > 0; wait = min(2*wait, 500*time.Millisecond) {
		words = p.attempt(ctx, words)
		if len(words) > 0 && (time.Now().After(last) || !pause(ctx, wait)) {
			return // their outcome stays unknown
		}
	}
}

// attempt publishes the words once, and returns those to be tried again.
func (p *publisher) attempt(ctx context.Context, words []*word) (again []*word) {
	messages := make([]publication, len(words))
	for i, w := range words {
		w.tries.Add(1)
		messages[i] = w.publication
	}
	replies, err := p.caller.post(ctx, []call{{"2.0", "publish_many", map[string]any{"messages": messages}, 1}})
	var places []struct {
		Position position
		ID       uint64
		Error    *rpcError
	}
	if err == nil && replies[0].Error == nil {
		err = json.Unmarshal(replies[0].Result, &places)
	}
	for i, w := range words {
		switch {
		case err != nil || replies[0].Error != nil || len(places) != len(words) || places[i].Error != nil && places[i].Error.Code == codeUnavailable:
			if w.PublishID != "" {
				again = append(again, w)
			}
		case places[i].Error != nil:
			w.outcome.Store(int32(refused))
			p.journal.note("publish refused: " + places[i].Error.Message)
		default:
			w.outcome.Store(int32(acknowledged))
			if _, err := w.channel.at(place{p.epochs.of(places[i].Position.epoch), places[i].Position.seq}, w.n, places[i].ID); err != nil {
				p.journal.find("acknowledged: %v", err)
			}
		}
	}
	return again
}

// finish says the last word on each channel, and returns when all are
// acknowledged.
func (p *publisher) finish(ctx context.Context) error {
	for _, ch := range p.channels {
		w := p.word(ch, 0, true)
		ch.last.Store(int64(w.n) + 1)
		for outcome(w.outcome.Load()) != acknowledged {
			if p.say(ctx, []*word{w}); ctx.Err() != nil {
				return fmt.Errorf("the last word on %s is not acknowledged: %w", ch.name, context.Cause(ctx))
			}
		}
	}
	return nil
}
