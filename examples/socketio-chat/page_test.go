package socketiochat_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// TestPage has people talk by the page in a real browser, with the stock client:
// browser/page.mjs tells the story. With PICTURES set to a folder it leaves
// screenshots there.
func TestPage(t *testing.T) {
	t.Parallel()
	live.Track(t, sources...)
	live.Track(t, "browser/page.mjs", "../../client-js/test/browser/browser.mjs")
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			if f.name != "python" && os.Getenv("SHAVEET_LONG") == "" {
				t.Skip("the page sees no difference between the back ends; SHAVEET_LONG=1 tries both")
			}
			f.start(t).letsTheBrowserTell(t, f.name)
		})
	}
}

func (s *site) letsTheBrowserTell(t *testing.T, form string) {
	cmd := exec.CommandContext(t.Context(), live.Tool(t, "node"), "browser/page.mjs")
	cmd.Env = append(os.Environ(), "PAGE="+s.page+"/", "FORM="+form)
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
		"tear":     s.wire.tear,
		"mend":     s.wire.mend,
		"restart":  s.restart,
		"kill":     s.kill,
		"back end": s.backend,
		"done":     func() {},
	}
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		last = lines.Text()
		grant := wishes[last]
		if grant == nil {
			t.Errorf("the browser says: %s", last)
			continue
		}
		grant()
		if last == "done" {
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
