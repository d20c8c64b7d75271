package sse_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/sse"
	"github.com/shaveet/shaveet/server/transport/transporttest"
)

// by returns SSE for readers that dial so. silent ones have their key in the
// query.
func by(dial func(*http.Client, transporttest.Start) transporttest.Reader, silent bool) transporttest.Transport {
	return transporttest.Transport{
		Handler: func(h *hub.Hub, lot *park.Lot, _ context.Context) http.Handler {
			return sse.New(h, transport.Options{Lot: lot})
		},
		Dial:      dial,
		Positions: true,
		Events:    true,
		Silent:    silent,
	}
}

const address = "http://shaveet/sse"

func asEventSource(client *http.Client, start transporttest.Start) transporttest.Reader {
	return transporttest.Events(address, transporttest.AsEventSource())(client, start)
}

func TestPromises(t *testing.T) {
	for name, ask := range transporttest.Ways {
		t.Run(name, func(t *testing.T) {
			transporttest.Run(t, by(transporttest.Events(address, ask), name == "by query"))
		})
	}
	t.Run("by EventSource", func(t *testing.T) { transporttest.Run(t, by(asEventSource, true)) })
}

func TestMoves(t *testing.T) {
	transporttest.RunMoves(t, by(transporttest.Events(address, transporttest.ByPost), false), by(asEventSource, true))
}
