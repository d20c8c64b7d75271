package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Binary is the path of the program under test: SHAVEET_BIN, or one built
// from ./cmd/shaveet on first use.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatalf("live: %v", err)
	}
	return path
}

var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("SHAVEET_BIN"); path != "" {
		// Stat makes go test's cache depend on the file: a rebuilt program is tested anew.
		_, err := os.Stat(path)
		return path, err
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	if err := trackSources(root); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "shaveet-live-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "shaveet")
	build := goCommand(root, "build", "-buildvcs=false", "-race="+strconv.FormatBool(raceEnabled), "-o", path, "./cmd/shaveet")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// builtIn is the folder of the program that binary built, for Main to remove.
var builtIn string

// Main runs the tests of a package and removes what was built for them.
func Main(m *testing.M) {
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

// Root is the top folder of the project.
func Root(t testing.TB) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatalf("live: %v", err)
	}
	return root
}

// Track tells go test's cache that the result depends on these files of the
// project, which the test hands to other programs instead of opening itself.
func Track(t testing.TB, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
	}
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "go.mod")); e == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			err = errors.New("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// trackSources looks at every file the program is built from. The compiler
// reads them in another process, so without this go test would not know that
// a cached result is stale.
func trackSources(root string) error {
	out, err := goCommand(root, "list", "-deps", "-json=Dir,Standard,GoFiles,EmbedFiles", "./cmd/shaveet").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("go list: %w\n%s", err, exit.Stderr)
		}
		return err
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			Dir                 string
			Standard            bool
			GoFiles, EmbedFiles []string
		}
		if err := dec.Decode(&pkg); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if pkg.Standard {
			continue
		}
		for _, name := range append(pkg.GoFiles, pkg.EmbedFiles...) {
			_, _ = os.Stat(filepath.Join(pkg.Dir, name))
		}
	}
}

func goCommand(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	return cmd
}
