package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/shaveet/shaveet/server"
)

// healthcheck asks a server whether it is healthy: the one at the given URL,
// or the one that serve would run with the same file, environment and flags.
func (p *program) healthcheck(ctx context.Context, args []string) error {
	cfg, rest, err := p.configure("healthcheck", server.DefaultConfig(), args, nil)
	if err != nil {
		return err
	}
	address := doorURL(cmp.Or(cfg.Listen, cfg.PublicListen, cfg.AdminListen))
	switch len(rest) {
	case 0:
	case 1:
		address = rest[0]
	default:
		return fmt.Errorf("healthcheck takes one URL, but was given %q", rest)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	client, url := reach(address)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("unhealthy: %s", resp.Status)
	}
	fmt.Fprintln(p.stdout, "healthy")
	return nil
}

// doorURL is where a door that listens on the address is found from the same
// machine.
func doorURL(listen string) string {
	if strings.HasPrefix(listen, "unix:") {
		return listen
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://" + listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
