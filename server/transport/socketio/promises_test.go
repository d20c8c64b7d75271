package socketio_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/socketio"
	"github.com/shaveet/shaveet/server/transport/transporttest"
)

func by(polling bool) transporttest.Transport {
	return transporttest.Transport{
		Handler: func(h *hub.Hub, lot *park.Lot, drain context.Context) http.Handler {
			o := socketio.Options{RecoveryTime: time.Hour}
			o.Lot, o.Drain = lot, drain
			sv := socketio.New(h, o)
			go sv.Run(drain)
			return sv
		},
		Dial:     transporttest.SocketIO("http://shaveet", polling),
		Plain:    true,
		Unsteady: polling,
		OneNode:  polling,
	}
}

func TestPromises(t *testing.T) {
	t.Run("websocket", func(t *testing.T) { transporttest.Run(t, by(false)) })
	t.Run("polling", func(t *testing.T) { transporttest.Run(t, by(true)) })
}
