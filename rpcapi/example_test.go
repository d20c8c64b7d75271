package rpcapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/shaveet/shaveet/rpcapi"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h := hub.New(hub.Config{NewKey: func() string { return "ecccb990a9f94fde9afed4aee27fce9e" }}, memory.New())
	go func() { _ = h.Run(ctx) }()
	<-h.Ready()

	srv := httptest.NewServer(rpcapi.New(h, rpcapi.Options{}))
	defer srv.Close()
	for _, body := range []string{
		`{"method": "create_client", "params": ["alice"], "id": 1}`,
		`{"method": "subscribe", "params": ["alice", "room"], "id": 2}`,
		`{"jsonrpc": "2.0", "method": "new_message", "params": {"client_id": "bob", "message": "hi", "channel_name": "room", "system": false}, "id": 3}`,
		`{"jsonrpc": "2.0", "method": "subscribe", "params": ["ghost", "room"], "id": 4}`,
	} {
		resp, err := http.Post(srv.URL, "application/json", strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		fmt.Print(string(answer))
	}
	// Output:
	// {"result": "ecccb990a9f94fde9afed4aee27fce9e", "id": 1}
	// {"result": 1, "id": 2}
	// {"jsonrpc":"2.0","result":1,"id":3}
	// {"jsonrpc":"2.0","error":{"code":-32001,"message":"unknown client \"ghost\"","data":{"type":"unknown_client"}},"id":4}
}

// words answers word_count.
type words struct{}

type wordParams = struct {
	Text string `param:"text"`
	Min  int    `param:"min,optional"` // letters that make a word
}

func (words) WordCount(_ *http.Request, p *wordParams, reply *int) error {
	for _, w := range strings.Fields(p.Text) {
		if len(w) >= p.Min {
			*reply++
		}
	}
	return nil
}

func ExampleService() {
	api := rpcapi.New(hub.New(hub.Config{}, nil), rpcapi.Options{
		Services: []rpcapi.Service{{
			Name:     "Words",
			Receiver: words{},
			Methods:  []rpcapi.Method{{Name: "word_count", Summary: "Counts words."}},
		}},
	})
	fmt.Print(string(api.Handle(context.Background(), []byte(`{"method": "word_count", "params": ["to be or not", 3]}`))))
	// Output: {"result": 1}
}
