package server

import (
	"context"
	"slices"

	"github.com/shaveet/shaveet/namespace"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/metrics"
	"github.com/shaveet/shaveet/server/socketioclient"
	"github.com/shaveet/shaveet/server/transport/socketio"
	"github.com/shaveet/shaveet/server/transport/socketio/engine"
)

// newSocketIO makes what serves Socket.IO, if anything is to.
func (s *Server) newSocketIO(cfg Config) {
	if !cfg.Socketio {
		return
	}
	opts := s.socketIOOptions(cfg)
	s.socketio = socketio.New(s.hub, opts)
	for _, n := range s.namespaces {
		n.Attach(s.socketio)
	}
	s.metrics.SocketIO(s.socketIOStats)
	if cfg.SocketioConformance {
		s.echo = socketio.NewEcho(opts.Options)
	}
}

// inherited has a socket be forgotten that another node has left behind, unless
// it comes back.
func (s *Server) inherited(cr hub.Credentials) {
	if s.socketio != nil {
		s.socketio.Expect(cr)
	}
}

func (s *Server) socketIOOptions(cfg Config) socketio.Options {
	opts := socketio.Options{
		Options: engine.Options{
			Lot:            s.lot,
			Drain:          s.drain,
			PingInterval:   cfg.SocketioPingInterval,
			PingTimeout:    cfg.SocketioPingTimeout,
			UpgradeTimeout: cfg.SocketioUpgradeTimeout,
			MaxPayload:     cfg.SocketioMaxPayload,
			MaxPackets:     cfg.SocketioMaxPackets,
			MaxSessions:    cfg.SocketioMaxConnections,
			MaxHandshakes:  cfg.SocketioMaxHandshakes,
			AllowEIO3:      cfg.SocketioAllowEIO3,
			JSONP:          cfg.SocketioJSONP,
			Logger:         s.log,
		},
		ConnectTimeout: cfg.SocketioConnectTimeout,
		// After let_go_age the hub has forgotten the socket.
		RecoveryTime:  min(cfg.SocketioRecoveryTime, cfg.Limits.LetGoAge),
		MaxNamespaces: cfg.SocketioMaxNamespaces,
		MaxAuth:       cfg.SocketioMaxAuthBytes,
		MaxAcks:       cfg.SocketioMaxAcks,
		MaxWaiting:    cfg.SocketioMaxWaitingBytes,
		MaxPending:    cfg.SocketioMaxPendingBytes,
		MaxUnheard:    cfg.SocketioMaxUnheardBytes,
		MaxAsked:      cfg.SocketioMaxAsked,
		Conformance:   cfg.SocketioConformance,
	}
	if s.cluster != nil {
		opts.Node, opts.Forward, opts.Others = s.cluster.directory.NodeID(), s.forward, s.cluster
	}
	opts.Handlers = s.handlers.named()
	for _, n := range cfg.Namespace {
		if slices.ContainsFunc(s.namespaces, func(own *namespace.Namespace) bool { return own.Name() == n.Name }) {
			continue
		}
		ns := socketio.Namespace{Name: n.Name, Open: n.Open, Events: n.Events, Relay: n.Relay}
		if n.Handler != "" {
			ns.Handler = opts.Handlers[n.Handler]
		}
		opts.Namespaces = append(opts.Namespaces, ns)
	}
	for _, n := range s.namespaces {
		opts.Namespaces = append(opts.Namespaces, n.SocketIO())
	}
	return opts
}

// configureSocketIO has the connections that begin from now on be as cfg says.
func (s *Server) configureSocketIO(cfg Config) {
	if s.socketio == nil {
		return
	}
	opts := s.socketIOOptions(cfg)
	s.socketio.Configure(opts)
	if s.echo != nil {
		s.echo.Configure(opts.Options)
	}
}

// runSocketIO runs what is not done by requests, until ctx ends.
func (s *Server) runSocketIO(ctx context.Context) error {
	if s.echo != nil {
		defer s.echo.Close()
	}
	return s.socketio.Run(ctx)
}

// forwardedRoutes has the URLs of Socket.IO that belong to a connection, whose
// requests nodes hand on to each other.
func (s *Server) forwardedRoutes() routes {
	if s.socketio == nil {
		return routes{}
	}
	all := routes{
		"/socket.io/": s.patient(s.shared(s.socketio)),
		"/socket.io":  s.patient(s.shared(s.socketio)),
	}
	if s.echo != nil {
		all["/engine.io/"] = s.patient(s.shared(s.echo))
	}
	return all
}

// socketIORoutes has the URLs of Socket.IO.
func (s *Server) socketIORoutes() routes {
	if s.socketio == nil {
		return nil
	}
	all := s.forwardedRoutes()
	files := newStatic(socketioclient.Files)
	for name := range files {
		all["/socket.io/"+name] = noBody(files)
	}
	return all
}

// socketIOStats are its counts as metrics want them.
func (s *Server) socketIOStats() metrics.SocketIO {
	k := s.socketio.Stats()
	m := metrics.SocketIO{
		Sessions:   map[string]int{"polling": k.Polling, "websocket": k.WebSocket},
		Sockets:    k.Sockets,
		Waiting:    k.Waiting,
		Closed:     make(map[string]uint64),
		Handshakes: k.Handshakes, HandshakesRefused: k.Stats.Refused, BadRequests: k.BadRequests,
		UpgradesBegun: k.UpgradesBegun, UpgradesDone: k.UpgradesDone, UpgradesFailed: k.UpgradesFailed,
		PacketsReceived: k.PacketsIn, PacketsSent: k.PacketsOut,
		Connects: k.Connected, ConnectsRefused: k.Refused,
		Recovered: k.Recovered, NotRecovered: k.NotRecovered,
		Events: k.Events, EventsDropped: k.Dropped, Acks: k.Acks, Holes: k.Holes,
	}
	for _, why := range engine.Reasons() {
		m.Closed[why.String()] = k.Closed(why)
	}
	return m
}
