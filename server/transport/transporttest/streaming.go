package transporttest

import (
	"context"
	"sync"
)

// A Stream is one connection by which news come until it ends.
type Stream interface {
	// Next returns what comes next, waiting for it. It fails when the context
	// ends by which the stream was opened. News that come with an error have
	// come: an event may be whole where its batch is not.
	Next() (News, error)
	// Close ends the connection. It may be called again.
	Close()
}

// An Open opens a stream, or fails as [Reader.Read] does; the news then are
// what it was told.
type Open func(ctx context.Context, start Start) (Stream, News, error)

// Streaming returns a reader that reads by streams, one after the other. As a
// browser does, it takes what comes also while nobody calls Read.
func Streaming(start Start, open Open) Reader { return &streaming{Start: start, open: open} }

type streaming struct {
	Start
	open Open
	now  *connection // nil: none
}

func (r *streaming) Read(ctx context.Context) (News, error) {
	if r.now != nil && r.now.over() {
		r.Close()
	}
	if len(r.Clients) == 0 {
		return News{}, ErrGone
	}
	if r.now == nil {
		news, err := r.connect(ctx)
		if err != nil {
			r.take(news)
			return news, err
		}
	}
	news, err := r.now.next(ctx)
	r.take(news)
	if err != nil {
		r.Close()
	}
	return news, err
}

// connect opens a stream, which outlives ctx.
func (r *streaming) connect(ctx context.Context) (News, error) {
	own, cancel := context.WithCancel(context.Background())
	defer context.AfterFunc(ctx, cancel)()
	stream, news, err := r.open(own, r.Start)
	if err != nil {
		cancel()
		if len(news.Signals) > 0 {
			err = ErrGone
		}
		return news, err
	}
	r.now = &connection{stream: stream, cancel: cancel, came: make(chan struct{}, 1)}
	r.now.ended.Go(r.now.receive)
	return News{}, nil
}

// take goes on from where the news end.
func (r *streaming) take(news News) {
	r.Clients = news.without(r.Clients)
	if news.Cursor != "" {
		r.Cursor = news.Cursor
	}
}

func (r *streaming) Close() {
	if r.now != nil {
		r.now.close()
		r.now = nil
	}
}

// A connection has what has come by a stream.
type connection struct {
	stream Stream
	cancel context.CancelFunc
	ended  sync.WaitGroup
	came   chan struct{} // has a token when there is something to look at

	mu   sync.Mutex // guards all below
	news []News
	err  error // why it has ended
}

func (c *connection) receive() {
	for {
		news, err := c.stream.Next()
		c.mu.Lock()
		if err == nil || !news.empty() {
			c.news = append(c.news, news)
		}
		c.err = err
		c.mu.Unlock()
		select {
		case c.came <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// next returns what came first, waiting for it.
func (c *connection) next(ctx context.Context) (News, error) {
	for {
		c.mu.Lock()
		if len(c.news) > 0 {
			first := c.news[0]
			c.news = c.news[1:]
			c.mu.Unlock()
			return first, nil
		}
		err := c.err
		c.mu.Unlock()
		if err != nil {
			return News{}, err
		}
		select {
		case <-c.came:
		case <-ctx.Done():
			return News{}, ctx.Err()
		}
	}
}

// over reports whether the connection has ended, and nothing of it is left.
func (c *connection) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil && len(c.news) == 0
}

func (c *connection) close() {
	c.cancel()
	c.stream.Close()
	c.ended.Wait()
}
