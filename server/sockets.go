package server

import (
	"context"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/metrics"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/zeromq"
)

// newSockets makes the ZeroMQ sockets. Calls that come by them are handled as
// those that come by HTTP are.
func (s *Server) newSockets(cfg Config, handle func(context.Context, []byte) []byte) *zeromq.Sockets {
	return zeromq.New(s.hub, cfg.ZeroMQ, zeromq.Options{
		Encode: func(b []byte, m *hub.Message) []byte { return append(b, transport.Modern(m)...) },
		Ask: func(ctx context.Context, token string, request []byte) []byte {
			if want := s.live.Load().cfg.AdminToken; want != "" && !sameSecret(token, want) {
				if s.refused.allow() {
					s.log.WarnContext(ctx, "admin call refused", "reason", "no admin token, or a wrong one", "by", "zeromq")
				}
				return []byte(noToken)
			}
			return handle(context.WithoutCancel(ctx), request) // as of HTTP: what has come whole is done
		},
		MaxAsk:   int(cfg.MaxBodyBytes),
		MaxDepth: cfg.MaxJSONDepth,
		Logger:   s.log,
	})
}

const noToken = `{"jsonrpc":"2.0","error":{"code":-32600,"message":"the admin token must be a frame in front of the request, and is not there or a wrong one"},"id":null}` + "\n"

// intakeTime is how long ZeroMQ's peers may take at the end to say what they
// have begun with.
const intakeTime = 2 * time.Second

// stopIntake takes in what comes by ZeroMQ while there are still readers.
func (s *Server) stopIntake() {
	ctx, cancel := context.WithTimeout(context.Background(), intakeTime)
	defer cancel()
	s.sockets.StopIntake(ctx)
}

// serveSockets serves the ZeroMQ sockets until the doors are shut: what came
// later nobody could hear any more.
func (s *Server) serveSockets(ctx context.Context) error {
	open, shut := context.WithCancel(ctx)
	defer shut()
	defer context.AfterFunc(s.drain, shut)()
	err := s.sockets.Run(open)
	<-ctx.Done() // their end is not the server's
	return err
}

// socketStats are the sockets' counts as metrics want them.
func (s *Server) socketStats() []metrics.Socket {
	var all []metrics.Socket
	for _, k := range s.sockets.Stats() {
		all = append(all, metrics.Socket(k))
	}
	return all
}
