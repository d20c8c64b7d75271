package hub_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// run starts a hub; stop ends it and waits until it has ended.
func run() (h *hub.Hub, stop func()) {
	h = hub.New(hub.Config{NewKey: uuid.NewString}, memory.New())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); h.Run(ctx) }()
	<-h.Ready()
	return h, func() { cancel(); <-ended }
}

// A client is created and subscribed, something is said, and a session for the
// client hears it.
func Example() {
	h, stop := run()
	defer stop()
	ctx := context.Background()

	key, _, err := h.CreateClient(ctx, "alice")
	if err != nil {
		panic(err)
	}
	if _, err := h.Subscribe(ctx, []hub.Pair{{Client: "alice", Channel: "news"}}); err != nil {
		panic(err)
	}
	_, err = h.Publish(ctx, hub.Publication{
		Channel: "news", Sender: json.RawMessage(`"bob"`), Data: json.RawMessage(`{"text": "hello"}`)})
	if err != nil {
		panic(err)
	}

	s, err := h.Attach(ctx, []hub.Credentials{{ID: "alice", Key: key}}, hub.Start{})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	batch, err := s.Next(ctx)
	if err != nil {
		panic(err)
	}
	for _, m := range batch.Messages {
		fmt.Println(m.ID, string(m.Sender), string(m.Data))
	}
	s.Commit() // it has been handed over: the session goes on from here
	// Output:
	// 1 "alice" {"type":"subscribe"}
	// 2 "bob" {"text": "hello"}
}

// A reader that comes back says where it was and is told what it has missed,
// and what is lost.
func ExampleHub_Attach() {
	h, stop := run()
	defer stop()
	ctx := context.Background()
	if err := h.Configure(hub.Limits{ChannelMessages: 2}, nil); err != nil {
		panic(err)
	}
	key, _, _ := h.CreateClient(ctx, "alice")
	at, _ := h.Subscribe(ctx, []hub.Pair{{Client: "alice", Channel: "news"}})
	for i := range 5 {
		h.Publish(ctx, hub.Publication{Channel: "news", Data: fmt.Append(nil, i)})
	}

	s, err := h.Attach(ctx, []hub.Credentials{{ID: "alice", Key: key}}, hub.Start{At: at})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	batch := s.Collect()
	for _, signal := range batch.Signals {
		if signal.Type == hub.SignalGap {
			fmt.Println("lost:", signal.To.Seq-signal.From.Seq, "messages,", signal.Reason)
		}
	}
	for _, m := range batch.Messages {
		fmt.Println(string(m.Data))
	}
	// Output:
	// lost: 3 messages, count
	// 3
	// 4
}

// A publish with an id can be repeated without harm when its answer was lost.
func ExampleHub_Publish() {
	h, stop := run()
	defer stop()
	p := hub.Publication{Channel: "orders", Data: json.RawMessage(`"paid"`), PublishID: "order-17-paid"}
	for range 2 {
		where, err := h.Publish(context.Background(), p)
		fmt.Println(where.ID, where.Repeated, err)
	}
	// Output:
	// 1 false <nil>
	// 1 true <nil>
}
