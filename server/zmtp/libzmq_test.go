package zmtp_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/zmtp"
	"github.com/shaveet/shaveet/tests/live"
)

// patience is what may take long on a busy machine.
const patience = time.Minute

// A libzmq is a socket of libzmq, in a program of its own.
type libzmq struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

// newLibzmq opens a socket. Debian's library is for Debian's Python.
func newLibzmq(t *testing.T, kind string, options map[string]any) *libzmq {
	t.Helper()
	live.Track(t, "testdata/libzmq.py")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := exec.CommandContext(ctx, live.Tool(t, "/usr/bin/python3"), "testdata/libzmq.py")
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v (without python3-zmq: run make deps)\n%s", err, said.String())
		}
		cancel()
	})
	z := &libzmq{t, in, bufio.NewReader(out)}
	if options == nil {
		options = map[string]any{}
	}
	z.do(nil, "open", kind, options)
	return z
}

// do makes a call, and keeps its result.
func (z *libzmq) do(result any, call ...any) {
	z.t.Helper()
	if err := z.try(result, call...); err != nil {
		z.t.Fatalf("%v: %v", call[0], err)
	}
}

// try is do for another goroutine than the test's.
func (z *libzmq) try(result any, call ...any) error {
	line, err := json.Marshal(call)
	if err != nil {
		return err
	}
	if _, err := z.in.Write(append(line, '\n')); err != nil {
		return err
	}
	answer, err := z.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer, result)
}

func (z *libzmq) send(frames ...string) {
	z.t.Helper()
	call := []any{"send"}
	for _, f := range frames {
		call = append(call, hex.EncodeToString([]byte(f)))
	}
	z.do(nil, call...)
}

// receive wants its next message to be this.
func (z *libzmq) receive(want ...string) {
	z.t.Helper()
	var got []string
	z.do(&got, "receive")
	for i := range got {
		p, _ := hex.DecodeString(got[i])
		got[i] = string(p)
	}
	if !slices.Equal(got, want) {
		z.t.Fatalf("libzmq receives %.100q, want %.100q", got, want)
	}
}

// events wants one of these to happen, and returns all that did.
func (z *libzmq) events(until ...string) []string {
	z.t.Helper()
	var names []string
	z.do(&names, "events", until, 30_000)
	if len(names) == 0 || !slices.Contains(until, names[len(names)-1]) {
		z.t.Fatalf("libzmq sees %q, and none of %q", names, until)
	}
	return names
}

// A meeting is a way to come together with a socket of libzmq.
type meeting struct {
	name string
	meet func(t *testing.T, z *libzmq) net.Conn
}

// byTCP are those that are no files.
var byTCP = meetings[:2]

var meetings = []meeting{
	{"we dial", func(t *testing.T, z *libzmq) net.Conn { return dial(t, z, "tcp://127.0.0.1:0") }},
	{"we accept", func(t *testing.T, z *libzmq) net.Conn { return accept(t, z, "tcp://127.0.0.1:0") }},
	{"we dial a file", func(t *testing.T, z *libzmq) net.Conn { return dial(t, z, "ipc://"+filepath.Join(t.TempDir(), "s")) }},
	{"we accept by a file", func(t *testing.T, z *libzmq) net.Conn {
		return accept(t, z, "ipc://"+filepath.Join(t.TempDir(), "s"))
	}},
}

func dial(t *testing.T, z *libzmq, at string) net.Conn {
	t.Helper()
	if strings.HasPrefix(at, "tcp:") {
		at = strings.TrimSuffix(at, "0") + "*" // as libzmq has it
	}
	var bound string
	z.do(&bound, "bind", at)
	e, err := zmtp.ParseEndpoint(bound)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial(e.Network, e.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func accept(t *testing.T, z *libzmq, at string) net.Conn {
	t.Helper()
	e, err := zmtp.ParseEndpoint(at)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen(e.Network, e.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	z.do(nil, "connect", zmtp.Endpoint{Network: e.Network, Address: l.Addr().String()}.String())
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// met returns both sides of a connection whose handshake is done.
func met(t *testing.T, m meeting, us zmtp.SocketType, them string, options map[string]any) (*zmtp.Conn, *libzmq) {
	t.Helper()
	z := newLibzmq(t, them, options)
	c, err := zmtp.NewConn(m.meet(t, z), zmtp.Options{Type: us, MaxMessageBytes: 4 << 20, HandshakeTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	if string(c.Peer()) != them {
		t.Errorf("the peer is a %s", c.Peer())
	}
	z.events("HANDSHAKE_SUCCEEDED")
	return c, z
}

// everyWay runs a test for each of these ways to meet.
func everyWay(t *testing.T, ways []meeting, us zmtp.SocketType, them string, test func(t *testing.T, c *zmtp.Conn, z *libzmq)) {
	for _, m := range ways {
		t.Run(fmt.Sprintf("%s and libzmq's %s, %s", us, them, m.name), func(t *testing.T) {
			t.Parallel()
			c, z := met(t, m, us, them, nil)
			test(t, c, z)
		})
	}
}
