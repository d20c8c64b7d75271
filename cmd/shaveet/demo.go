package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/shaveet/shaveet/examples/chat/go/chatapp"
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
  The chat is at        %[1]s
  and by JSONP at       %[1]s?disableCORS=1

Open it in two windows. From another terminal, say something to both:

  curl %[2]s -d '{"method": "new_message", "params": ["curl", "hello", "chat", false]}'

Stop it with Ctrl-C.

`

// demo runs a server and, beside it, what a team would have: a small web
// application that calls the admin API, and a page that hears.
func (p *program) demo(ctx context.Context, args []string) error {
	base := server.DefaultConfig()
	base.DrainDelay = 0
	base.LogLevel = "warn"
	var open *bool
	var page *string
	cfg, rest, err := p.configure("demo", base, args, func(fs *flag.FlagSet) {
		open = fs.Bool("open", false, "open two browser windows")
		page = fs.String("page-listen", demoPage, "`address` of the chat page")
	})
	if err != nil {
		return err
	}
	if err := noArguments("demo", rest); err != nil {
		return err
	}
	if cfg.Listen == "" || strings.HasPrefix(cfg.AdminListen, "unix:") {
		return errors.New("the demo needs a main door, and an admin API that curl finds by an address")
	}
	log, err := p.logger(cfg)
	if err != nil {
		return err
	}
	if cfg.PublicListen == "" {
		cfg.PublicListen = demoPublic
	}
	cfg.Listen, cfg.PublicListen = free(cfg.Listen), free(cfg.PublicListen)
	srv, err := server.New(cfg, memory.New(), server.Options{Logger: log, Version: versionString()})
	if err != nil {
		return err
	}
	doors, err := openDoors(cfg)
	if err != nil {
		return err
	}
	web, err := net.Listen("tcp", free(*page))
	if err != nil {
		return err
	}
	adminDoor := doors.Main
	if doors.Admin != nil {
		adminDoor = doors.Admin
	}
	app := chatapp.New(chatapp.Config{
		RPCURL:    "http://" + adminDoor.Addr().String() + "/",
		PublicURL: "http://" + doors.Public.Addr().String(),
		Token:     cfg.AdminToken,
	})
	url := "http://" + web.Addr().String() + "/"
	fmt.Fprintf(p.stdout, demoText, url, "http://"+adminDoor.Addr().String()+"/")
	if *open {
		for range 2 {
			openWindow(url)
		}
	}
	return together(ctx,
		func(ctx context.Context) error { return srv.Serve(ctx, doors) },
		func(ctx context.Context) error { return serveApp(ctx, app, web) })
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

// serveApp serves the web application until ctx ends.
func serveApp(ctx context.Context, app http.Handler, l net.Listener) error {
	srv := &http.Server{Handler: app, ReadHeaderTimeout: 10 * time.Second}
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
