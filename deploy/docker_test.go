package deploy

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

const dockerfile = "../Dockerfile"

// TestImage makes by hand what docker build would: the same build command, and
// then the program alone in an empty root, as the image's user. (No Docker is
// needed, and none is used.)
func TestImage(t *testing.T) {
	t.Parallel()
	image := instructions(t, read(t, dockerfile))
	root := t.TempDir()
	program := filepath.Join(root, "shaveet")
	build(t, buildCommand(t, image), program)
	isStatic(t, program)
	if t.Failed() {
		return
	}

	if last(t, image, "ENTRYPOINT") != `["/shaveet"]` || !strings.HasPrefix(lastFrom(image), "scratch") {
		t.Errorf("ENTRYPOINT %s on %s", last(t, image, "ENTRYPOINT"), lastFrom(image))
	}
	command := words(t, last(t, image, "CMD"))
	acceptsFlags(t, command)

	attr := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		uid, gid := user(t, last(t, image, "USER"))
		attr.Chroot, attr.Credential = root, &syscall.Credential{Uid: uid, Gid: gid}
		chmod(t, root, 0o555) // nothing in it can be written, and there is nothing else
		program = "/shaveet"
	} else {
		t.Log("not root: the program runs in the ordinary file system instead of an empty root")
	}
	env := []string{"PATH=/nowhere"}
	listen := live.FreeAddr(t)
	args := append(slices.Clone(command), "--listen", listen, "--public-listen", "127.0.0.1:0")
	server := &exec.Cmd{Path: program, Args: append([]string{program}, args...), Env: env, Dir: "/", SysProcAttr: attr}
	live.Run(t, server)

	// The image's own health check, as Docker would run it.
	check := words(t, strings.TrimPrefix(last(t, image, "HEALTHCHECK")[strings.Index(last(t, image, "HEALTHCHECK"), "CMD"):], "CMD "))
	live.Until(t, "a healthy container", 20*time.Second, func() bool {
		probe := &exec.Cmd{Path: program, Args: check, Env: append(env, "SHAVEET_LISTEN="+listen), Dir: "/", SysProcAttr: attr}
		return probe.Run() == nil
	})
}

// instruction is one line of a Dockerfile, continued lines joined.
type instruction struct{ name, args string }

func instructions(t *testing.T, text string) (list []instruction) {
	t.Helper()
	text = regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(text, "")
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		if name, args, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			list = append(list, instruction{name, strings.TrimSpace(args)})
		}
	}
	return list
}

func last(t *testing.T, image []instruction, name string) string {
	t.Helper()
	for _, in := range slices.Backward(image) {
		if in.name == name {
			return in.args
		}
	}
	t.Fatalf("no %s in the Dockerfile", name)
	return ""
}

func lastFrom(image []instruction) (base string) {
	for _, in := range image {
		if in.name == "FROM" {
			base = in.args
		}
	}
	return base
}

func words(t *testing.T, jsonArray string) (list []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(jsonArray), &list); err != nil {
		t.Fatalf("%s: %v", jsonArray, err)
	}
	return list
}

func user(t *testing.T, arg string) (uid, gid uint32) {
	t.Helper()
	if _, err := fmt.Sscanf(arg, "%d:%d", &uid, &gid); err != nil || uid == 0 || gid == 0 {
		t.Fatalf("USER %s is not a number other than 0", arg)
	}
	return uid, gid
}

// buildCommand is the RUN line that builds the program.
func buildCommand(t *testing.T, image []instruction) string {
	t.Helper()
	i := slices.IndexFunc(image, func(in instruction) bool { return in.name == "RUN" && strings.Contains(in.args, "go build") })
	if i < 0 {
		t.Fatal("no go build in the Dockerfile")
	}
	command := image[i].args
	for _, flag := range []string{"CGO_ENABLED=0", "-trimpath"} {
		if !strings.Contains(command, flag) {
			t.Errorf("no %s in %s", flag, command)
		}
	}
	return command
}

// build runs the image's build command, with its output elsewhere.
func build(t *testing.T, command, output string) {
	t.Helper()
	const target = "-o /out/shaveet "
	if strings.Count(command, target) != 1 {
		t.Fatalf("no %q in %s", target, command)
	}
	command = strings.Replace(command, target, "-o '"+output+"' ", 1)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = live.Root(t)
	cmd.Env = append(os.Environ(), "VERSION=test")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	if out, err := exec.CommandContext(t.Context(), output, "version").Output(); err != nil || !strings.Contains(string(out), "test") {
		t.Errorf("shaveet version: %q, %v", out, err)
	}
}

// isStatic: an empty image has no loader and no libraries.
func isStatic(t *testing.T, program string) {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the program wants a loader")
	}
	if libraries, _ := file.ImportedLibraries(); len(libraries) > 0 {
		t.Errorf("the program wants %q", libraries)
	}
}

// chmod lets the image's user reach dir, and puts it back for cleaning up.
func chmod(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
}
