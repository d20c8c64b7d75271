package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

func completed(t *testing.T, env []string, words ...string) []string {
	t.Helper()
	got := run(t, env, append([]string{"completion", "words"}, words...)...)
	if got.code != 0 || got.stderr != "" {
		t.Errorf("completing %q: %+v", words, got)
	}
	return strings.Fields(got.stdout)
}

// nowhere is an environment in which no server is found.
var nowhere = []string{"SHAVEET_URL=http://127.0.0.1:1/"}

func TestComplete(t *testing.T) {
	for _, tt := range []struct {
		words []string
		want  string
	}{
		{[]string{"l"}, "listen"},
		{[]string{"c"}, "call cluster config completion"},
		{[]string{"x"}, ""},
		{[]string{"--poll-t"}, "--poll-timeout"},
		{[]string{"serve", "--poll-t"}, "--poll-timeout"},
		{[]string{"demo", "--ope"}, "--open"},
		{[]string{"listen", "--p"}, "--presence --public-url"},
		{[]string{"listen", "room", "--js"}, "--json"},
		{[]string{"listen", "--json", "r"}, ""},
		{[]string{"listen", "--t"}, "--transport"},
		{[]string{"listen", "--transport", ""}, "auto websocket sse stream longpoll"},
		{[]string{"listen", "room", "--transport", "s"}, "sse stream"},
		{[]string{"listen", "--transport", "sse", ""}, ""},
		{[]string{"doctor", "--"}, "--admin-token-file --admin-url --ca-file --hold --json --origin --quick --timeout --help"},
		{[]string{"publish", "-q"}, ""},
		{[]string{"publish", "--q"}, "--quiet"},
		{[]string{"serve", "--config", ""}, ""}, // a file
		{[]string{"completion", ""}, "bash fish zsh"},
		{[]string{"completion", "z"}, "zsh"},
		{[]string{"help", "d"}, "demo doctor"},
		{[]string{"version", ""}, ""},
		{[]string{"call", "kill"}, "kill_client"},
		{[]string{"call", "system."}, "system.describe system.list_methods"},
		{[]string{"call", "--url", ""}, ""},
		{[]string{"call", "--url", "http://127.0.0.1:1/", "kill"}, "kill_client"},
		{[]string{"call", "--url=http://127.0.0.1:1/", "kill"}, "kill_client"},
		{[]string{"call", "kill_client", ""}, ""},
		{[]string{"nonsense", "--"}, "--help"},
	} {
		if got := strings.Join(completed(t, nowhere, tt.words...), " "); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.words, got, tt.want)
		}
	}
}

// Every flag of every command is completed.
func TestCompleteEveryFlag(t *testing.T) {
	for _, c := range commands() {
		if c.name == "version" || c.name == "help" {
			continue
		}
		got := completed(t, nowhere, c.name, "-")
		for line := range strings.Lines(run(t, nil, "help", c.name).stdout) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "  ")
			if strings.HasPrefix(line, "  -") && !slices.Contains(got, word) {
				t.Errorf("%s: %s is not completed", c.name, word)
			}
		}
	}
}

// The built-in names are those of the server of today.
func TestCompleteMethods(t *testing.T) {
	_, addr := serving(t, nil)
	asked, err := newAdminAPI("http://"+addr("main")+"/", "").methods(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(asked, builtinMethods) {
		t.Errorf("builtinMethods in completion.go should be\n\t%q,", asked)
	}
	env := []string{"SHAVEET_URL=http://" + addr("main") + "/"}
	if got := completed(t, env, "call", ""); !slices.Equal(got, asked) {
		t.Errorf("of a server: %q", got)
	}
}

func TestCompletionScripts(t *testing.T) {
	for shell := range scripts {
		if got := run(t, nil, "completion", shell); got.code != 0 || !strings.Contains(got.stdout, "shaveet") {
			t.Errorf("%s: %+v", shell, got)
		}
	}
	for _, args := range []string{"", "tcsh", "bash zsh"} {
		if got := run(t, nil, append([]string{"completion"}, strings.Fields(args)...)...); got.code != 2 || !strings.Contains(got.stderr, "Usage") {
			t.Errorf("completion %s: %+v", args, got)
		}
	}
	if got := run(t, nowhere, "completion", "described", "call", "info"); got.stdout != "info:\n" {
		t.Errorf("for zsh: %+v", got)
	}
	if got := run(t, nowhere, "completion", "tabbed", "listen", "--jso"); !strings.HasPrefix(got.stdout, "--json\tprint the messages") {
		t.Errorf("for fish: %+v", got)
	}
}

// quickExit keeps a program with the race detector in it from sleeping for a
// second at its end.
const quickExit = "GORACE=atexit_sleep_ms=0"

// A real bash, with the real program under a name with a space in it.
func TestBashCompletion(t *testing.T) {
	bash := live.Tool(t, "bash")
	dir := filepath.Join(t.TempDir(), "my programs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "shaveet")
	if err := os.Symlink(live.Binary(t), program); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		words []string // after the program; the last is being typed
		want  string
	}{
		{[]string{"doc"}, "doctor"},
		{[]string{"li"}, "listen"},
		{[]string{"listen", "--pre"}, "--presence"},
		{[]string{"listen", "--transport", "l"}, "longpoll"},
		{[]string{"call", "system.l"}, "system.list_methods"},
		{[]string{"call", "*"}, ""},
		{[]string{"completion", ""}, "bash fish zsh"},
	} {
		quoted := ""
		for _, w := range append([]string{program}, tt.words...) {
			quoted += " '" + w + "'"
		}
		script := fmt.Sprintf(`set -eu
source <(%q completion bash)
complete -p shaveet >/dev/null
COMP_WORDS=(%s) COMP_CWORD=%d
_shaveet || true
echo "${COMPREPLY[*]-}"`, program, quoted, len(tt.words))
		cmd := exec.Command(bash, "--norc", "-c", script)
		cmd.Env = append(os.Environ(), append(nowhere, quickExit)...)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != tt.want {
			t.Errorf("%q: %q, %v; want %q", tt.words, got, err, tt.want)
		}
	}
}

// Other shells are tried where they are.
func TestOtherShells(t *testing.T) {
	for shell, check := range map[string][]string{"zsh": {"-n"}, "fish": {"--no-execute"}} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not here", shell)
			continue
		}
		script := file(t, shell, scripts[shell])
		if out, err := exec.Command(path, append(check, script)...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", shell, err, out)
		}
	}
}
