package longpoll_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/transport/longpoll"
	"github.com/shaveet/shaveet/server/transport/transporttest"
)

func by(ask transporttest.Way, callback string) transporttest.Transport {
	return transporttest.Transport{
		Handler: func(h *hub.Hub, lot *park.Lot, _ context.Context) http.Handler {
			return longpoll.New(h, longpoll.Options{Options: transport.Options{Lot: lot}})
		},
		Dial:      transporttest.Polls("http://shaveet/longpoll", callback, ask),
		Positions: true,
	}
}

func TestPromises(t *testing.T) {
	for name, ask := range transporttest.Ways {
		t.Run(name, func(t *testing.T) { transporttest.Run(t, by(ask, "")) })
	}
	t.Run("by the same connection", func(t *testing.T) {
		again := by(transporttest.ByPost, "")
		again.Again = true
		transporttest.Run(t, again)
	})
	t.Run("by JSONP", func(t *testing.T) { transporttest.Run(t, by(transporttest.ByQuery, "cb")) })
}

func TestMoves(t *testing.T) {
	transporttest.RunMoves(t, by(transporttest.ByPost, ""), by(transporttest.ByQuery, "cb"))
}
