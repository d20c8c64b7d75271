// Package gallery shows all examples on one page, each beside what passes on
// its wires and its sources. It runs their back ends (examples.go), puts a glass
// in front of each door that they use (package glass), reads along (package
// wire), and tells the page (events.go).
package gallery

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shaveet/shaveet/examples/gallery/glass"
	"github.com/shaveet/shaveet/examples/gallery/wire"
	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/hub"
)

// Config says what the gallery stands beside.
type Config struct {
	Admin, Public net.Addr     // the server's doors
	Sockets       Sockets      // of ZeroMQ, as Prepare has returned them
	Token         string       // the admin token, if the server was given one
	Logger        *slog.Logger // default slog.Default()
}

// Prepare adds to a server's configuration what the examples want of it, and
// returns where its ZeroMQ sockets will be.
func Prepare(cfg *server.Config) (at Sockets, err error) {
	if at, err = prepareSockets(cfg); err != nil {
		return at, err
	}
	quiet := hub.DefaultChannelSettings()
	quiet.Presence = false
	kept := hub.DefaultChannelSettings()
	kept.Window, kept.Messages = 24*time.Hour, 1000
	lines := kept
	lines.Presence = false
	for pattern, settings := range map[string]hub.ChannelSettings{
		"graph": quiet, "stream:*": quiet, "everyone": quiet, "user:*": quiet, "rooms:*": kept, "chatterbox": lines,
	} {
		if !slices.ContainsFunc(cfg.Channel, func(r hub.ChannelRule) bool { return r.Pattern == pattern }) {
			cfg.Channel = append(slices.Clone(cfg.Channel), hub.ChannelRule{Pattern: pattern, ChannelSettings: settings})
		}
	}
	return at, nil
}

// Names are the examples' names, as they are written in addresses.
func Names() (all []string) {
	for _, e := range examples {
		all = append(all, e.Name)
	}
	return all
}

// A Gallery is the page, as an http.Handler, and what has to run beside it.
type Gallery struct {
	http.Handler
	life   string
	makers []func(context.Context) error // what runs beside the back ends
	glass  []*glass.Glass
	shows  []*show
	client *http.Client
}

// show is an example that is shown.
type show struct {
	example
	Curl    string `json:"curl"` // the same as Call, for a terminal
	life    string // of this gallery
	backlog *backlog
	handler http.Handler
}

// New makes a gallery. Its glasses are open when it returns, and closed by Run,
// which must be called.
func New(c Config) (*Gallery, error) {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	g := &Gallery{life: rand.Text(), client: &http.Client{Timeout: 10 * time.Second, Transport: http.DefaultTransport.(*http.Transport).Clone()}}
	for _, e := range examples {
		if err := g.add(e, c); err != nil {
			g.close()
			return nil, err
		}
	}
	g.Handler = g.routes()
	return g, nil
}

// add has an example run behind glasses of its own.
func (g *Gallery) add(e example, c Config) error {
	s := &show{example: e, life: g.life, backlog: newBacklog()}
	admin, err := g.look(c.Admin, s.backlog.watch("admin", "a back end connects to the admin API",
		func(emit func(wire.Event)) *wire.Conn { return wire.NewHTTP(true, emit) }))
	if err != nil {
		return err
	}
	public, err := g.look(c.Public, s.backlog.watch("public", "a reader connects",
		func(emit func(wire.Event)) *wire.Conn { return wire.NewHTTP(false, emit) }))
	if err != nil {
		return err
	}
	p := places{rpc: "http://" + admin.String() + "/", public: "http://" + public.String(), token: c.Token, client: g.client, log: c.Logger}
	if err := g.lookAtSockets(s, c.Sockets, &p); err != nil {
		return err
	}
	a := e.start(p)
	if a.run != nil {
		g.makers = append(g.makers, a.run)
	}
	s.handler = a.handler
	s.Curl = fmt.Sprintf("curl %s -d '%s'", p.rpc, e.Call)
	if c.Token != "" {
		s.Curl = strings.Replace(s.Curl, "curl ", `curl -H "Authorization: Bearer $TOKEN" `, 1)
	}
	g.shows = append(g.shows, s)
	return nil
}

// look puts a glass in front of target, and returns where it is.
func (g *Gallery) look(target net.Addr, watch func(conn int) *watcher) (net.Addr, error) {
	pane, err := glass.Listen(target, func(conn int) glass.Watcher { return watch(conn) })
	if err != nil {
		return nil, err
	}
	g.glass = append(g.glass, pane)
	return pane.Addr(), nil
}

func (g *Gallery) close() {
	for _, pane := range g.glass {
		pane.Close()
	}
}

// Curl is a line for a terminal that says something to an example, so that it
// can be seen on its page.
func (g *Gallery) Curl(name string) string {
	if s, ok := g.find(name); ok {
		return s.Curl
	}
	return ""
}

func (g *Gallery) find(name string) (*show, bool) {
	i := slices.IndexFunc(g.shows, func(s *show) bool { return s.Name == name })
	if i < 0 {
		return nil, false
	}
	return g.shows[i], true
}

// Run relays, and has the producers produce, until ctx ends or one of them
// fails. It returns when nothing of them is left. The producers end before the
// relays, so that the server sees them go and not fall.
func (g *Gallery) Run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	relaying, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var producers, relays sync.WaitGroup
	start := func(group *sync.WaitGroup, ctx context.Context, part func(context.Context) error) {
		group.Go(func() {
			if err := part(ctx); err != nil {
				fail(err)
			}
		})
	}
	for _, pane := range g.glass {
		start(&relays, relaying, pane.Serve)
	}
	for _, part := range g.makers {
		start(&producers, ctx, part)
	}
	<-ctx.Done()
	producers.Wait()
	stop()
	relays.Wait()
	g.client.CloseIdleConnections()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
