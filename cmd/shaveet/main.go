// Shaveet is a push server that runs beside a web backend. Run `shaveet help`
// for what it can do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

// version is set by the linker when a release is built.
var version = ""

// A program is one run of the command: what it is given, and where it writes.
type program struct {
	args   []string // without the program's name
	env    []string // as os.Environ
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	// onFlags, if not nil, is given a command's flags in place of their being
	// parsed, and the command ends there. Completion asks so.
	onFlags func(*flag.FlagSet)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once: whoever sends it has waited
	// long enough.
	context.AfterFunc(ctx, stop)
	p := program{args: os.Args[1:], env: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(p.run(ctx))
}

// errUsage ends the program with a hint at how it is used, which has been
// printed already.
var errUsage = errors.New("usage")

// run does what the arguments say and returns the exit status: 0, 1 for a
// failure, 2 for arguments that make no sense.
func (p *program) run(ctx context.Context) int {
	name, args := "serve", p.args
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	if name == "serve" && len(args) == 1 && (args[0] == "--version" || args[0] == "-version") {
		name, args = "version", nil
	}
	c, known := findCommand(name)
	if !known {
		fmt.Fprintf(p.stderr, "shaveet: no such command: %s\n\n%s", name, usage())
		return 2
	}
	if c.name != "serve" && c.name != "demo" { // whose log is safe
		p.stdout, p.stderr = escaped{p.stdout}, escaped{p.stderr}
	} else {
		log := newLogWriter(p.stderr)
		defer log.close()
		p.stderr = log
	}
	if c.name != "serve" { // which reads its configuration anew
		var stop context.CancelFunc
		ctx, stop = untilHangup(ctx)
		defer stop()
	}
	err := c.run(p, ctx, args)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	fmt.Fprintln(p.stderr, "shaveet:", err)
	return 1
}

// help prints what a command can be told, which every command prints itself.
func (p *program) help(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "version" {
		fmt.Fprint(p.stdout, usage())
		return nil
	}
	again := *p
	again.args = []string{args[0], "--help"}
	again.stderr = p.stdout
	if again.run(ctx) != 0 {
		return errUsage
	}
	return nil
}

// version prints the version.
func (p *program) version(context.Context, []string) error {
	fmt.Fprintln(p.stdout, "shaveet", versionString())
	return nil
}

// versionString is the release, or what the Go tool knows of the build.
func versionString() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}
