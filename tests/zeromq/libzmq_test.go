package zeromq_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// A libzmq is a socket of libzmq, in a program of its own.
type libzmq struct {
	t    *testing.T
	in   io.WriteCloser
	out  *bufio.Reader
	kill func()
}

// newLibzmq opens a socket. Debian's library is for Debian's Python.
func newLibzmq(t *testing.T, kind string, options map[string]any) *libzmq {
	t.Helper()
	live.Track(t, "testdata/peer.py")
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	cmd := exec.CommandContext(ctx, live.Tool(t, "/usr/bin/python3"), "testdata/peer.py")
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
	z := &libzmq{t: t, in: in, out: bufio.NewReader(out)}
	killed := false
	z.kill = func() {
		killed = true
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil && !killed {
			t.Errorf("%v (without python3-zmq: run make deps)\n%s", err, said.String())
		}
		cancel()
	})
	if options == nil {
		options = map[string]any{}
	}
	z.do(nil, "open", kind, options)
	return z
}

// connected returns a socket that is connected to an endpoint, and has shaken
// hands.
func connected(t *testing.T, kind, endpoint string, options map[string]any) *libzmq {
	t.Helper()
	z := newLibzmq(t, kind, options)
	z.do(nil, "connect", endpoint)
	z.event("HANDSHAKE_SUCCEEDED")
	return z
}

// do makes a call, and keeps its result.
func (z *libzmq) do(result any, call ...any) {
	z.t.Helper()
	if err := z.try(result, call...); err != nil {
		z.t.Fatalf("%v: %v (without python3-zmq: run make deps)", call[0], err)
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
		call = append(call, f)
	}
	z.do(nil, call...)
}

// receive returns the next message.
func (z *libzmq) receive() (frames []string) {
	z.t.Helper()
	z.do(&frames, "receive", patience.Milliseconds())
	if frames == nil {
		z.t.Fatal("nothing comes")
	}
	return frames
}

// event wants something to happen to its connection.
func (z *libzmq) event(name string) {
	z.t.Helper()
	var names []string
	z.do(&names, "events", []string{name}, patience.Milliseconds())
	if !slices.Contains(names, name) {
		z.t.Fatalf("libzmq sees %q, and no %s", names, name)
	}
}

// A flooding is what came of a flood.
type flooding struct {
	Refused int // messages that libzmq had no room for
	Seconds float64
}

// begin floods while the test goes on; the returned function waits for the end.
func (z *libzmq) begin(first, n int, channels []string, size, perSecond int, countRefused bool) (end func() flooding) {
	z.t.Helper()
	var f flooding
	done := make(chan error, 1)
	go func() { done <- z.try(&f, "flood", first, n, channels, size, perSecond, countRefused) }()
	ended := false
	end = func() flooding {
		z.t.Helper()
		ended = true
		if err := <-done; err != nil {
			z.t.Fatal(err)
		}
		return f
	}
	z.t.Cleanup(func() {
		if !ended {
			z.in.Close() // which does not end it, but there is nobody left to wait for it
		}
	})
	return end
}

// A collection is what a subscriber of libzmq has heard.
type collection struct {
	Count, Last int
	Ordered     bool
}

// collect collects while the test goes on.
func (z *libzmq) collect(last int) (end func() (collection, error)) {
	var c collection
	done := make(chan error, 1)
	go func() { done <- z.try(&c, "collect", last, patience.Milliseconds()) }()
	return func() (collection, error) {
		err := <-done
		if err == nil && !c.Ordered {
			err = errors.New("it hears numbers out of order")
		}
		if err == nil && c.Last < last {
			err = fmt.Errorf("it hears %d messages, the last is %d, and then nothing", c.Count, c.Last)
		}
		return c, err
	}
}
