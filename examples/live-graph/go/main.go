// Command go is the live graph example's back end in Go: see ../README.md.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/shaveet/shaveet/examples/live-graph/go/livegraphapp"
)

func main() {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", cmp.Or(os.Getenv("PORT"), "5000")))
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: livegraphapp.New(livegraphapp.Config{
			RPCURL:    cmp.Or(os.Getenv("SHAVEET_RPC"), "http://127.0.0.1:8082/"),
			PublicURL: cmp.Or(os.Getenv("SHAVEET_PUBLIC"), "http://127.0.0.1:8082"),
			Token:     os.Getenv("SHAVEET_TOKEN"),
		}),
	}
	fmt.Printf("live graph on http://%s/\n", ln.Addr())
	log.Fatal(server.Serve(ln))
}
