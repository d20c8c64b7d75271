package server

import (
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// SocketIO is what [Config] says of Socket.IO.
type SocketIO struct {
	Socketio bool `help:"serve Socket.IO at /socket.io/, and its client at /socket.io/socket.io.js"`

	SocketioPingInterval   time.Duration `help:"time between two pings to a client; also the longest that a poll of Socket.IO is held" live:"yes"`
	SocketioPingTimeout    time.Duration `help:"how long a client may take to answer a ping" live:"yes"`
	SocketioConnectTimeout time.Duration `help:"how long a connection may take to join its first namespace; a third of it, who comes back waits for a handler that is still busy with what it has said before" live:"yes"`
	SocketioUpgradeTimeout time.Duration `help:"how long a client may take to go over from polls to a WebSocket" live:"yes"`
	SocketioRecoveryTime   time.Duration `help:"how long a socket that has lost its connection can come back as the one it was, with all it has missed; at most let_go_age; 0: none can, and events have no offset as their last argument" live:"yes"`

	SocketioMaxPayload      int `help:"bytes of one POST, of one WebSocket message, and of one event with all its attachments of a client" live:"yes"`
	SocketioMaxPackets      int `help:"packets a second that a connection may send, and at once" live:"yes"`
	SocketioMaxNamespaces   int `help:"namespaces that a connection may be in" live:"yes"`
	SocketioMaxAuthBytes    int `help:"bytes of what a page shows, as auth, when it joins a namespace" live:"yes"`
	SocketioMaxHandshakes   int `help:"connections that may begin in a second from one address that is not this machine's" live:"yes"`
	SocketioMaxConnections  int `help:"connections of Socket.IO at once, those between two polls among them" live:"yes"`
	SocketioMaxAcks         int `help:"answers of one socket that are waited for" live:"yes"`
	SocketioMaxAsked        int `help:"sockets that are asked at once by emit_with_ack" live:"yes"`
	SocketioMaxUnheardBytes int `help:"bytes of what handlers have not been told yet, of all connections together, those that have gone too, and half of it of one handler; above, events are answered with handler_busy" live:"yes"`
	SocketioMaxWaitingBytes int `help:"bytes that may wait for one connection, in either direction, beside what channels keep; one message may be larger" live:"yes"`
	SocketioMaxPendingBytes int `help:"bytes of events that wait for their attachments, of all connections together" live:"yes"`

	SocketioAllowEIO3   bool `help:"let in clients of Socket.IO 1 and 2 too (EIO=3)" live:"yes"`
	SocketioJSONP       bool `help:"answer polls of Socket.IO with scripts, for pages that cannot do better" live:"yes"`
	SocketioConformance bool `help:"behave as the protocols' own test suites expect: an echo at /engine.io/, answers to three events; never in earnest"`
}

func defaultSocketIO() SocketIO {
	return SocketIO{
		Socketio: true,

		SocketioPingInterval:   25 * time.Second,
		SocketioPingTimeout:    20 * time.Second,
		SocketioConnectTimeout: 45 * time.Second,
		SocketioUpgradeTimeout: 10 * time.Second,
		SocketioRecoveryTime:   2 * time.Minute,

		SocketioMaxPayload:      1_000_000,
		SocketioMaxPackets:      1000,
		SocketioMaxNamespaces:   16,
		SocketioMaxAuthBytes:    16 << 10,
		SocketioMaxHandshakes:   500,
		SocketioMaxConnections:  100_000,
		SocketioMaxAcks:         100,
		SocketioMaxWaitingBytes: 256 << 10,
		SocketioMaxPendingBytes: 64 << 20,
		SocketioMaxUnheardBytes: 64 << 20,
		SocketioMaxAsked:        10_000,
	}
}

// A NamespaceRule is a namespace of Socket.IO, and what it is like.
type NamespaceRule struct {
	Name string
	NamespaceSettings
}

// NamespaceSettings are what a table for a namespace can say.
type NamespaceSettings struct {
	Open    bool              `help:"everybody may connect: it asks for no client and no key"`
	Handler string            `help:"who answers what its sockets say: the name of a webhook, or \"rpc\", the backend's own WebSocket; empty: nobody"`
	Events  []string          `help:"events that its sockets may say; empty: any"`
	Relay   map[string]string `help:"events that are not answered but said to a room, by those who are in it: { \"EVENT\" = \"ROOM\" }; \"*\": the first argument names the room"`
}

const (
	// minPayload has room for what is said at the beginning, minWaiting for an
	// event of some length and all there is around it.
	minPayload, minWaiting = 1000, 1000
	maxPayload             = 100_000_000
	maxPackets             = 1_000_000
	maxNamespaceRules      = 100
	// longestWait is what a browser's timer can count: it has 31 bits for
	// milliseconds.
	longestWait = 24 * 24 * time.Hour
)

// checkSocketIO says what is wrong about Socket.IO.
func (c *Config) checkSocketIO(check func(ok bool, format string, args ...any)) {
	for name, d := range map[string]time.Duration{
		"ping_interval": c.SocketioPingInterval, "ping_timeout": c.SocketioPingTimeout,
		"connect_timeout": c.SocketioConnectTimeout, "upgrade_timeout": c.SocketioUpgradeTimeout,
	} {
		check(d >= time.Millisecond && d <= longestWait, "socketio_%s: must be 1ms to 576h, as in \"25s\"", name)
	}
	check(c.SocketioPingInterval > longestWait || c.SocketioPingTimeout > longestWait || c.SocketioPingInterval+c.SocketioPingTimeout <= longestWait,
		"socketio_ping_timeout: must be no more than 576h with socketio_ping_interval together")
	check(c.SocketioRecoveryTime >= 0, "socketio_recovery_time: must not be negative")
	check(c.SocketioMaxPayload >= minPayload && c.SocketioMaxPayload <= maxPayload,
		"socketio_max_payload: must be %d to %d", minPayload, maxPayload)
	check(c.SocketioMaxPackets > 0 && c.SocketioMaxPackets <= maxPackets, "socketio_max_packets: must be 1 to %d", maxPackets)
	check(c.SocketioMaxWaitingBytes >= minWaiting, "socketio_max_waiting_bytes: must be at least %d", minWaiting)
	for name, n := range map[string]int{
		"namespaces": c.SocketioMaxNamespaces, "auth_bytes": c.SocketioMaxAuthBytes, "handshakes": c.SocketioMaxHandshakes,
		"connections": c.SocketioMaxConnections, "acks": c.SocketioMaxAcks, "pending_bytes": c.SocketioMaxPendingBytes,
		"unheard_bytes": c.SocketioMaxUnheardBytes, "asked": c.SocketioMaxAsked,
	} {
		check(n > 0, "socketio_max_%s: must be more than 0", name)
	}
	check(!c.SocketioConformance || c.Socketio, "socketio_conformance: is of no use without socketio")
	for _, address := range []string{c.Listen, c.PublicListen} {
		check(!c.SocketioConformance || address == "" || local(address),
			"socketio_conformance: %s can be reached from other machines, and test suites need not", address)
	}
	c.checkNamespaces(check)
	c.checkHandlers(check)
}

func (c *Config) checkNamespaces(check func(ok bool, format string, args ...any)) {
	check(len(c.Namespace) <= maxNamespaceRules, "namespace: there must be no more than %d tables", maxNamespaceRules)
	seen := make(map[string]bool)
	for _, n := range c.Namespace {
		err := hub.CheckNamespace(n.Name)
		if err == nil && c.Limits.NameBytes > 0 {
			err = hub.CheckChannelName(hub.RoomChannel(n.Name, ""), c.Limits.NameBytes)
		}
		check(err == nil, "namespace.%q: %v", n.Name, err)
		check(!seen[n.Name], "namespace.%q: there are two tables of this name", n.Name)
		seen[n.Name] = true
	}
}
