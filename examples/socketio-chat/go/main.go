// Command go is the Socket.IO chat example in Go, with Shaveet inside: see
// ../README.md.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/shaveet/shaveet/examples/socketio-chat/go/talkapp"
	"github.com/shaveet/shaveet/namespace"
	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/broker/memory"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// run serves until the program is told to end: the page at one door, and Shaveet
// at another.
func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg := server.DefaultConfig()
	cfg.DrainDelay = 0 // no balancer has to notice that it ends
	push, err := server.New(cfg, memory.New(), server.Options{Namespaces: []*namespace.Namespace{talkapp.New(nil)}})
	if err != nil {
		return err
	}
	// Browsers reach this door, so the admin API is at one of its own.
	public, err := net.Listen("tcp", cmp.Or(os.Getenv("SHAVEET_LISTEN"), "127.0.0.1:8082"))
	if err != nil {
		return err
	}
	door, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", cmp.Or(os.Getenv("PORT"), "5000")))
	if err != nil {
		return err
	}
	page := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler:           talkapp.Page(cmp.Or(os.Getenv("SHAVEET_PUBLIC"), "http://"+public.Addr().String())),
	}
	defer context.AfterFunc(ctx, func() { page.Close() })()
	go page.Serve(door)
	fmt.Printf("chat on http://%s/, with Shaveet on http://%s\n", door.Addr(), public.Addr())
	return push.Serve(ctx, server.Doors{Public: public})
}
