//go:build unix

package zeromq

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
)

// A file of ours is for nobody else. What a dead process has left is replaced,
// and nothing else is.
func TestFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(t *testing.T, path string)
		bound  bool
	}{
		"nothing": {func(*testing.T, string) {}, true},
		"a dead one's": {func(t *testing.T, path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			l.Close()
		}, true},
		"a living one's": {func(t *testing.T, path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, false},
		"a busy one's":           {busy, false},
		"a file":                 {func(t *testing.T, path string) { os.WriteFile(path, []byte("precious"), 0o600) }, false},
		"a folder":               {func(t *testing.T, path string) { os.Mkdir(path, 0o700) }, false},
		"a link to a dead one's": {func(t *testing.T, path string) { os.Symlink(path+".other", path) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			tt.before(t, path)
			before, _ := os.Lstat(path)
			s := New(newHub(t, hub.Limits{}), []Config{socketOf("rep", func(c *Config) { c.Bind = "ipc://" + path })}, Options{})
			err := s.Listen()
			defer s.Close()
			after, statErr := os.Lstat(path)
			if statErr != nil {
				t.Fatal(statErr)
			}
			if !tt.bound {
				if err == nil || !os.SameFile(before, after) {
					t.Errorf("it was taken: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if mode := after.Mode(); mode != os.ModeSocket|0o600 {
				t.Errorf("mode %v", mode)
			}
		})
	}
	old := syscall.Umask(0o022)
	syscall.Umask(old)
	if old == 0o177 {
		t.Error("the mask has stayed")
	}
}

// busy leaves a socket at path whose queue of connections is full: its owner
// lives, though it has no time.
func busy(t *testing.T, path string) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		c, err := net.Dial("unix", path)
		if err != nil {
			if strings.Contains(err.Error(), "refused") {
				t.Skip("this system says the same of busy and dead ones")
			}
			return
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("its queue does not fill")
}
