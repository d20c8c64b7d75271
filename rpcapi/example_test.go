package rpcapi_test

import (
	"context"
	"encoding/json"
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

// A retry under the same publish id is answered with where the message is.
func Example_publish() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h := hub.New(hub.Config{NewKey: func() string { return "ecccb990a9f94fde9afed4aee27fce9e" }}, memory.New())
	go func() { _ = h.Run(ctx) }()
	<-h.Ready()
	api := rpcapi.New(h, rpcapi.Options{})

	const order = `{"channel": "orders", "data": {"order": 17, "state": "paid"}, "publish_id": "order-17-paid"}`
	for range 2 {
		var answer struct {
			Result struct {
				Position string
				ID       uint64
				Repeated bool
			}
		}
		body := `{"jsonrpc": "2.0", "method": "publish", "params": ` + order + `, "id": 1}`
		if err := json.Unmarshal(api.Handle(ctx, []byte(body)), &answer); err != nil {
			fmt.Println(err)
			return
		}
		at, err := hub.ParsePosition(answer.Result.Position)
		fmt.Println("number", answer.Result.ID, "on its channel, here:", at == h.Position(), err, "- repeated:", answer.Result.Repeated)
	}
	// Output:
	// number 1 on its channel, here: true <nil> - repeated: false
	// number 1 on its channel, here: true <nil> - repeated: true
}

// words answers word_count.
type words struct{}

type wordParams = struct {
	Text string `param:"text" help:"what to count in"`
	Min  int    `param:"min,optional" min:"1" max:"100" default:"1" help:"letters that make a word"`
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
			Methods: []rpcapi.Method{{
				Name:     "word_count",
				Summary:  "Counts words.",
				Examples: []rpcapi.Example{{Name: "a line", Params: `{"text": "to be or not", "min": 3}`, Result: "1"}},
			}},
		}},
	})
	for _, params := range []string{`["to be or not", 3]`, `["to be or not"]`, `{"text": "to be", "min": 0}`} {
		fmt.Print(string(api.Handle(context.Background(), []byte(`{"method": "word_count", "params": `+params+`}`))))
	}
	// Its methods are in the document that rpc.discover answers.
	fmt.Println(strings.Contains(string(api.OpenRPC()), `"name":"word_count"`))
	// Output:
	// {"result": 1}
	// {"result": 4}
	// {"result": null, "error": {"type": "invalid_params", "message": "min: must be a whole number from 1 to 100", "code": -32602}}
	// true
}
