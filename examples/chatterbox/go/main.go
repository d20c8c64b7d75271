// Command go is a web application of the chatterbox example in Go: see
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
	"time"

	"github.com/shaveet/shaveet/examples/chatterbox/go/chatterboxapp"
)

func main() {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", cmp.Or(os.Getenv("PORT"), "5000")))
	if err != nil {
		log.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	app, err := chatterboxapp.New(chatterboxapp.Config{
		Name:      cmp.Or(os.Getenv("NAME"), port),
		RPCURL:    cmp.Or(os.Getenv("SHAVEET_RPC"), "http://127.0.0.1:8082/"),
		PublicURL: cmp.Or(os.Getenv("SHAVEET_PUBLIC"), "http://127.0.0.1:8082"),
		Token:     os.Getenv("SHAVEET_TOKEN"),
		Pull:      cmp.Or(os.Getenv("SHAVEET_PULL"), "tcp://127.0.0.1:5556"),
		Pub:       cmp.Or(os.Getenv("SHAVEET_PUB"), "tcp://127.0.0.1:5557"),
	})
	if err != nil {
		log.Fatal(err)
	}
	go app.Run(context.Background()) // until the program ends
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: app}
	fmt.Printf("chatterbox on http://%s/\n", ln.Addr())
	log.Fatal(server.Serve(ln))
}
