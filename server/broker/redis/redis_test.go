package redis_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/brokertest"
	"github.com/shaveet/shaveet/server/broker/redis"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/tests/redistest"
)

func open(t testing.TB, opts redis.Options) *redis.Broker {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(logger{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if opts.Timeout == 0 {
		opts.Timeout = 5 * time.Second
	}
	b, err := redis.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A logger writes into the test's log.
type logger struct{ t testing.TB }

func (l logger) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

func TestPromises(t *testing.T) {
	server := redistest.Start(t)
	n := 0
	brokertest.Run(t, func(t *testing.T) hub.Broker {
		n++
		return open(t, redis.Options{URL: server.URL(), Prefix: "log" + string(rune('a'+n))})
	})
}
