package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/metrics"
	"github.com/shaveet/shaveet/server/peer"
	"github.com/shaveet/shaveet/server/transport/socketio"
)

// A shared log knows the other nodes that follow it, and tells them of this one.
type directory interface {
	peer.Directory
	// Introduce says where this node answers others, and how it counts its readers.
	Introduce(addr string, readers func() int)
}

// cluster is what a server has to do with other nodes.
type cluster struct {
	directory directory
	peers     *peer.Peers
	forwarded http.Handler // of requests that other nodes have handed on
}

// newCluster makes what speaks to other nodes, if there may be any.
func (s *Server) newCluster(broker hub.Broker) {
	d, ok := broker.(directory)
	if !ok {
		return
	}
	c := &cluster{directory: d}
	s.cluster = c
	c.peers = peer.New(peer.Options{
		Directory:    d,
		Forwarded:    http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.forwarded.ServeHTTP(w, r) }),
		Drain:        s.drain,
		WriteTimeout: s.cfg.WriteTimeout,
		MaxForwards:  s.cfg.NodeMaxForwards,
		MaxUnderWay:  s.nodeRoom(),
		Logger:       s.log,
	})
	c.peers.Handle(questionSessions, s.sessionsHere)
	s.metrics.Peers(s.peerStats)
}

// joinCluster has the parts that other nodes ask for something be ready for that.
func (s *Server) joinCluster() {
	c := s.cluster
	if c == nil {
		return
	}
	unknown := s.watch("forwarded", http.HandlerFunc(notFound))
	routes := s.forwardedRoutes()
	for path, h := range routes {
		routes[path] = s.watch("forwarded", h)
	}
	c.forwarded = door(unknown, routes)
	if s.socketio == nil {
		return
	}
	for name, answer := range s.socketio.Questions() {
		c.peers.Handle(name, answer)
	}
}

// openNodeDoor begins to answer other nodes, until ctx ends. Until then this node is
// one of them.
func (s *Server) openNodeDoor() (serve func(context.Context) error, err error) {
	c := s.cluster
	if c == nil {
		return nil, nil
	}
	l, err := net.Listen("tcp", cmp.Or(s.cfg.NodeListen, net.JoinHostPort(addressTowards(s.cfg.Redis), "0")))
	if err != nil {
		return nil, fmt.Errorf("node_listen: %w", err)
	}
	advertise := cmp.Or(s.cfg.NodeAdvertise, advertised(l.Addr().String(), s.cfg.Redis))
	srv := s.httpServer(c.peers)
	srv.IdleTimeout = nodeIdleTime
	srv.MaxHeaderBytes += nodeHeaderBytes
	limited := s.limited("node", l, s.room.partOfNodes())
	return func(ctx context.Context) error {
		defer srv.Close()
		c.directory.Introduce(advertise, func() int { return s.hub.Stats().Sessions })
		s.log.Info("listening", "door", "node", "addr", l.Addr().String(), "advertise", advertise, "node", c.directory.NodeID())
		ended := make(chan error, 1)
		go func() { ended <- srv.Serve(limited) }()
		go c.peers.Run(ctx)
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
		}
		srv.Close()
		<-ended
		return nil
	}, nil
}

// nodeRoom is how many connections this node may have to others at once: 0 means as
// many as there are.
func (s *Server) nodeRoom() int {
	n := descriptors()
	if s.cluster == nil || n == 0 {
		return 0
	}
	return roomForNodes(n, s.cfg.Socketio)
}

// nodeIdleTime is how long a connection of another node may be without a request:
// longer than those keep one.
const nodeIdleTime = 2 * time.Minute

// nodeHeaderBytes is how much more of a header than browsers' another node may send.
const nodeHeaderBytes = 4 << 10

// addressTowards returns the address of this machine by which Redis is reached, and
// so may be other nodes.
func addressTowards(redis string) string {
	const self = "127.0.0.1"
	u, err := url.Parse(redis)
	if err != nil || u.Hostname() == "" {
		return self
	}
	conn, err := net.Dial("udp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "6379"))) // which sends nothing
	if err != nil {
		return self
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		return self
	}
	return host
}

// advertised returns the address that a listener can be reached at by others.
func advertised(listening, redis string) string {
	host, port, err := net.SplitHostPort(listening)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort(addressTowards(redis), port)
	}
	return listening
}

// checkNodeAddress says what is wrong with the address of a node.
func checkNodeAddress(address string, reachable bool) error {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil || strings.ContainsAny(address, "/ \t"):
		return fmt.Errorf("must be host:port")
	case reachable && (host == "" || port == "0" || port == ""):
		return fmt.Errorf("must name the host and the port that others reach")
	}
	return nil
}

// forward has another node answer a request.
func (s *Server) forward(node string, w http.ResponseWriter, r *http.Request) bool {
	return s.cluster.peers.Forward(node, w, r)
}

// Ask is part of [socketio.Others].
func (c *cluster) Ask(ctx context.Context, question string, params any) []socketio.Reply {
	answers := c.peers.Ask(ctx, question, params)
	replies := make([]socketio.Reply, len(answers))
	for i, a := range answers {
		replies[i] = socketio.Reply{Node: nameOf(a.Node), Result: a.Result, Err: a.Err}
	}
	return replies
}

// nameOf is how a node is called for people.
func nameOf(n peer.Node) string {
	if n.Name == "" {
		return n.ID
	}
	return n.Name + " (" + n.ID + ")"
}

// questionSessions asks for the sessions that clients have on a node.
const questionSessions = "sessions"

func (s *Server) sessionsHere(_ context.Context, params json.RawMessage) (any, error) {
	var ids []string
	if err := json.Unmarshal(params, &ids); err != nil {
		return nil, err
	}
	all := make(map[string][]hub.SessionInfo)
	for _, id := range ids {
		if sessions := s.hub.SessionsOf(id); len(sessions) > 0 {
			all[id] = sessions
		}
	}
	return all, nil
}

// sessionsElsewhere returns the sessions that clients have on other nodes, and the
// nodes that have not answered.
func (s *Server) sessionsElsewhere(ctx context.Context, ids []string) (all map[string][]hub.SessionInfo, unreached []string) {
	all = make(map[string][]hub.SessionInfo)
	for _, a := range s.cluster.peers.Ask(ctx, questionSessions, ids) {
		var found map[string][]hub.SessionInfo
		if a.Err == nil {
			a.Err = json.Unmarshal(a.Result, &found)
		}
		if a.Err != nil {
			unreached = append(unreached, nameOf(a.Node))
			continue
		}
		for id, sessions := range found {
			all[id] = append(all[id], sessions...)
		}
	}
	return all, unreached
}

// peerStats are the counts of what is said between nodes.
func (s *Server) peerStats() metrics.Peers {
	k := s.cluster.peers.Stats()
	return metrics.Peers{
		UnderWay: k.Under, Forwarded: k.Forwarded, Failed: k.Failed, Served: k.Served,
		Asked: k.Asked, Unheard: k.Unheard, Answered: k.Answered, Strangers: k.Strangers,
	}
}
