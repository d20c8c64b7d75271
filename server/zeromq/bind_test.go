package zeromq

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/zmtp"
)

// Endpoints on the machine's own network and in files are bound for real.
func TestEndpoints(t *testing.T) {
	dir := t.TempDir()
	for _, bind := range []string{"tcp://127.0.0.1:0", "tcp://localhost:0", "ipc://" + filepath.Join(dir, "s")} {
		h := newHub(t, hub.Limits{})
		log := new(logBuffer)
		s := New(h, []Config{socketOf("pull", func(c *Config) { c.Bind = bind })}, Options{Logger: newLogger(log)})
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		at := s.all[0].listener.Addr()
		c, err := net.Dial(at.Network(), at.String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		z, err := zmtp.NewConn(c, zmtp.Options{Type: zmtp.PUSH, HandshakeTimeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), at.String()) {
			t.Errorf("the log does not say where it is: %s", log)
		}
		cancel()
		<-ended
		if _, err := z.Receive(); err == nil {
			t.Error("the connection goes on")
		}
		z.Close()
		if _, err := s.all[0].listener.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("somebody still listens: %v", err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "s")); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}

// Of several endpoints all are bound or none.
func TestAllAreBoundOrNone(t *testing.T) {
	dir := t.TempDir()
	taken, err := net.Listen("unix", filepath.Join(dir, "taken"))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := func(name string) Config {
		return socketOf("pull", func(c *Config) { c.Bind = "ipc://" + filepath.Join(dir, name) })
	}
	s := New(newHub(t, hub.Limits{}), []Config{at("free"), at("taken"), at("other")}, Options{})
	if err := s.Listen(); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"free", "other"} {
		if c, err := net.Dial("unix", filepath.Join(dir, name)); err == nil {
			c.Close()
			t.Errorf("%s is bound", name)
		}
	}
	if c, err := net.Dial("unix", filepath.Join(dir, "taken")); err != nil {
		t.Errorf("what others have bound is gone: %v", err)
	} else {
		c.Close()
	}
}

// At the end what is on its way is taken, and a peer that does not let go is
// not waited for.
func TestIntakeEndsWithWhatIsOnItsWay(t *testing.T) {
	const n = 1000
	path := filepath.Join(t.TempDir(), "s")
	h := newHub(t, hub.Limits{})
	s := New(h, []Config{socketOf("pull", func(c *Config) { c.Bind = "ipc://" + path })}, Options{Logger: slog.New(slog.DiscardHandler)})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zmtp.NewConn(c, zmtp.Options{Type: zmtp.PUSH})
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var all []byte
	for range n {
		all = zmtp.AppendMessage(all, []byte(`"`+strings.Repeat("x", 1<<10)+`"`)) // more than kernels hold
	}
	sent := make(chan error, 1)
	go func() { sent <- z.Write(all) }()
	if err := <-sent; err != nil { // the kernel has it
		t.Error(err)
	}
	s.StopIntake(t.Context()) // although z does not close
	if got := s.Stats()[0].Received; got != n {
		t.Errorf("%d of %d messages were taken", got, n)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		t.Error("it takes more")
	}
}
