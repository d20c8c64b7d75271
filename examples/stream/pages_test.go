package stream_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// TestPages is both pages in a real browser: browser/page.mjs tells the story.
// With PICTURES set to a folder it leaves screenshots there.
func TestPages(t *testing.T) {
	t.Parallel()
	live.Track(t, sources...)
	live.Track(t, "browser/page.mjs", "../../client-js/test/browser/browser.mjs", "../../client-js/dist/shaveet.js")
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			if b.name != "go" && os.Getenv("SHAVEET_LONG") == "" {
				t.Skip("the pages see no difference between the back ends; SHAVEET_LONG=1 tries both")
			}
			srv := live.Start(t, "--public-listen", "127.0.0.1:0", "--config", "shaveet.toml")
			start(t, b.command(t), srv).letsTheBrowserTell(t, b.command)
		})
	}
}

func (s *site) letsTheBrowserTell(t *testing.T, another func(*testing.T) *exec.Cmd) {
	cmd := exec.CommandContext(t.Context(), live.Tool(t, "node"), "browser/page.mjs")
	cmd.Env = append(os.Environ(), "PAGE="+s.url+"/")
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wishes := map[string]func(){
		"stop":  s.stop,
		"start": s.srv.Restart,
		"cut":   func() { s.cut(t, 14) },
		"replace": func() {
			s.end()
			start(t, another(t), s.srv)
		},
		"command": func() {},
		"done":    func() {},
	}
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		last = word
		grant, ok := wishes[word]
		if !ok {
			t.Errorf("the browser says: %s", lines.Text())
			continue
		}
		grant()
		if word == "command" {
			s.runsInATerminal(t, rest)
		}
		if word == "done" {
			continue // nobody waits for an answer
		}
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); err != nil || last != "done" {
		t.Errorf("the browser's last word was %q: %v", last, err)
	}
}

// runsInATerminal runs a command that the page shows, until it prints a line.
func (s *site) runsInATerminal(t *testing.T, quoted string) {
	t.Helper()
	var command string
	if err := json.Unmarshal([]byte(quoted), &command); err != nil {
		t.Fatal(err)
	}
	live.Tool(t, "curl")
	dir := t.TempDir()
	if err := os.Symlink(live.Binary(t), filepath.Join(dir, "shaveet")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", command+` | grep -m 1 "Hello World"`)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "SHAVEET_URL="+s.srv.Main, "SHAVEET_PUBLIC="+s.srv.Public)
	output := live.Run(t, cmd)
	live.Until(t, command, 30*time.Second, func() bool { return strings.Contains(output(), "Hello World") })
}
