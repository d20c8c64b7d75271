// Command produce is the live graph example's producer in Go: see ../../README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/shaveet/shaveet/examples/live-graph/go/producer"
)

func main() {
	var c producer.Config
	flag.StringVar(&c.Endpoint, "endpoint", "tcp://127.0.0.1:5555", "where the server's SUB (or PULL) `socket` is bound")
	flag.BoolVar(&c.Push, "push", false, "be a PUSH socket instead of a PUB socket")
	flag.DurationVar(&c.Interval, "interval", 100*time.Millisecond, "`time` between two points")
	print := flag.Bool("print", false, "print the points")
	flag.Parse()
	if c.Interval == 0 { // which is the default, to Run
		log.Fatal("interval: must be a millisecond at least")
	}
	if *print {
		c.Made = func(p producer.Point) { fmt.Println(p) }
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := producer.Run(ctx, c); err != nil {
		log.Fatal(err)
	}
}
