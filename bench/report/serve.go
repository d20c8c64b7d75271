package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shaveet/shaveet/bench"
	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/trim"
)

// A site is a server that somebody else than shaveet bench has started.
type site struct {
	*bench.Server
	main, public string // addresses
}

// serve starts the program as shaveet bench does.
func (r *runner) serve(ctx context.Context) (*site, error) {
	s := &site{}
	var err error
	s.Server, err = bench.Start(ctx, s.doors, ownEnv(), r.program, "serve", "--listen", "127.0.0.1:0", "--public-listen", "127.0.0.1:0",
		"--drain-delay", "0s", "--drain-timeout", "1s", "--idle-time", "1h", "--min-age", "1h")
	return s, err
}

// ownEnv is our environment without settings of some other server.
func ownEnv() (env []string) {
	for _, line := range os.Environ() {
		if !strings.HasPrefix(line, "SHAVEET_") {
			env = append(env, line)
		}
	}
	return env
}

// doors finds out from a server's log where it is.
func (s *site) doors(line string) bool {
	if _, rest, ok := strings.Cut(line, "msg=listening door="); ok {
		door, address, _ := strings.Cut(rest, " addr=")
		switch address = strings.Trim(address, `"`); door {
		case "main":
			s.main = address
		case "public":
			s.public = address
		}
	}
	return s.main != "" && s.public != ""
}

// serveTLS is the argument by which this program is a server whose public door
// speaks TLS. shaveet serve leaves TLS to proxies; a program that has a server
// inside may give it any listener.
const serveTLS = "serve-tls"

// overTLS measures with readers that come by TLS. They are made to trust the
// server's certificate.
func (r *runner) overTLS(ctx context.Context, flags []string) (*bench.Result, error) {
	dir, err := os.MkdirTemp("", "shaveet-report-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	certificate := filepath.Join(dir, "certificate.pem")
	s := &site{}
	if s.Server, err = bench.Start(ctx, s.doors, ownEnv(), self, serveTLS, certificate); err != nil {
		return nil, err
	}
	defer s.Stop()
	return r.one(ctx, []string{"SSL_CERT_FILE=" + certificate}, append([]string{"--yardstick", "off", "--pid", number(s.PID()),
		"--url", "http://" + s.main, "--public-url", "https://" + s.public}, flags...))
}

// beServer is a server until ctx ends. It leaves its certificate in a file.
func beServer(ctx context.Context, certificate string, log io.Writer) error {
	cfg := server.DefaultConfig()
	cfg.IdleTime, cfg.MinAge, cfg.DrainDelay, cfg.DrainTimeout = time.Hour, time.Hour, 0, time.Second // as shaveet bench has it
	srv, err := server.New(cfg, memory.New(), server.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		return err
	}
	own, err := selfSigned()
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]})
	if err := os.WriteFile(certificate, text, 0o600); err != nil {
		return err
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer plain.Close()
	public, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return err
	}
	defer public.Close()
	go trim.Run(ctx, nil) // as shaveet serve does
	return srv.Serve(ctx, server.Doors{Main: plain, Public: public})
}

func selfSigned() (own tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return own, err
	}
	now := time.Now()
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		return own, fmt.Errorf("making a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
