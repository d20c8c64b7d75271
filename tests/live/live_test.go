package live_test

import (
	"net/http"
	"syscall"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) { live.Main(m) }

// TestServer is a server's life as other tests use it: the doors they ask
// for, the same addresses after a restart, an exit status of 0.
func TestServer(t *testing.T) {
	srv := live.Start(t, "--public-listen", "127.0.0.1:0")
	main, public, pid := srv.Main, srv.Public, srv.Pid()
	if main == "" || public == "" || main == public || srv.Admin != "" {
		t.Fatalf("doors: main %q, public %q, admin %q", srv.Main, srv.Public, srv.Admin)
	}
	healthy(t, main)
	healthy(t, public)

	srv.Restart()
	if srv.Main != main || srv.Public != public {
		t.Errorf("moved from %s and %s to %s and %s", main, public, srv.Main, srv.Public)
	}
	if srv.Pid() == pid || syscall.Kill(pid, 0) == nil {
		t.Errorf("process %d still runs", pid)
	}
	healthy(t, main)

	srv.Stop()
	if live.Answers(main) {
		t.Error("answers after Stop")
	}
}

func healthy(t *testing.T, base string) {
	t.Helper()
	resp, err := http.Get(base + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s/healthz: status %d", base, resp.StatusCode)
	}
}
