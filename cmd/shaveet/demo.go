package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/shaveet/shaveet/examples/gallery"
	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/broker/memory"
)

// Where the demo listens unless it is told otherwise. If somebody else is
// there already, any free port will do.
const (
	demoPage   = "127.0.0.1:8080"
	demoPublic = "127.0.0.1:8083"
)

const demoText = `
  The examples are at   %[1]s
%[4]s
Each is shown with two readers side by side, what passes on its wires, and its
source. From another terminal, call the server for one (%[2]s):

  %[3]s

Stop it with Ctrl-C.

`

// demo runs a server and, beside it, what teams would have: web applications
// that call the admin API, a producer at a ZeroMQ socket, and pages that hear.
func (p *program) demo(ctx context.Context, args []string) error {
	base := server.DefaultConfig()
	base.DrainDelay = 0
	base.LogLevel = "warn"
	var example string
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		example, args = args[0], args[1:]
	}
	var open *bool
	var page *string
	cfg, rest, err := p.configure("demo", base, args, func(fs *flag.FlagSet) {
		open = fs.Bool("open", false, "open a browser window")
		page = fs.String("page-listen", demoPage, "`address` of the examples' page")
	})
	if err != nil {
		return err
	}
	if len(rest) == 1 && example == "" {
		example, rest = rest[0], nil
	}
	if len(rest) > 0 || example != "" && !slices.Contains(gallery.Names(), example) {
		return fmt.Errorf("demo takes the name of an example: %s", strings.Join(gallery.Names(), ", "))
	}
	if cfg.Listen == "" || strings.HasPrefix(cfg.Listen, "unix:") || strings.HasPrefix(cfg.AdminListen, "unix:") {
		return errors.New("the demo needs a main door and an admin API that are found by addresses")
	}
	d, err := p.prepareDemo(cfg, *page)
	if err != nil {
		return err
	}
	url := "http://" + visit(d.web.Addr()) + "/"
	if example != "" {
		url += "#" + example
	}
	called := cmp.Or(example, "chat")
	fmt.Fprintf(p.stdout, demoText, url, called, d.gallery.Curl(called), d.elsewhere())
	if *open {
		openWindow(url)
	}
	return together(ctx,
		func(ctx context.Context) error { return d.srv.Serve(ctx, d.doors) },
		d.gallery.Run,
		func(ctx context.Context) error { return servePage(ctx, d.gallery, d.web) })
}

// demonstration is all that runs. Its doors are open.
type demonstration struct {
	srv     *server.Server
	doors   server.Doors
	gallery *gallery.Gallery
	web     net.Listener
	asked   server.Config // its addresses are those that were wanted
}

// elsewhere says where the doors are, if not where they were wanted.
func (d demonstration) elsewhere() (text string) {
	for _, door := range []struct {
		name, asked string
		listener    net.Listener
	}{{"server", d.asked.Listen, d.doors.Main}, {"public door", d.asked.PublicListen, d.doors.Public}} {
		_, wanted, _ := net.SplitHostPort(door.asked)
		if _, port, _ := net.SplitHostPort(door.listener.Addr().String()); port != wanted {
			text += fmt.Sprintf("  The %-17s http://%s/ (%s)\n", door.name+" is at", visit(door.listener.Addr()), whyElsewhere(wanted, door.asked))
		}
	}
	return text
}

func whyElsewhere(port, asked string) string {
	if port == "0" {
		return "any port, as you wished"
	}
	return asked + " is taken"
}

// visit is what to open for what listens there: a listener on all addresses of
// this machine is found on the one that is for itself.
func visit(at net.Addr) string {
	host, port, err := net.SplitHostPort(at.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return at.String()
	}
	return net.JoinHostPort("127.0.0.1", port)
}

func (p *program) prepareDemo(cfg server.Config, page string) (d demonstration, err error) {
	log, err := p.logger(cfg)
	if err != nil {
		return d, err
	}
	cfg.PublicListen = cmp.Or(cfg.PublicListen, demoPublic)
	d.asked = cfg
	cfg.Listen, cfg.PublicListen = free(cfg.Listen), free(cfg.PublicListen)
	sockets, err := gallery.Prepare(&cfg)
	if err != nil {
		return d, err
	}
	if d.srv, err = server.New(cfg, memory.New(), server.Options{Logger: log, Version: versionString(), Namespaces: gallery.Namespaces(log)}); err != nil {
		return d, err
	}
	if d.doors, err = openDoors(cfg); err != nil {
		return d, err
	}
	if d.web, err = net.Listen("tcp", free(page)); err != nil {
		return d, err
	}
	admin := d.doors.Main
	if d.doors.Admin != nil {
		admin = d.doors.Admin
	}
	d.gallery, err = gallery.New(gallery.Config{
		Admin: admin.Addr(), Public: d.doors.Public.Addr(), Sockets: sockets, Token: cfg.AdminToken, Logger: log,
	})
	return d, err
}

// free returns the address if nobody listens there, else one with any port.
func free(address string) string {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(address)
		return net.JoinHostPort(host, "0")
	}
	if err == nil {
		l.Close()
	}
	return address
}

// servePage serves the examples' page until ctx ends.
func servePage(ctx context.Context, page http.Handler, l net.Listener) error {
	srv := &http.Server{Handler: page, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// together runs the parts until the first of them ends, ends the others, and
// returns the first error.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for _, part := range parts {
		wg.Go(func() {
			if err := part(ctx); err != nil {
				once.Do(func() { first = err })
			}
			cancel()
		})
	}
	wg.Wait()
	return first
}

// openWindow asks the desktop to show url. The page's address has been
// printed, so where there is no desktop nothing is lost.
func openWindow(url string) {
	name, args := "xdg-open", []string{url}
	switch runtime.GOOS {
	case "darwin":
		name, args = "open", []string{"-n", url}
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	if cmd := exec.Command(name, args...); cmd.Start() == nil {
		go cmd.Wait() // reaps it; it ends by itself
	}
}
