package zmtp_test

import (
	"io"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/zmtp"
)

// zeros are so many bytes of nothing.
func zeros(n int64) io.Reader { return io.LimitReader(nothing{}, n) }

type nothing struct{}

func (nothing) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Memory grows with what has come, and not with what was announced.
func TestMemory(t *testing.T) {
	const gib = 1 << 30
	for name, tt := range map[string]struct {
		said string
		then io.Reader
		most int // bytes
	}{
		"1 GiB announced, 100 bytes sent":    {announce(0, gib) + repeat(100), nil, 100 << 10},
		"the same in a frame of several":     {frame(more, "") + announce(more, gib) + repeat(100), nil, 100 << 10},
		"1 GiB announced, 1 MiB sent":        {announce(0, gib), zeros(1 << 20), 5 << 20},
		"10 MiB announced and sent":          {announce(0, 10<<20), zeros(10 << 20), 40 << 20},
		"over the limit, 100 bytes sent":     {announce(0, gib+1) + repeat(100), nil, 10 << 10},
		"over the limit, 100 MiB sent":       {announce(0, gib+1), zeros(100 << 20), 10 << 10},
		"over the limit by far":              {announce(0, 1<<62), zeros(1 << 20), 10 << 10},
		"50,000 frames":                      {strings.Repeat(frame(more, ""), 50_000), nil, 10 << 10},
		"50,000 commands within a message":   {frame(more, "") + strings.Repeat(command("X", ""), 50_000), nil, 2 << 20},
		"a command announced":                {announce(isCommand, 8<<10) + "x", nil, 20 << 10},
		"a command over the limit announced": {announce(isCommand, gib) + "x", nil, 10 << 10},
	} {
		c, s := scripted(t, zmtp.Options{Type: zmtp.PULL, MaxMessageBytes: gib}, hello("PUSH"), tt.said)
		s.then = tt.then
		var err error
		cost := allocated(func() { _, err = c.Receive() })
		if cost > uint64(tt.most) {
			t.Errorf("%s: it costs %d bytes, and %d are allowed", name, cost, tt.most)
		}
		t.Logf("%s: %d bytes, %v", name, cost, err)
	}
}

// Someone who says hello, and no more, costs little.
func TestHandshakeMemory(t *testing.T) {
	s := &script{pieces: []string{greeting(3, 1, "NULL") + announce(isCommand, 8<<10) + repeat(100)}}
	if cost := allocated(func() { zmtp.NewConn(s, pull) }); cost > 32<<10 {
		t.Errorf("it costs %d bytes", cost)
	}
}

// A message that comes whole needs two allocations, and nothing of the clock.
func TestWholeMessagesAreCheap(t *testing.T) {
	const n = 1000
	for name, sent := range map[string]string{
		"200 bytes": message(repeat(200)), "5 bytes": message("hello"), "none": message(""),
	} {
		for together, pieces := range map[string][]string{
			"one by one": strings.SplitAfterN(strings.Repeat(sent+"|", n), "|", n+1),
			"at once":    {strings.Repeat(sent, n)},
		} {
			for i := range pieces {
				if together == "one by one" {
					pieces[i] = strings.TrimSuffix(pieces[i], "|")
				}
			}
			c, s := scripted(t, pull, hello("PUSH"), pieces...)
			allocs := testing.AllocsPerRun(n-100, func() {
				if _, err := c.Receive(); err != nil {
					t.Fatal(err)
				}
			})
			if allocs > 2 {
				t.Errorf("%s, %s: %v allocations", name, together, allocs)
			}
			if together == "one by one" && s.deadlines > 0 || s.deadlines > n*len(sent)/4096 {
				t.Errorf("%s, %s: %d deadlines for %d messages", name, together, s.deadlines, n)
			}
		}
	}
	c, s := scripted(t, zmtp.Options{Type: zmtp.PUSH}, hello("PULL"))
	body := []byte(repeat(200))
	s.heard.Grow(1 << 20)
	if allocs := testing.AllocsPerRun(n, func() { c.Send(body, body, body) }); allocs > 2 { // one, but for the race detector
		t.Errorf("sending: %v allocations", allocs)
	}
}
