// Command go is the rooms example's back end in Go: see ../README.md.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/shaveet/shaveet/examples/rooms/go/roomsapp"
)

func main() {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", cmp.Or(os.Getenv("PORT"), "5000")))
	if err != nil {
		log.Fatal(err)
	}
	config := roomsapp.Config{
		RPCURL:    cmp.Or(os.Getenv("SHAVEET_RPC"), "http://127.0.0.1:8082/"),
		PublicURL: cmp.Or(os.Getenv("SHAVEET_PUBLIC"), "http://127.0.0.1:8082"),
		Token:     os.Getenv("SHAVEET_TOKEN"),
	}
	if names := os.Getenv("ROOMS"); names != "" {
		config.Rooms = strings.Split(names, ",")
	}
	for _, name := range config.Rooms {
		if !roomsapp.ValidName(name) {
			log.Fatalf("ROOMS: %q cannot be the name of a room", name)
		}
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: roomsapp.New(config)}
	fmt.Printf("rooms on http://%s/\n", ln.Addr())
	log.Fatal(server.Serve(ln))
}
