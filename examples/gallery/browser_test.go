package gallery

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// TestPage has two people go through all that the demo shows, each in a browser
// of their own: browser/page.mjs tells the story. Each example works, and shows
// its calls and bytes. With PICTURES set to a folder it leaves screenshots there.
func TestPage(t *testing.T) {
	live.Track(t, "browser/page.mjs", "../../client-js/test/browser/browser.mjs", "../../client-js/dist/shaveet.js")
	for _, folder := range []string{"page", "../chat/page", "../chatterbox/page", "../live-graph/page", "../rooms/page", "../socketio-chat/page", "../stream/page", "../notifications/page"} {
		live.Track(t, filesOf(t, folder)...)
	}
	demo := exec.Command(live.Binary(t), "demo", "--listen", "127.0.0.1:0", "--public-listen", "127.0.0.1:0", "--page-listen", "127.0.0.1:0")
	output := live.Run(t, demo)
	var page string
	live.Until(t, "the demo says where it is", 30*time.Second, func() bool {
		page = regexp.MustCompile(`http://127\.0\.0\.1:[1-9]\d*/`).FindString(output())
		return page != "" && strings.Contains(output(), "Ctrl-C")
	})
	cmd := exec.CommandContext(t.Context(), live.Tool(t, "node"), "browser/page.mjs")
	cmd.Env = append(os.Environ(), "PAGE="+page)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "done") {
		t.Errorf("the browser: %v\n%s\nthe demo:\n%s", err, out, output())
	}
}

func filesOf(t *testing.T, folder string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			all = append(all, folder+"/"+e.Name())
		}
	}
	return all
}
