//go:build unix

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// SIGHUP reads file, variables and flags again: what can change does, what is
// bad changes nothing, and a running program goes on either way.
func TestHangup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shaveet.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`poll_timeout = "20s"`)
	srv := live.Start(t, "--config", path, "--retry-time", "3s", "--drain-delay", "0s")
	hangup := func() {
		t.Helper()
		if err := syscall.Kill(srv.Pid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	logged := func(text string) {
		t.Helper()
		live.Until(t, "the log has "+text, patience, func() bool { return strings.Contains(srv.Log(), text) })
	}
	status := func(origin string) int {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.Main+"/longpoll", nil)
		req.Header.Set("Origin", origin)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := status("https://evil.test"); got != 400 {
		t.Fatalf("at first everybody may ask: %d", got)
	}

	write("poll_timeout = \"20s\"\nallowed_origins = [\"https://app.test\"]\nretry_time = \"9s\"\nkeep_alive = \"5s\"\n" +
		"[channel.\"chat.*\"]\nmessages = 5\n")
	hangup()
	logged(`msg="reloaded the configuration" changed="[allowed_origins channel.\"chat.*\"]" restart=[keep_alive]`) // the flag still counts
	if got := status("https://evil.test"); got != 403 {
		t.Errorf("another origin: %d, want 403", got)
	}
	if got := status("https://app.test"); got != 400 {
		t.Errorf("the allowed origin: %d, want 400", got)
	}

	write("allowed_origins = [\"*\"]\nwindw = \"5s\"\n")
	hangup()
	logged(`unknown key \"windw\"`)
	if _, err := newAdminAPI(srv.Main+"/", "").call(t.Context(), "reload", nil); err == nil || !strings.Contains(err.Error(), `unknown key "windw"`) {
		t.Errorf("reload() of a bad file: %v", err)
	}
	if got := status("https://evil.test"); got != 403 {
		t.Errorf("a bad file changed something: %d", got)
	}

	write(`poll_timeout = "20s"`)
	if got := string(rpc(t, srv.Main, "reload")); got != `{"changed":["allowed_origins","channel.\"chat.*\""],"restart":[]}` {
		t.Errorf("reload(): %s", got)
	}
	if got := status("https://evil.test"); got != 400 {
		t.Errorf("everybody may ask again: %d", got)
	}
	srv.Stop()
}

// A token is read from its file again, and the old one opens nothing more.
func TestHangupReadsTheTokenFile(t *testing.T) {
	const first, second = "0123456789abcdef-first", "0123456789abcdef-second"
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(first+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := live.Start(t, "--admin-token-file", path, "--drain-delay", "0s")
	may := func(token string) bool {
		_, err := newAdminAPI(srv.Main+"/", token).call(t.Context(), "info", nil)
		return err == nil
	}
	if !may(first) || may(second) {
		t.Fatal("the token is not the file's")
	}
	if err := os.WriteFile(path, []byte(second+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(srv.Pid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	live.Until(t, "it is reloaded", patience, func() bool { return strings.Contains(srv.Log(), "changed=[admin_token]") })
	if may(first) || !may(second) {
		t.Error("the token is not the file's new one")
	}
	if strings.Contains(srv.Log(), first) || strings.Contains(srv.Log(), second) {
		t.Error("the log has a token")
	}
}
