package zmtp_test

import (
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/zmtp"
)

func TestParseEndpoint(t *testing.T) {
	for said, tt := range map[string]struct {
		network, address string
		local            bool
	}{
		"tcp://127.0.0.1:5555":          {"tcp", "127.0.0.1:5555", true},
		"tcp://127.9.9.9:1":             {"tcp", "127.9.9.9:1", true},
		"tcp://localhost:65535":         {"tcp", "localhost:65535", true},
		"tcp://[::1]:5555":              {"tcp", "[::1]:5555", true},
		"tcp://[::ffff:127.0.0.1]:5555": {"tcp", "[::ffff:127.0.0.1]:5555", true},
		"tcp://*:5555":                  {"tcp", ":5555", false},
		"tcp://0.0.0.0:0":               {"tcp", "0.0.0.0:0", false},
		"tcp://[::]:5555":               {"tcp", "[::]:5555", false},
		"tcp://192.0.2.1:5555":          {"tcp", "192.0.2.1:5555", false},
		"tcp://[2001:db8::1]:5555":      {"tcp", "[2001:db8::1]:5555", false},
		"tcp://[fe80::1%eth0]:5555":     {"tcp", "[fe80::1%eth0]:5555", false},
		"tcp://example.com:5555":        {"tcp", "example.com:5555", false},
		"tcp://localhost.example.com:5": {"tcp", "localhost.example.com:5", false},
		"tcp://127.0.0.1.example.com:5": {"tcp", "127.0.0.1.example.com:5", false},
		"ipc:///run/shaveet/zmq":        {"unix", "/run/shaveet/zmq", true},
		"ipc://relative":                {"unix", "relative", true},
		"ipc://@abstract":               {"unix", "@abstract", true},
		"ipc://a://b":                   {"unix", "a://b", true},
	} {
		e, err := zmtp.ParseEndpoint(said)
		if err != nil || e.Network != tt.network || e.Address != tt.address || e.Local() != tt.local {
			t.Errorf("%s: %+v, local: %v, %v", said, e, e.Local(), err)
		}
		if e.String() != said {
			t.Errorf("%s is written as %s", said, e)
		}
	}
	for _, said := range []string{
		"", "tcp", "tcp:", "tcp://", "tcp://:", "tcp://:5555", "tcp://*", "tcp://*:", "tcp://host", "tcp://host:", "tcp://::1:5555",
		"tcp://*:*", "tcp://host:http", "tcp://host:-1", "tcp://host:65536", "tcp://host:+5", "tcp://host:5/path", "tcp://host:5;other:6",
		"ipc://", "ipc://" + strings.Repeat("x", 104), "inproc://x", "udp://host:5", "TCP://host:5", "pgm://x", "127.0.0.1:5555", "://host:5", "http://host:80", " tcp://host:5",
	} {
		e, err := zmtp.ParseEndpoint(said)
		if err == nil || !strings.HasPrefix(err.Error(), `"`+said+`": must be`) {
			t.Errorf("%q: %+v, %v", said, e, err)
		}
	}
	if (zmtp.Endpoint{}).Local() || (zmtp.Endpoint{Network: "tcp", Address: "127.0.0.1"}).Local() {
		t.Error("one that is none is local")
	}
}
