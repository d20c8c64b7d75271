package socketio_test

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
	"github.com/shaveet/shaveet/tests/redistest"
)

// nodes starts so many programs that share a log, and what sends every request to
// the next of them.
func nodes(t *testing.T, n int, config string) *server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shaveet.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	store := redistest.Start(t)
	var bases []*url.URL
	s := &server{}
	for range n {
		srv := live.Start(t, "--config", file, "--redis", store.URL(), "--public-listen", "127.0.0.1:0", "--drain-delay", "0s")
		base, err := url.Parse(srv.Public)
		if err != nil {
			t.Fatal(err)
		}
		bases, s.Admin = append(bases, base), srv.Main
		live.Until(t, "the node is ready", 20*time.Second, func() bool { return live.Ready(srv.Main) })
	}
	s.Base = "http://" + taking(t, bases)
	return s
}

// taking returns the address of a balancer that takes the nodes in turn.
func taking(t *testing.T, bases []*url.URL) string {
	var turn atomic.Uint64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: &httputil.ReverseProxy{
		FlushInterval: -1,
		Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100},
		Rewrite: func(pr *httputil.ProxyRequest) {
			host := pr.In.Host
			pr.SetURL(bases[turn.Add(1)%uint64(len(bases))])
			pr.Out.Host = host
		},
	}}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

// TestClientsOfNodes has the stock clients do all that pages do, where each request
// of theirs comes to another node.
func TestClientsOfNodes(t *testing.T) {
	t.Parallel()
	srv, open := nodes(t, 2, earnest), nodes(t, 2, echoing)
	play(t, combinations*casesOfClients, nil, "clients.mjs", map[string]any{"base": srv.Base, "admin": srv.Admin, "open": open.Base})
}

// TestUpgradesOfNodes has clients go over to a WebSocket that another node has.
func TestUpgradesOfNodes(t *testing.T) {
	t.Parallel()
	for _, version := range strings.Fields("4.8 2") {
		t.Run(version, func(t *testing.T) {
			srv := nodes(t, 2, patient)
			play(t, 1, nil, "upgrades.mjs", map[string]any{"base": srv.Base, "admin": srv.Admin, "version": version, "upgrades": 150, "atOnce": 50})
		})
	}
}
