package transports_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// requests are how readers ask, on a connection of their own. The token is
// client and key.
var requests = map[string]string{
	bare:       "GET /?%[2]s&%[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"longpoll": "GET /longpoll?cursor=%[2]s&client_id=%[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"sse":      "GET /sse?cursor=%[2]s&client_id=%[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"stream":   "GET /stream?cursor=%[2]s&client_id=%[1]s HTTP/1.1\r\nHost: x\r\n\r\n",
	"websocket": "GET /websocket?cursor=%[2]s&client_id=%[1]s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	"socketio": "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	hello: "GET /websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
}

// hello is a WebSocket whose reader says who it is by a message, as our script
// does.
const hello = "websocket-hello"

// greeting is that message, as a frame.
func greeting(token, cursor string) string {
	id, key, _ := strings.Cut(token, hub.Delimiter)
	return frame(fmt.Sprintf(`{"clients":[{"id":%q,"key":%q}],"cursor":%q}`, id, key, cursor))
}

// connect is what a client of Socket.IO says who it is by, as a frame.
func connect(token, cursor string) string {
	return frame(fmt.Sprintf(`40{"token":%q,"cursor":%q}`, token, cursor))
}

// frame is a short text, masked with zeros.
func frame(text string) string {
	return string([]byte{0x81, byte(0x80 | len(text)), 0, 0, 0, 0}) + text
}

// ping is a frame that a client of Socket.IO has to answer.
var ping = []byte("\x81\x012")

// bare is a connection that is taken from net/http, with one goroutine that
// reads a byte: what holding one costs in any case.
const bare = "bare"

var names = []string{"longpoll", "sse", "stream", "websocket", "socketio"}

// A site is a server in this process.
type site struct {
	hub    *hub.Hub
	public string
	tokens []string
	bare   string       // where connections are held by nothing but a goroutine
	held   atomic.Int64 // how many there are of them
}

// newSite serves clients that are on the channel "room".
func newSite(t testing.TB, clients int) *site {
	t.Helper()
	cfg := server.DefaultConfig()
	cfg.DrainDelay = 0
	cfg.LogLevel = "error"
	quiet := hub.ChannelRule{Pattern: "*", ChannelSettings: hub.DefaultChannelSettings()}
	quiet.Presence = false // who comes is not news
	cfg.Channel = []hub.ChannelRule{quiet}
	srv, err := server.New(cfg, memory.New(), server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	doors := server.Doors{Main: listen(), Public: listen()}
	ctx, stop := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(ctx, doors) })
	t.Cleanup(func() { stop(); served.Wait() })
	<-srv.Hub().Ready()
	s := &site{hub: srv.Hub(), public: doors.Public.Addr().String()}
	plain := listen()
	s.bare = plain.Addr().String()
	simple := &http.Server{Handler: http.HandlerFunc(s.hold)}
	served.Go(func() { simple.Serve(plain) })
	t.Cleanup(func() { simple.Close() })
	var pairs []hub.Pair
	for i := range clients {
		id := fmt.Sprint("reader", i)
		key, _, err := s.hub.CreateClient(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		s.tokens = append(s.tokens, id+hub.Delimiter+key)
		pairs = append(pairs, hub.Pair{Client: id, Channel: "room"})
	}
	if _, err := s.hub.Subscribe(t.Context(), pairs); err != nil {
		t.Fatal(err)
	}
	return s
}

// hold holds a connection as [bare] says.
func (s *site) hold(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	conn.SetDeadline(time.Time{})
	conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	s.held.Add(1)
	go func() {
		defer conn.Close()
		conn.Read(make([]byte, 1))
	}()
}

// mark ends every message, and is nowhere else in what the server says, heads of
// frames included.
const mark = '^'

// A counter counts what has been read, and wakes who waits for it.
type counter struct {
	n, goal atomic.Int64
	reached chan struct{}
}

func newCounter() *counter { return &counter{reached: make(chan struct{}, 1)} }

func (c *counter) add(n int) {
	now := c.n.Add(int64(n))
	if goal := c.goal.Load(); goal <= now && now-int64(n) < goal {
		c.reached <- struct{}{}
	}
}

// read reads for one client until the connection ends, and counts marks.
func read(conn net.Conn, transport, token, cursor string, seen *counter, ready func()) {
	in := bufio.NewReaderSize(conn, 4<<10)
	if transport == "longpoll" {
		poll(conn, in, token, cursor, seen, ready)
		return
	}
	if transport == hello {
		io.WriteString(conn, requests[hello]+greeting(token, cursor))
	} else if transport == "socketio" {
		io.WriteString(conn, requests[transport]+connect(token, cursor))
	} else {
		fmt.Fprintf(conn, requests[transport], token, cursor)
	}
	buffer := make([]byte, 4<<10)
	for first := true; ; first = false {
		n, err := conn.Read(buffer)
		if first {
			ready()
		}
		if err != nil {
			return
		}
		seen.add(bytes.Count(buffer[:n], []byte{mark}))
		if transport == "socketio" && bytes.Contains(buffer[:n], ping) {
			io.WriteString(conn, frame("3"))
		}
	}
}

// poll polls without making anything new for each poll.
func poll(conn net.Conn, in *bufio.Reader, token, cursor string, seen *counter, ready func()) {
	request := []byte(fmt.Sprintf(requests["longpoll"], token, cursor))
	at := bytes.Index(request, []byte(cursor))
	before, after := request[:at], request[at+len(cursor):]
	place := []byte(cursor)
	var whole []byte
	for first := true; ; first = false {
		whole = append(append(append(whole[:0], before...), place...), after...)
		if _, err := conn.Write(whole); err != nil {
			return
		}
		if first {
			ready()
		}
		length := 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				for _, c := range bytes.TrimSpace(value) {
					length = length*10 + int(c-'0')
				}
			}
			if len(line) == 2 {
				break
			}
		}
		body, err := in.Peek(length)
		if err != nil {
			return
		}
		seen.add(bytes.Count(body, []byte{mark}))
		rest := body[len(`{"cursor":"`):]
		place = append(place[:0], rest[:bytes.IndexByte(rest, '"')]...)
		in.Discard(length)
	}
}

// BenchmarkFanOut publishes one message after the other, each when the last has
// reached every one of 1,000 readers. An operation is one delivery. The readers
// are part of the process, but make nothing new for a delivery.
func BenchmarkFanOut(b *testing.B) {
	const readers = 1000
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			s := newSite(b, readers)
			seen := newCounter()
			var waiting, over sync.WaitGroup
			cursor := s.hub.Position().String()
			for _, token := range s.tokens {
				conn, err := net.Dial("tcp", s.public)
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close()
				waiting.Add(1)
				over.Go(func() { read(conn, name, token, cursor, seen, waiting.Done) })
			}
			waiting.Wait()
			for s.hub.Stats().Sessions < readers {
				runtime.Gosched()
			}
			data := json.RawMessage(`"` + strings.Repeat("x", 125) + string(mark) + `"`)
			var want int64
			publish := func() {
				want += readers
				seen.goal.Store(want)
				if _, err := s.hub.Publish(b.Context(), hub.Publication{Channel: "room", Sender: json.RawMessage(`"bench"`), Data: data}); err != nil {
					b.Fatal(err)
				}
				<-seen.reached
			}
			publish()
			encoded := s.hub.Stats().Bytes
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b.ResetTimer()
			for range (b.N + readers - 1) / readers {
				publish()
			}
			b.StopTimer()
			runtime.ReadMemStats(&after)
			n := float64(want - readers)
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/delivery")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "B/delivery")
			b.ReportMetric(float64(s.hub.Stats().Bytes-encoded)/(n/readers), "kept-B/message")
			b.ReportMetric(0, "B/op")
		})
	}
}

// BenchmarkIdle measures how much memory one reader costs the server that has
// nothing to hear: what the process of a server grows by when its clients come
// that are there already. Every figure is of a process of its own, because what
// Go once had for a goroutine it keeps.
func BenchmarkIdle(b *testing.B) {
	const readers = 5000
	for _, name := range append([]string{bare, hello}, names...) {
		b.Run(name, func(b *testing.B) {
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), fmt.Sprint("SHAVEET_CLIENTS=", readers))
			child.Stderr = os.Stderr
			ask, err := child.StdinPipe()
			if err != nil {
				b.Fatal(err)
			}
			told, err := child.StdoutPipe()
			if err != nil {
				b.Fatal(err)
			}
			if err := child.Start(); err != nil {
				b.Fatal(err)
			}
			defer func() { ask.Close(); child.Wait() }()
			answers := bufio.NewReader(told)
			var address, plain, cursor string
			var before, after, sessions int
			fmt.Fscanln(answers, &address, &plain, &cursor, &before)
			if name == bare {
				address = plain
			}
			var waiting, over sync.WaitGroup
			for range readers {
				var token string
				fmt.Fscanln(answers, &token)
				conn, err := net.Dial("tcp", address)
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close()
				waiting.Add(1)
				over.Go(func() { read(conn, name, token, cursor, newCounter(), waiting.Done) })
			}
			waiting.Wait()
			for sessions < readers {
				fmt.Fprintln(ask)
				fmt.Fscanln(answers, &sessions, &after)
			}
			time.Sleep(time.Second)
			for range 3 { // what pools keep for a while is of no reader
				fmt.Fprintln(ask)
				fmt.Fscanln(answers, &sessions, &after)
			}
			for b.Loop() { // what it costs is not time
			}
			b.ReportMetric(float64(after-before)/readers, "RSS-B/reader")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// serve is the process of that server. It says where it is, how large it is,
// and who may read; and after each line of its standard input, how many do, and
// how large it is then.
func serve(clients int) {
	testing.Init()
	s := newSite(new(background), clients)
	fmt.Println(s.public, s.bare, s.hub.Position(), resident())
	fmt.Println(strings.Join(s.tokens, "\n"))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(s.hub.Stats().Sessions+int(s.held.Load()), resident())
	}
	if path := os.Getenv("SHAVEET_HEAP"); path != "" {
		f, _ := os.Create(path)
		pprof.WriteHeapProfile(f)
		f.Close()
	}
}

// background is the testing.TB of a process that is no test.
type background struct{ testing.TB }

func (*background) Helper()                  {}
func (*background) Cleanup(func())           {}
func (*background) Context() context.Context { return context.Background() }
func (*background) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }

// resident returns the memory of the process that is in use.
func resident() int {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * os.Getpagesize()
}

func TestMain(m *testing.M) {
	if clients, _ := strconv.Atoi(os.Getenv("SHAVEET_CLIENTS")); clients > 0 {
		serve(clients)
		return
	}
	os.Exit(m.Run())
}
