package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/shaveet/shaveet/bench"
)

// peer measures another server, started anew.
func (r *runner) peer(ctx context.Context, kind string, flags []string) (*bench.Result, error) {
	s, err := r.startPeer(ctx, kind)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return r.one(ctx, nil, append([]string{"--yardstick", "off", "--target", kind, "--url", "http://" + s.address + "/", "--pid", number(s.PID())}, flags...))
}

// A peer is another server.
type peer struct {
	*bench.Server
	address string
	dir     string // of its files; empty: it has none
}

func (p *peer) close() {
	p.Stop()
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

func (r *runner) startPeer(ctx context.Context, kind string) (p *peer, err error) {
	p = &peer{}
	if p.address, err = freeAddress(); err != nil {
		return nil, err
	}
	switch kind {
	case "nchan":
		if p.dir, err = os.MkdirTemp("", "shaveet-report-"); err != nil {
			return nil, err
		}
		err = p.startNchan(ctx)
	case "socketio":
		_, port, _ := net.SplitHostPort(p.address)
		p.Server, err = bench.Start(ctx, nil, ownEnv(), "node", filepath.Join(peersDir, "stock.mjs"), port)
	default:
		err = fmt.Errorf("there is no peer %q", kind)
	}
	if err == nil {
		err = p.wait(ctx)
	}
	if err != nil {
		if p.Server != nil {
			p.Stop()
		}
		os.RemoveAll(p.dir)
		return nil, err
	}
	return p, nil
}

// peersDir is where the peers' files are, from the top of the project.
const peersDir = "bench/peers"

func (p *peer) startNchan(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(peersDir, "nchan.conf"))
	if err != nil {
		return err
	}
	conf, err := moved(string(text), p.address, p.dir)
	if err != nil {
		return err
	}
	file := filepath.Join(p.dir, "nchan.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return err
	}
	p.Server, err = bench.Start(ctx, nil, ownEnv(), nginx(), "-c", file)
	return err
}

// moved is nchan.conf for another address and a folder of its own.
func moved(conf, address, dir string) (string, error) {
	for old, other := range map[string]string{"127.0.0.1:8090": address, "/tmp/nchan-bench.pid": filepath.Join(dir, "nginx.pid")} {
		if strings.Count(conf, " "+old) < 1 {
			return "", fmt.Errorf("nchan.conf does not say %s any more", old)
		}
		conf = strings.ReplaceAll(conf, " "+old, " "+other)
	}
	return conf, nil
}

// nginx is where Debian has it, which is not in everybody's PATH.
func nginx() string {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path
	}
	return "/usr/sbin/nginx"
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// wait waits until somebody listens.
func (p *peer) wait(ctx context.Context) error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if c, err := net.Dial("tcp", p.address); err == nil {
			return c.Close()
		}
		select {
		case <-p.Ended():
			return fmt.Errorf("it ended: %s", p.Said())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("it does not listen")
}
