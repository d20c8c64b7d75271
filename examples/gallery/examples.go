package gallery

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"

	"github.com/shaveet/shaveet/examples/chat"
	"github.com/shaveet/shaveet/examples/chat/go/chatapp"
	"github.com/shaveet/shaveet/examples/chatterbox"
	"github.com/shaveet/shaveet/examples/chatterbox/go/chatterboxapp"
	livegraph "github.com/shaveet/shaveet/examples/live-graph"
	"github.com/shaveet/shaveet/examples/live-graph/go/livegraphapp"
	"github.com/shaveet/shaveet/examples/live-graph/go/producer"
	"github.com/shaveet/shaveet/examples/notifications"
	"github.com/shaveet/shaveet/examples/notifications/go/notifyapp"
	"github.com/shaveet/shaveet/examples/rooms"
	"github.com/shaveet/shaveet/examples/rooms/go/roomsapp"
	socketiochat "github.com/shaveet/shaveet/examples/socketio-chat"
	"github.com/shaveet/shaveet/examples/socketio-chat/go/talkapp"
	"github.com/shaveet/shaveet/examples/stream"
	"github.com/shaveet/shaveet/examples/stream/go/streamapp"
	"github.com/shaveet/shaveet/namespace"
)

// An example is one that the gallery shows.
type example struct {
	Name     string    `json:"name"`
	Title    string    `json:"title"`
	Sentence string    `json:"sentence"`
	Readers  [2]reader `json:"readers"`
	Hint     string    `json:"hint"` // what to try
	Call     string    `json:"call"` // what a terminal can say to it, in JSON

	source fs.FS
	start  func(places) app
}

// A reader is one of the two pages that are shown side by side.
type reader struct {
	Title string `json:"title"`
	Path  string `json:"path"` // below the example's
}

// places is where an example finds what is around it: its own glasses.
type places struct {
	rpc, public string
	endpoint    string // where a producer connects to
	pull, pub   string // where the chatterbox's web apps do
	token       string
	client      *http.Client
	log         *slog.Logger
}

// app is an example's back end, and what runs beside it until ctx ends.
type app struct {
	handler http.Handler
	run     func(ctx context.Context) error
}

// examples are in the order of the page.
var examples = []example{
	{
		Name: "live-graph", Title: "Live graph",
		Sentence: "A producer’s sine comes by ZeroMQ; uPlot draws it, and Flot as in 2011.",
		Readers:  [2]reader{{"uPlot", ""}, {"Flot", "flot"}},
		Hint:     "Ten points a second come in by ZMTP and go out by WebSocket. No back end sees them.",
		Call:     `{"method": "history", "params": {"channel": "graph", "limit": 1, "reverse": true}}`,
		source:   livegraph.Source(), start: startLiveGraph,
	},
	{
		Name: "chat", Title: "Chat",
		Sentence: "A chat room, read by long polls as the original’s pages do.",
		Readers:  [2]reader{{"One reader", ""}, {"Another", ""}},
		Hint:     "Join in both under two names, and talk.",
		Call:     `{"method": "new_message", "params": ["curl", "hello", "chat", false]}`,
		source:   chat.Source(), start: startChat,
	},
	{
		Name: "chatterbox", Title: "Chatterbox",
		Sentence: "Two web apps, ZeroMQ between them, and the stock client of Socket.IO.",
		Readers:  [2]reader{{"Web app A", ""}, {"Web app B", "b/"}},
		Hint:     "Talk on either side. A line goes in by ZMTP, and out to both: by Socket.IO and by ZMTP.",
		Call:     `{"method": "publish", "params": {"channel": "chatterbox", "data": {"u": "curl", "m": "hello"}}}`,
		source:   chatterbox.Source(), start: startChatterbox,
	},
	{
		Name: "socketio-chat", Title: "Socket.IO chat",
		Sentence: "The stock client of Socket.IO, answered by functions beside Shaveet in one program.",
		Readers:  [2]reader{{"One reader", ""}, {"Another", ""}},
		Hint:     "Join in both under two names, and talk. What they say goes to Shaveet, and no back end is asked.",
		Call:     `{"method": "emit", "params": {"namespace": "/chat", "event": "announcement", "args": ["curl says hello"]}}`,
		source:   socketiochat.Source(), start: startTalk,
	},
	{
		Name: "rooms", Title: "Rooms",
		Sentence: "A tutorial’s chat server with rooms; its polls are held by Shaveet.",
		Readers:  [2]reader{{"One reader", ""}, {"Another", ""}},
		Hint:     "Choose two names, enter the same room, and talk. A room tells what was said before.",
		Call:     `{"method": "publish", "params": {"channel": "rooms:python", "data": "curl: hello", "sender": "curl"}}`,
		source:   rooms.Source(), start: startRooms,
	},
	{
		Name: "stream", Title: "Streaming",
		Sentence: "A line a second and two random points, by any transport that you choose.",
		Readers:  [2]reader{{"Lines", ""}, {"WebSocket", "websocket"}},
		Hint:     "Choose another transport on the left, and see how the same lines come by it.",
		Call:     `{"method": "publish", "params": {"channel": "stream:hello", "data": "curl says hello"}}`,
		source:   stream.Source(), start: startStream,
	},
	{
		Name: "notifications", Title: "Notifications",
		Sentence: "A site whose users are notified live, in all their tabs.",
		Readers:  [2]reader{{"One browser", ""}, {"Another", ""}},
		Hint:     "Log in as Ann here and as Bob there: each side has cookies of its own. Then notify each other.",
		Call:     `{"method": "publish", "params": {"channel": "everyone", "data": {"number": 1000001, "from": "curl", "text": "hello", "time": 0, "everyone": true}}}`,
		source:   notifications.Source(), start: startNotifications,
	},
}

func startLiveGraph(p places) app {
	return app{
		livegraphapp.New(livegraphapp.Config{RPCURL: p.rpc, PublicURL: p.public, Token: p.token, Client: p.client}),
		func(ctx context.Context) error {
			return producer.Run(ctx, producer.Config{Endpoint: p.endpoint, Logger: p.log})
		},
	}
}

func startChat(p places) app {
	return app{chatapp.New(chatapp.Config{RPCURL: p.rpc, PublicURL: p.public, Token: p.token, Client: p.client}), nil}
}

// startChatterbox has web app A, and B below it.
func startChatterbox(p places) app {
	c := chatterboxapp.Config{RPCURL: p.rpc, PublicURL: p.public, Token: p.token, Client: p.client, Pull: p.pull, Pub: p.pub, Logger: p.log}
	site := http.NewServeMux()
	var apps []*chatterboxapp.App
	for name, mount := range map[string]string{"A": "", "B": "/b"} {
		c.Name = name
		a, err := chatterboxapp.New(c)
		if err != nil {
			panic(err) // the endpoints are ours
		}
		site.Handle(mount+"/", http.StripPrefix(mount, a))
		apps = append(apps, a)
	}
	return app{site, func(ctx context.Context) error {
		var both sync.WaitGroup
		for _, a := range apps {
			both.Go(func() { a.Run(ctx) })
		}
		both.Wait()
		return nil
	}}
}

// startTalk has the page alone: who answers it is one of Namespaces.
func startTalk(p places) app { return app{talkapp.Page(p.public), nil} }

// Namespaces are answered by functions inside the program that the server is in,
// which has to be told of them. Errors go to log.
func Namespaces(log *slog.Logger) []*namespace.Namespace {
	return []*namespace.Namespace{talkapp.New(log)}
}

func startRooms(p places) app {
	return app{roomsapp.New(roomsapp.Config{RPCURL: p.rpc, PublicURL: p.public, Token: p.token, Client: p.client}), nil}
}

func startStream(p places) app {
	a := streamapp.New(streamapp.Config{RPCURL: p.rpc, PublicURL: p.public, Token: p.token, Client: p.client})
	return app{a, func(ctx context.Context) error { a.Run(ctx); return nil }}
}

func startNotifications(p places) app {
	return app{notifyapp.New(notifyapp.Config{RPCURL: p.rpc, PublicURL: p.public, Token: p.token, Client: p.client}), nil}
}
