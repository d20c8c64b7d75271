package gallery

import (
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"slices"

	"github.com/shaveet/shaveet/examples/gallery/wire"
	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/zmtp"
)

// Sockets are the endpoints of the server's ZeroMQ sockets: where the live
// graph's points come in, where the chatterbox's lines do, and where these go
// out.
type Sockets struct{ Graph, Say, Hear string }

// prepareSockets adds the sockets that the examples want.
func prepareSockets(cfg *server.Config) (at Sockets, err error) {
	graph, say, hear := server.DefaultSocketConfig(), server.DefaultSocketConfig(), server.DefaultSocketConfig()
	graph.Type, graph.Channel, graph.Sender = "sub", "graph", "sine"
	say.Type, say.Channel, say.Sender, say.MaxMessageBytes = "pull", "chatterbox", "chatterbox", 32<<10
	hear.Type, hear.Channels = "pub", []string{"chatterbox"}
	for _, socket := range []*server.SocketConfig{&graph, &say, &hear} {
		taken := func(c server.SocketConfig) bool { return c.Bind == socket.Bind }
		for socket.Bind == "" || slices.ContainsFunc(cfg.ZeroMQ, taken) { // two draw the same, once in thousands of times
			address, err := freeAddress()
			if err != nil {
				return at, err
			}
			socket.Bind = "tcp://" + address
		}
		cfg.ZeroMQ = append(slices.Clone(cfg.ZeroMQ), *socket)
	}
	return Sockets{graph.Bind, say.Bind, hear.Bind}, nil
}

// freeAddress returns one where the server will listen in a moment. It is below
// those that systems give to whoever does not care, so that nobody takes it by
// accident.
func freeAddress() (at string, err error) {
	for range 20 {
		at = fmt.Sprint("127.0.0.1:", 10_000+mathrand.N(10_000))
		var l net.Listener
		if l, err = net.Listen("tcp", at); err == nil {
			return at, l.Close()
		}
	}
	return "", err
}

// lookAtSockets puts glasses in front of those that an example uses.
func (g *Gallery) lookAtSockets(s *show, at Sockets, p *places) (err error) {
	watch := func(title string) func(conn int) *watcher { return s.backlog.watch("zeromq", title, wire.NewZMTP) }
	switch s.Name {
	case "live-graph":
		p.endpoint, err = g.lookAtSocket(at.Graph, watch("a producer connects to the server’s ZeroMQ socket"))
	case "chatterbox":
		// They are shown together, so no two connections may have one number.
		say, hear := watch("a web app connects to the server’s PULL socket"), watch("a web app connects to the server’s PUB socket")
		if p.pull, err = g.lookAtSocket(at.Say, func(conn int) *watcher { return say(2*conn - 1) }); err == nil {
			p.pub, err = g.lookAtSocket(at.Hear, func(conn int) *watcher { return hear(2 * conn) })
		}
	}
	return err
}

// lookAtSocket puts a glass in front of a socket, and returns the glass's
// endpoint.
func (g *Gallery) lookAtSocket(at string, watch func(conn int) *watcher) (glass string, err error) {
	socket, err := zmtp.ParseEndpoint(at)
	if err != nil {
		return "", fmt.Errorf("socket: %w", err)
	}
	address, err := g.look(endpoint{socket}, watch)
	if err != nil {
		return "", err
	}
	return "tcp://" + address.String(), nil
}

// endpoint is where a ZeroMQ socket is, as an address.
type endpoint struct{ at zmtp.Endpoint }

func (e endpoint) Network() string { return e.at.Network }
func (e endpoint) String() string  { return e.at.Address }
