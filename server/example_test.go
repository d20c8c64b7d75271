package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/broker/memory"
)

// A whole server inside another program, or inside its tests: on a port that
// the system chooses, with all it holds in memory, gone when its context ends.
func Example() {
	cfg := server.DefaultConfig()
	cfg.DrainDelay = 0 // no balancer has to notice that it ends
	srv, err := server.New(cfg, memory.New(), server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ctx, server.Doors{Main: door}) }()
	base := "http://" + door.Addr().String()

	// The backend: there is alice, she listens to news, and here they are.
	call := func(method, params string) (result json.RawMessage) {
		request := fmt.Sprintf(`{"jsonrpc": "2.0", "id": 1, "method": %q, "params": %s}`, method, params)
		resp, err := http.Post(base+"/rpc", "application/json", strings.NewReader(request))
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		var answer struct{ Result, Error json.RawMessage }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != nil {
			panic(fmt.Sprint(err, string(answer.Error)))
		}
		return answer.Result
	}
	var key string
	json.Unmarshal(call("create_client", `{"client_id": "alice"}`), &key)
	call("subscribe", `{"client_id": "alice", "channel_name": "news"}`)
	call("publish", `{"channel": "news", "data": {"title": "It works"}}`)

	// The page: what is there for alice?
	resp, err := http.Get(base + "/longpoll?client_id=" + url.QueryEscape("alice_!!_"+key))
	if err != nil {
		panic(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(err)
	}
	resp.Body.Close()
	var batch struct {
		Cursor   string
		Messages []struct {
			Channel string
			Data    json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &batch); err != nil {
		panic(err)
	}
	for _, m := range batch.Messages {
		fmt.Printf("%s: %s\n", m.Channel, m.Data)
	}
	fmt.Println("it goes on from a cursor:", batch.Cursor != "")

	stop()
	fmt.Println("ended:", <-ended)
	// Output:
	// news: {"title": "It works"}
	// it goes on from a cursor: true
	// ended: <nil>
}
