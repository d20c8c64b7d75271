package torture

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/tests/live"
)

// A machine runs the server, one life after the other.
type machine interface {
	start() (addr string, err error)
	stop() error // lets it drain
	kill()       // as a power cut
}

// inside runs servers inside of the test.
type inside struct {
	cfg server.Config

	tap    *tap
	cancel context.CancelFunc
	done   chan error
}

// settings are the plan's, as a server has them.
func settings(p *plan) server.Config {
	cfg := server.DefaultConfig()
	cfg.MaxConnections = 1000
	cfg.DrainDelay, cfg.DrainTimeout = 0, 2*time.Second
	cfg.RetryTime = time.Millisecond
	cfg.WebsocketCompression = p.deflates
	cfg.Limits.PublishIDs = 1_000_000
	cfg.Limits.SessionsPerClient = 100 // who was cut off comes again before that is noticed
	cfg.Limits.BatchMessages = p.batch
	if p.notices > 0 {
		cfg.Limits.ChannelNotices = p.notices
	}
	cfg.Limits.MessageBytes = 4096
	cfg.Limits.TotalBytes = 1 << 30
	cfg.Limits.ChannelBytes = 1 << 28
	rule := hub.ChannelRule{Pattern: "ch*", ChannelSettings: hub.DefaultChannelSettings()}
	rule.Messages, rule.Bytes = p.keepMessages, p.keepBytes
	rule.Notices = p.notices > 0
	cfg.Channel = []hub.ChannelRule{rule}
	return cfg
}

func (m *inside) start() (string, error) {
	srv, err := server.New(m.cfg, memory.New(), server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	m.tap = &tap{Listener: l}
	m.done = make(chan error, 1)
	go func() { m.done <- srv.Serve(ctx, server.Doors{Main: m.tap}) }()
	return l.Addr().String(), nil
}

func (m *inside) stop() error {
	m.cancel()
	err := <-m.done
	if err != nil && strings.Contains(err.Error(), "drain_timeout") {
		return nil // somebody did not read on
	}
	return err
}

// kill breaks all connections, and only then has the server end: what it says
// goodbye with reaches nobody.
func (m *inside) kill() {
	m.tap.breakAll()
	m.cancel()
	<-m.done
}

// A tap is a listener that knows what has come through it.
type tap struct {
	net.Listener
	mu     sync.Mutex // guards all below
	conns  []*net.TCPConn
	broken bool
}

func (t *tap) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns = append(t.conns, c.(*net.TCPConn))
	if t.broken {
		c.Close()
	}
	return c, nil
}

func (t *tap) breakAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = true
	t.Listener.Close()
	for _, c := range t.conns {
		c.SetLinger(0)
		c.Close()
	}
}

// process runs the real program.
type process struct {
	t    testing.TB
	args []string
	srv  *live.Server
}

func newProcess(t testing.TB, p *plan) *process {
	return &process{t: t, args: []string{
		"--drain-delay", "0s", "--drain-timeout", "2s", "--retry-time", "1ms",
		"--batch-messages", fmt.Sprint(p.batch), "--sessions-per-client", "100",
		"--message-bytes", "4096", "--channel-bytes", fmt.Sprint(1 << 28), "--total-bytes", fmt.Sprint(1 << 30),
		"--channel-messages", fmt.Sprint(p.keepMessages), "--channel-notices", fmt.Sprint(max(p.notices, 1)),
		"--websocket-compression=" + fmt.Sprint(p.deflates),
	}}
}

func (m *process) start() (string, error) {
	if m.srv == nil {
		m.srv = live.Start(m.t, m.args...)
	} else {
		m.srv.Restart()
	}
	return strings.TrimPrefix(m.srv.Main, "http://"), nil
}

func (m *process) stop() error { m.srv.Stop(); return nil }
func (m *process) kill()       { m.srv.Kill() }
