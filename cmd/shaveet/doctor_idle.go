package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// An idled is how a stream without news has fared.
type idled struct {
	name string
	took time.Duration // of silence
	err  error
}

// beginIdle begins to hold all streams that work here, at the same time.
func (d *doctor) beginIdle(ctx context.Context) {
	d.idle = make(chan idled, len(d.streams))
	var held sync.WaitGroup
	for _, name := range d.streams {
		s := newStream(d.site, d.hello(d.times.hold), nil, transportOf(name).connect)
		held.Go(func() {
			defer s.close()
			d.idle <- d.keepIdle(ctx, name, s)
		})
	}
	d.running.Go(func() {
		held.Wait()
		close(d.idle)
	})
}

// keepIdle waits for the sign of life after a time without news.
func (d *doctor) keepIdle(ctx context.Context, name string, s *stream) idled {
	_, err := hear(ctx, s, d.times.answer, anything)
	begun := time.Now()
	if err == nil {
		_, err = hear(ctx, s, d.times.longest, isBeat)
	}
	return idled{name, time.Since(begun), err}
}

// idleStreams: does a stream without news stand until it says so?
func (d *doctor) idleStreams(context.Context) finding {
	if d.idle == nil || len(d.streams) == 0 {
		return skip("there is no stream here")
	}
	longest := time.Duration(0)
	var cut []string
	for i := range d.idle {
		longest = max(longest, i.took)
		if i.err != nil {
			cut = append(cut, fmt.Sprintf("/%s was cut after %s: %v", i.name, seconds(i.took), i.err))
		}
	}
	if len(cut) > 0 {
		slices.Sort(cut)
		return fail(adviceStreamIdle, "without news %s", strings.Join(cut, ", "))
	}
	return good("%s stood without news for %s", strings.Join(d.streams, ", "), seconds(longest))
}
