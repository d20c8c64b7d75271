package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// An Option is a line of a server's configuration, as in "maxmemory 10mb", or
// several.
type Option string

// What a server keeps: all, written down at once, or once in a second.
const (
	AOF         Option = "appendonly yes\nappendfsync always"
	AOFEverySec Option = "appendonly yes\nappendfsync everysec"
)

// TLS has the server speak TLS and nothing else, with a certificate of its own.
const TLS Option = "tls"

const (
	password = "requirepass "
	user     = "user "
)

// Password has callers show this one.
func Password(p string) Option { return Option(password + p) }

// User has callers be this one: nobody else is let in.
func User(name, secret string) Option { return Option(user + name + " " + secret) }

// MaxMemory is how much the server takes before it refuses what needs more.
func MaxMemory(bytes string) Option {
	return Option("maxmemory " + bytes + "\nmaxmemory-policy noeviction")
}

// take notes what an option means for those who call, and returns its lines.
func (s *Server) take(o Option) string {
	s.t.Helper()
	line := string(o)
	if o == TLS {
		return s.makeTLS()
	}
	if p, ok := strings.CutPrefix(line, password); ok {
		s.user = url.UserPassword("", p)
		s.cli = append(s.cli, "-a", p, "--no-auth-warning")
		return password + strconv.Quote(p)
	}
	if rest, ok := strings.CutPrefix(line, user); ok {
		name, p, _ := strings.Cut(rest, " ")
		s.user = url.UserPassword(name, p)
		s.cli = append(s.cli, "--user", name, "-a", p, "--no-auth-warning")
		return "user default off\nuser " + name + " on " + strconv.Quote(">"+p) + " ~* &* +@all"
	}
	return line
}

// makeTLS makes a certificate that vouches for itself.
func (s *Server) makeTLS() string {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redistest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.CA = s.pem("cert.pem", "CERTIFICATE", der)
	keyFile := s.pem("key.pem", "PRIVATE KEY", secret)
	s.cli = append(s.cli, "--tls", "--cacert", s.CA)
	return strings.Join([]string{"port 0", "tls-port " + s.port(), "tls-cert-file " + s.CA, "tls-key-file " + keyFile,
		"tls-ca-cert-file " + s.CA, "tls-auth-clients no", "tls-replication yes"}, "\n")
}

func (s *Server) pem(name, kind string, der []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}
