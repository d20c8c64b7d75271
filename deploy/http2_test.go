package deploy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// selfSigned writes a certificate for this machine and its key into one file.
func selfSigned(t *testing.T) (path string, trust *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	trust = x509.NewCertPool()
	trust.AppendCertsFromPEM(text)
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	return write(t, inFolder(temporary(t))("site.pem"), string(text)), trust
}

// TestHTTP2 has the lines of the files in force that are for TLS. A browser then
// reads as often as it likes by one connection, and by another one for each
// WebSocket.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	const tabs = 10 // more than the six connections of HTTP/1.1
	certificate, trust := selfSigned(t)
	throughEach(t, func(t *testing.T, p proxy) {
		srv := live.Start(t, "--public-listen", "127.0.0.1:0")
		there := to(srv)
		there.tls = certificate
		s := p.start(t, there)

		shared := newNetwork()
		tr := shared.Transport.(*http.Transport)
		tr.TLSClientConfig = &tls.Config{RootCAs: trust}
		resp, err := shared.Get(s.base + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Fatalf("%s", resp.Proto)
		}
		for _, w := range []way{longpollGET, longpollPOST, sse, stream} {
			r := newReader(t, srv, s.base, w, w.name)
			r.net = shared
			hearsAtOnce(t, srv, r, w.name)
		}
		var readers []*reader
		for i := range tabs {
			r := newReader(t, srv, s.base, []way{sse, stream}[i%2], "news")
			r.net = shared
			r.read(t).next(t, atOnce)
			readers = append(readers, r)
		}
		say(t, srv, "news", 1, 1, "")
		for _, r := range readers {
			r.expect(t, 1, 1, false)
		}
		if n := shared.dials.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}

		r := newReader(t, srv, s.base, webSocket, "websocket")
		own := r.net.Transport.(*http.Transport)
		own.ForceAttemptHTTP2, own.TLSClientConfig = false, &tls.Config{RootCAs: trust}
		hearsAtOnce(t, srv, r, "websocket")
	})
}
