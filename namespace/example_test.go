package namespace_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/shaveet/shaveet/namespace"
	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/broker/memory"
)

// A small chat, with the whole server inside of this program. Pages would use
// the stock client, which the server has at /socket.io/socket.io.js; here two of
// them are played by a few lines that speak Socket.IO by hand.
func ExampleNamespace() {
	chat := namespace.New("/chat", namespace.Options{Open: true})

	// socket.emit('join', 'lobby', 'ada', (ok, others) => …)
	chat.On("join", func(ctx context.Context, s *namespace.Socket, room, name string) (ok bool, others int, err error) {
		there, err := chat.To(room).Sockets()
		if err != nil {
			return false, 0, err
		}
		if err := s.SetData(ctx, name); err != nil {
			return false, 0, err
		}
		return true, len(there), s.Join(ctx, room)
	})
	// socket.emit('say', 'lobby', 'hello', (e) => …): heard by the others in the room
	chat.On("say", func(ctx context.Context, s *namespace.Socket, room, text string) error {
		var name string
		if err := s.Data(&name); err != nil {
			return err
		}
		if name == "" {
			return &namespace.Error{Type: "nameless", Message: "join first"}
		}
		return s.To(room).Emit(ctx, "said", name, text)
	})

	cfg := server.DefaultConfig()
	cfg.DrainDelay = 0 // no balancer has to notice that it ends
	srv, err := server.New(cfg, memory.New(), server.Options{
		Namespaces: []*namespace.Namespace{chat},
		Logger:     slog.New(slog.DiscardHandler),
	})
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

	ada, bob := connect(door.Addr(), "/chat"), connect(door.Addr(), "/chat")
	fmt.Println("bob is early:", bob.ask("say", "lobby", "hello"))
	fmt.Println("ada joins:", ada.ask("join", "lobby", "ada"))
	fmt.Println("bob joins:", bob.ask("join", "lobby", "bob"))
	fmt.Println("bob says:", bob.ask("say", "lobby", "hello"))
	fmt.Println("ada hears:", ada.hear())
	fmt.Println("bob forgets the text:", bob.ask("say", "lobby"))

	stop()
	fmt.Println("ended:", <-ended)
	// Output:
	// bob is early: [{"error":{"type":"nameless","message":"join first"}}]
	// ada joins: [true,0]
	// bob joins: [true,1]
	// bob says: []
	// ada hears: ["said","bob","hello"]
	// bob forgets the text: [{"error":{"type":"bad_arguments","message":"argument 2 is missing"}}]
	// ended: <nil>
}

// A client is as much of Socket.IO as this example needs.
type client struct {
	io.ReadWriter
	head string // of all that is said in its namespace
}

func connect(to net.Addr, name string) client {
	conn, begun, _, err := ws.Dial(context.Background(), "ws://"+to.String()+"/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		panic(err)
	}
	c := client{conn, name + ","}
	if begun != nil { // what came together with the handshake's answer
		c.ReadWriter = struct {
			io.Reader
			io.Writer
		}{begun, conn}
	}
	c.next("0")           // the connection is open
	c.send("40" + c.head) // in which the namespace is joined
	c.next("40" + c.head)
	return c
}

func (c client) send(text string) {
	if err := wsutil.WriteClientText(c, []byte(text)); err != nil {
		panic(err)
	}
}

// next waits for a packet that begins so, and returns the rest of it.
func (c client) next(head string) string {
	for {
		text, err := wsutil.ReadServerText(c)
		if err != nil {
			panic(err)
		}
		if rest, ok := strings.CutPrefix(string(text), head); ok {
			return rest
		}
	}
}

// ask says an event and returns the arguments of its answer.
func (c client) ask(event ...any) string {
	array, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	c.send("42" + c.head + "1" + string(array)) // 1 is the answer's number
	return c.next("43" + c.head + "1")
}

// hear returns the next event, without what it has at its end: its position, by
// which the stock client comes back to where it was.
func (c client) hear() string {
	event := c.next("42" + c.head)
	return event[:strings.LastIndexByte(event, ',')] + "]"
}
