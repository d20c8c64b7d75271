package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/zeromq"
)

// A Config is all a server can be told. Its fields' names in snake_case are
// the keys of the configuration file, with SHAVEET_ in front the names of the
// environment variables, and with dashes the flags. The help tags are the
// manual; docs/configuration.md is checked against them. What has the tag live
// can be changed while the server runs, see [Server.Reload].
type Config struct {
	Listen         string   `help:"address of the main door: admin API and browsers"`
	PublicListen   string   `help:"address of the public door: browsers only; the one a proxy may be pointed at"`
	AdminListen    string   `help:"address of a door for the admin API alone, host:port or unix:/path; the main door then has none"`
	AdminToken     string   `help:"secret that admin calls must show as a bearer token; at least 16 characters" secret:"true" live:"yes"`
	AdminTokenFile string   `help:"file that holds the admin token" live:"yes"`
	AllowedHosts   []string `help:"host names that admin calls without a token may use, beside addresses and localhost" live:"yes"`
	AllowedOrigins []string `help:"origins whose web pages may read, beside those of the host that is asked: * for all, or scheme://host[:port], where the host may begin with a *; /message_updates answers all" live:"yes"`

	PollTimeout   time.Duration `help:"how long a poll without news is held; shaveet.js gives one up after 40s" live:"yes"`
	HeartbeatTime time.Duration `help:"a stream or WebSocket without news says so each time this has passed; below what proxies take for dead" live:"yes"`
	RetryTime     time.Duration `help:"pause asked of browsers that must come again later; each gets a random one up to twice as long" live:"yes"`
	IdleTime      time.Duration `help:"how long a client may have no poll or connection before it is let go"`
	MinAge        time.Duration `help:"age below which no client is let go: a page needs time to load"`
	SweepInterval time.Duration `help:"time between two looks for idle clients"`

	WebsocketCompression bool `help:"agree on permessage-deflate with WebSockets that offer it: each message is compressed once, for all" live:"yes"`

	SocketIO

	Handlers `live:"yes"`

	Cluster

	DrainDelay   time.Duration `help:"at SIGTERM: how long to be not ready before the doors close, so that a balancer notices" live:"yes"`
	DrainTimeout time.Duration `help:"at SIGTERM: how long what is under way may then take to end" live:"yes"`

	HeaderTimeout time.Duration `help:"time a request's header may take to arrive"`
	BodyTimeout   time.Duration `help:"time a request's body may take to arrive"`
	WriteTimeout  time.Duration `help:"time an answer may take to be written"`
	KeepAlive     time.Duration `help:"time a connection may stay open between two requests"`

	HTTP2 bool `help:"understand HTTP/2 without TLS too, for proxies that speak it to us; a WebSocket needs HTTP/1.1"`

	MaxConnections  int   `help:"connections open at once on each door, if the descriptor limit leaves room for so many; 0: as many as it leaves room for"`
	MaxHeaderBytes  int   `help:"bytes of a request's header, its URL included"`
	MaxBodyBytes    int64 `help:"bytes of an admin request's body"`
	MaxHelloBytes   int64 `help:"bytes of a browser request's body" live:"yes"`
	MaxReaderFrames int   `help:"frames a second that a WebSocket's reader may send, who has nothing to say but pongs" live:"yes"`
	MaxUnsentBytes  int   `help:"bytes the kernel may hold for a connection whose peer has no room for them; Linux only"`
	MaxBatchCalls   int   `help:"calls in one admin request"`
	MaxAnswerBytes  int   `help:"bytes of a batch's answer after which no further call of it is made"`
	MaxJSONDepth    int   `help:"levels of nesting in an admin request, and in what comes by ZeroMQ"`
	MaxPollClients  int   `help:"clients in one poll" live:"yes"`
	MaxBackends     int   `help:"WebSockets of the backend at /rpc at once"`
	MaxBackendWaits int   `help:"calls of one such WebSocket at once that wait for what pages answer"`

	LogLevel  string `help:"debug, info, warn or error" live:"yes"`
	LogFormat string `help:"text or json"`
	AccessLog int    `help:"requests of which one is logged: 1 is every one, 100 one in a hundred, 0 none; server errors are logged in any case" live:"yes"`

	Limits hub.Limits `live:"yes"`

	// ZeroMQ has the ZeroMQ sockets: in the file, tables named [[zeromq]].
	ZeroMQ []SocketConfig

	// Channel has the settings of channels that are to differ from others: in
	// the file, tables named channel."PATTERN".
	Channel []hub.ChannelRule `live:"yes"`

	// Namespace has the namespaces of Socket.IO beside "/", and what is to be
	// different about that: in the file, tables named namespace."/NAME".
	Namespace []NamespaceRule `live:"yes"`

	// Webhook has the handlers that are asked by HTTP: in the file, tables named
	// webhook."NAME".
	Webhook []WebhookRule `live:"yes"`
}

// A SocketConfig is one ZeroMQ socket's.
type SocketConfig = zeromq.Config

// DefaultSocketConfig returns what a ZeroMQ socket is that was told nothing.
func DefaultSocketConfig() SocketConfig { return zeromq.DefaultConfig() }

// ConcernsSocket reports whether a field of a [SocketConfig] with this tag is of
// sockets of a type.
func ConcernsSocket(tag reflect.StructTag, kind string) bool { return zeromq.Concerns(tag, kind) }

// DefaultConfig returns the configuration of a server that was told nothing.
func DefaultConfig() Config {
	return Config{
		Listen:         "127.0.0.1:8082",
		AllowedOrigins: []string{"*"},

		PollTimeout:   25 * time.Second,
		HeartbeatTime: 20 * time.Second,
		RetryTime:     2 * time.Second,
		IdleTime:      25 * time.Second,
		MinAge:        60 * time.Second,
		SweepInterval: 10 * time.Second,

		SocketIO: defaultSocketIO(),
		Handlers: defaultHandlers(),
		Cluster:  defaultCluster(),

		DrainDelay:   time.Second,
		DrainTimeout: 8 * time.Second,

		HeaderTimeout: 10 * time.Second,
		BodyTimeout:   10 * time.Second,
		WriteTimeout:  10 * time.Second,
		KeepAlive:     75 * time.Second,

		MaxHeaderBytes:  16 << 10,
		MaxBodyBytes:    2 << 20,
		MaxHelloBytes:   64 << 10,
		MaxReaderFrames: 100,
		MaxUnsentBytes:  128 << 10,
		MaxBatchCalls:   1000,
		MaxAnswerBytes:  8 << 20,
		MaxJSONDepth:    64,
		MaxPollClients:  16,
		MaxBackends:     1000,
		MaxBackendWaits: 100,

		LogLevel:  "info",
		LogFormat: "text",

		Limits: hub.DefaultLimits(),
	}
}

// Validate says all that is wrong with c, each named by its key.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(c.Listen != "" || c.PublicListen != "" && c.AdminListen != "",
		"listen: may be empty only if there are a public_listen and an admin_listen")
	check(c.AdminListen == "" || c.AdminToken != "" || local(c.AdminListen),
		"admin_listen: %s can be reached from other machines, so an admin token is required", c.AdminListen)
	check(c.AdminToken == "" || len(c.AdminToken) >= 16, "admin_token: must have at least 16 characters")
	check(!strings.ContainsFunc(c.AdminToken, func(r rune) bool { return r <= ' ' || r >= 0x7f }),
		"admin_token: must be ASCII on one line, without spaces, or no header can carry it")
	for name, d := range map[string]time.Duration{
		"poll_timeout": c.PollTimeout, "heartbeat_time": c.HeartbeatTime, "retry_time": c.RetryTime, "idle_time": c.IdleTime, "sweep_interval": c.SweepInterval,
		"drain_timeout": c.DrainTimeout, "header_timeout": c.HeaderTimeout, "body_timeout": c.BodyTimeout,
		"write_timeout": c.WriteTimeout, "keep_alive": c.KeepAlive,
	} {
		check(d > 0, "%s: must be more than 0, as in \"25s\"", name)
	}
	c.checkCluster(check)
	check(c.MinAge >= 0 && c.DrainDelay >= 0, "min_age, drain_delay: must not be negative")
	for name, n := range map[string]int64{
		"max_header_bytes": int64(c.MaxHeaderBytes), "max_body_bytes": c.MaxBodyBytes,
		"max_hello_bytes": c.MaxHelloBytes, "max_unsent_bytes": int64(c.MaxUnsentBytes), "max_reader_frames": int64(c.MaxReaderFrames), "max_batch_calls": int64(c.MaxBatchCalls), "max_json_depth": int64(c.MaxJSONDepth),
		"max_poll_clients": int64(c.MaxPollClients), "max_backends": int64(c.MaxBackends), "max_backend_waits": int64(c.MaxBackendWaits), "max_answer_bytes": int64(c.MaxAnswerBytes),
	} {
		check(n > 0, "%s: must be more than 0", name)
	}
	check(c.MaxConnections >= 0, "max_connections: must not be negative")
	check(c.AccessLog >= 0, "access_log: must not be negative")
	for _, origin := range c.AllowedOrigins {
		err := checkOrigin(origin)
		check(err == nil, "allowed_origins: %q %v", origin, err)
	}
	check(new(slog.Level).UnmarshalText([]byte(c.LogLevel)) == nil, "log_level: must be debug, info, warn or error")
	check(c.LogFormat == "text" || c.LogFormat == "json", "log_format: must be text or json")
	if err := c.Limits.Validate(); err != nil {
		faults = append(faults, err)
	} else if err := hub.CheckChannelRules(c.Channel, c.Limits); err != nil {
		faults = append(faults, err)
	}
	if err := zeromq.Check(c.ZeroMQ); err != nil {
		faults = append(faults, err)
	}
	c.checkSocketIO(check)
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// local reports whether only this machine can reach a door at address.
func local(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
