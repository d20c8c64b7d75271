package stream_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/stream"
	"github.com/shaveet/shaveet/server/transport/transporttest"
)

func by(ask transporttest.Way) transporttest.Transport {
	return transporttest.Transport{
		Handler: func(h *hub.Hub, lot *park.Lot, _ context.Context) http.Handler {
			return stream.New(h, transport.Options{Lot: lot})
		},
		Dial:      transporttest.Lines("http://shaveet/stream", ask),
		Positions: true,
	}
}

func TestPromises(t *testing.T) {
	for name, ask := range transporttest.Ways {
		t.Run(name, func(t *testing.T) { transporttest.Run(t, by(ask)) })
	}
}

func TestMoves(t *testing.T) {
	transporttest.RunMoves(t, by(transporttest.ByPost), by(transporttest.ByQuery))
}
