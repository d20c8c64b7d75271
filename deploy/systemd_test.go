package deploy

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// TestUnit reads the unit file. Where systemd is installed, its own checker
// reads it too; minimal machines have none, and the rest is still checked.
func TestUnit(t *testing.T) {
	text := read(t, "shaveet.service")
	settings := unitSettings(t, text)
	for key, want := range map[string]string{
		"Service.Type":            "exec",
		"Service.DynamicUser":     "yes",
		"Service.NoNewPrivileges": "yes",
		"Service.ProtectSystem":   "strict",
		"Service.Restart":         "always",
		"Install.WantedBy":        "multi-user.target",
	} {
		if !slices.Contains(settings[key], want) {
			t.Errorf("%s = %q, want %s", key, settings[key], want)
		}
	}
	if settings["Service.MemoryMax"] == nil {
		t.Error("no MemoryMax")
	}
	start := settings["Service.ExecStart"]
	if len(start) != 1 {
		t.Fatalf("ExecStart: %q", start)
	}
	program, args, _ := strings.Cut(start[0], " ")
	acceptsFlags(t, strings.Fields(args))

	checker, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not installed: only the structure was checked")
		return
	}
	unit := filepath.Join(t.TempDir(), "shaveet.service")
	write(t, unit, strings.Replace(text, program, live.Binary(t), 1))
	if out, err := exec.CommandContext(t.Context(), checker, "verify", unit).CombinedOutput(); err != nil || strings.Contains(string(out), "shaveet.service:") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// unitSettings collects "Section.Key" → values, and refuses what is no line
// of a unit file.
func unitSettings(t *testing.T, text string) map[string][]string {
	t.Helper()
	settings := map[string][]string{}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || section == "" {
				t.Errorf("not a setting: %q", line)
			}
			settings[section+"."+key] = append(settings[section+"."+key], value)
		}
	}
	return settings
}

// acceptsFlags has the program print the configuration that the arguments of
// "shaveet serve …" make, which fails if it does not know one of them.
func acceptsFlags(t *testing.T, args []string) {
	t.Helper()
	if len(args) == 0 || args[0] != "serve" {
		t.Errorf("the command is not serve: %q", args)
		return
	}
	cmd := exec.CommandContext(t.Context(), live.Binary(t), append([]string{"config"}, args[1:]...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("shaveet %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
