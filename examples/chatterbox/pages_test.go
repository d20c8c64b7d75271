package chatterbox_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// startTheBrowser starts one, which takes a while, and returns what has it tell
// browser/page.mjs, about a page of each web application; it asks us for what
// only we can do. With PICTURES set to a folder it leaves screenshots there.
func (w *world) startTheBrowser(t *testing.T) (tell func(*testing.T)) {
	t.Helper()
	live.Track(t, "browser/page.mjs", "../../client-js/test/browser/browser.mjs")
	cmd := exec.CommandContext(t.Context(), live.Tool(t, "node"), "browser/page.mjs")
	cmd.Env = append(os.Environ(), "A="+w.a.url+"/", "B="+w.b.url+"/")
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
	return func(t *testing.T) {
		last := ""
		wishes := w.wishes(t)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			last = lines.Text()
			grant, ok := wishes[last]
			if !ok {
				t.Errorf("the browser says: %s", last)
				continue
			}
			grant()
			_, _ = io.WriteString(in, "\n") // after its last word nobody waits for it
		}
		if err := cmd.Wait(); err != nil || last != "done" {
			t.Errorf("the browser's last word was %q: %v", last, err)
		}
	}
}

// wishes are what the browser may ask for.
func (w *world) wishes(t *testing.T) map[string]func() {
	return map[string]func(){
		"begin": func() {},
		"cut":   func() { w.toPages.Retarget(""); w.toPages.Sever() },
		"mend":  func() { w.toPages.Retarget(w.public()) },
		"stop":  w.srv.Kill,
		"start": w.srv.Restart,
		"kill":  func() { w.a.kill(t) },
		"run":   func() { w.a.run(t) },
		"away": func() { // what is said while the pages cannot hear
			w.a.says(t, map[string]string{"u": "test", "m": "said meanwhile at A"})
			w.b.says(t, map[string]string{"u": "test", "m": "said meanwhile at B"})
		},
		"hostile": func() {
			w.push(t, hostile...)
			w.push(t, `{"u": "test", "m": "that was all"}`)
		},
		"dismiss": func() { w.dismiss(t) },
		"done":    func() {},
	}
}

// dismiss sends all pages away, as an operator can.
func (w *world) dismiss(t *testing.T) {
	t.Helper()
	var members struct {
		Result []string
	}
	w.call(t, `{"jsonrpc": "2.0", "id": 1, "method": "get_channel_clients", "params": ["chatterbox"]}`, &members)
	for _, id := range members.Result {
		w.call(t, `{"jsonrpc": "2.0", "id": 1, "method": "kill_client", "params": ["`+id+`"]}`, nil)
	}
	if len(members.Result) < 2 {
		t.Errorf("there are %d members", len(members.Result))
	}
}
