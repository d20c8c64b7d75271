package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/broker/redis"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/trim"
)

// serve runs the server until ctx ends.
func (p *program) serve(ctx context.Context, args []string) error {
	cfg, rest, err := p.configure("serve", server.DefaultConfig(), args, nil)
	if err != nil {
		return err
	}
	if err := noArguments("serve", rest); err != nil {
		return err
	}
	level := new(slog.LevelVar)
	log := p.loggerAt(level, cfg.LogFormat)
	broker, err := brokerOf(cfg, log)
	if err != nil {
		return err
	}
	srv, err := server.New(cfg, broker, server.Options{
		Logger:   log,
		LogLevel: level,
		Version:  versionString(),
		Reload: func() (server.Config, error) {
			cfg, _, err := p.configure("serve", server.DefaultConfig(), args, nil)
			return cfg, err
		},
	})
	if err != nil {
		return err
	}
	defer onHangup(func() { srv.Reload(ctx) })() // which logs how it went
	doors, err := openDoors(cfg)
	if err != nil {
		return err
	}
	if adminIsHalfOpen(cfg) {
		log.Warn("the main door can be reached from other machines; without an admin token, only this one may call the admin API",
			"listen", cfg.Listen)
	}
	log.Info("shaveet", "version", versionString(), "pid", os.Getpid())
	defer trimming(ctx, log)()
	if err := srv.Serve(ctx, doors); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// brokerOf returns the log: of this process, or the one in Redis.
func brokerOf(cfg server.Config, log *slog.Logger) (hub.Broker, error) {
	if cfg.Redis == "" {
		return memory.New(), nil
	}
	host, _ := os.Hostname()
	return redis.New(redis.Options{
		URL: cfg.Redis, Prefix: cfg.RedisPrefix, Timeout: cfg.RedisTimeout, StaleTime: cfg.RedisStale,
		LogBytes: cfg.RedisLogBytes, DeadAfter: cfg.NodeDeadTime, Grace: cfg.IdleTime,
		Name: cmp.Or(cfg.NodeName, host), Version: versionString(), Logger: log,
	})
}

// trimming gives memory back whenever it is quiet, until it is told to stop.
func trimming(ctx context.Context, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var trimmer sync.WaitGroup
	trimmer.Go(func() {
		trim.Run(ctx, func(g trim.Given) { log.Debug("gave memory back", "bytes", g.Bytes, "took", g.Took) })
	})
	return func() {
		cancel()
		trimmer.Wait()
	}
}

func noArguments(command string, rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("%s takes no arguments, but was given %q", command, rest)
	}
	return nil
}

// adminIsHalfOpen reports whether others can come to the admin API's door, and
// nothing but where they come from keeps them out.
func adminIsHalfOpen(cfg server.Config) bool {
	host, _, _ := net.SplitHostPort(cfg.Listen)
	ip := net.ParseIP(host)
	loopback := host == "localhost" || ip != nil && ip.IsLoopback()
	return !loopback && cfg.AdminToken == "" && cfg.AdminListen == ""
}

// logger returns the program's log, on standard error.
func (p *program) logger(cfg server.Config) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		return nil, fmt.Errorf("log_level: must be debug, info, warn or error")
	}
	return p.loggerAt(level, cfg.LogFormat), nil
}

func (p *program) loggerAt(level slog.Leveler, format string) *slog.Logger {
	to := func(w io.Writer, opts *slog.HandlerOptions) *slog.Logger {
		if format == "json" {
			return slog.New(slog.NewJSONHandler(w, opts))
		}
		return slog.New(slog.NewTextHandler(w, opts))
	}
	if w, ok := p.stderr.(*logWriter); ok { // it is told whatever the level is
		notices := to(always{w}, nil)
		w.tells(func(lost int) { notices.Warn("lines of the log were lost, since nobody has read them", "lines", lost) })
	}
	return to(p.stderr, &slog.HandlerOptions{Level: level})
}

// onHangup calls f at every SIGHUP, one call at a time, until stop is called.
// Signals that come during a call are one more.
func onHangup(f func()) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var loop sync.WaitGroup
	loop.Go(func() {
		for range hangups {
			f()
		}
	})
	return func() {
		signal.Stop(hangups)
		close(hangups)
		loop.Wait()
	}
}

// openDoors listens where cfg says; with an error nothing is left open.
func openDoors(cfg server.Config) (doors server.Doors, err error) {
	var open []net.Listener
	listen := func(address string) net.Listener {
		if address == "" || err != nil {
			return nil
		}
		var l net.Listener
		if l, err = listenOn(address); err != nil {
			return nil
		}
		open = append(open, l)
		return l
	}
	doors = server.Doors{Main: listen(cfg.Listen), Public: listen(cfg.PublicListen), Admin: listen(cfg.AdminListen)}
	if err != nil {
		for _, l := range open {
			l.Close()
		}
	}
	return doors, err
}

// listenOn listens on host:port, or on the Unix socket unix:/path, which only
// the owner's programs may then connect to. A socket left by a process that
// was killed is replaced.
func listenOn(address string) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, "unix:")
	if !isUnix {
		return net.Listen("tcp", address)
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return nil, fmt.Errorf("listen %s: another process serves it", address)
		}
		os.Remove(path)
	}
	return listenUnix(path)
}
