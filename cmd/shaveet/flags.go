package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"reflect"
	"strings"

	"github.com/shaveet/shaveet/server"
)

const daemonHelp = `Shaveet does not put itself into the background: whoever starts it should also
restart it and keep its log. As a service of the system, with systemd:

  cp deploy/shaveet.service /etc/systemd/system/ && systemctl enable --now shaveet

In a container or under another supervisor, run "shaveet serve" as it is; it
logs to standard error and ends cleanly on SIGTERM. For a quick try in a shell:

  nohup shaveet serve 2>>shaveet.log &
`

// configure reads the configuration for a command: defaults, then the file,
// then the environment, then the flags. more, if not nil, declares flags of
// the command's own. The arguments that are left are returned.
func (p *program) configure(command string, base server.Config, args []string, more func(*flag.FlagSet)) (server.Config, []string, error) {
	cfg := base
	all := settings(&cfg)
	fs := p.flagSet(command)
	path := fs.String("config", p.getenv("SHAVEET_CONFIG"), "TOML `file` to read")
	port := fs.Int("p", 0, "`port` of the main door on 127.0.0.1; short for --listen")
	fs.IntVar(port, "port", 0, "the same as -p")
	daemon := fs.Bool("d", false, "explain how to run as a service")
	fs.BoolVar(daemon, "daemon", false, "the same as -d")
	given := make(map[string]string)
	for _, s := range all {
		declare := fs.Func
		if s.value.Kind() == reflect.Bool {
			declare = fs.BoolFunc // without a value it is true
		}
		declare(s.flag(), s.help+defaultText(s), func(text string) error {
			given[s.name] = text
			return nil
		})
	}
	if more != nil {
		more(fs)
	}
	if err := p.parse(fs, args); err != nil {
		return cfg, nil, err
	}
	if *daemon {
		fmt.Fprint(p.stderr, daemonHelp)
		return cfg, nil, errUsage
	}
	if err := p.apply(&cfg, all, *path, given, *port); err != nil {
		return cfg, nil, err
	}
	return cfg, fs.Args(), cfg.Validate()
}

func (p *program) apply(cfg *server.Config, all []setting, path string, given map[string]string, port int) error {
	if path != "" {
		if err := applyFile(cfg, path); err != nil {
			return err
		}
	}
	if err := applyEnv(all, p.env); err != nil {
		return err
	}
	if port != 0 {
		cfg.Listen = net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	}
	for _, s := range all {
		text, ok := given[s.name]
		if !ok {
			continue
		}
		if err := s.setText(text); err != nil {
			return fmt.Errorf("--%s: %w", s.flag(), err)
		}
	}
	return errors.Join(readToken(cfg), readSecrets(cfg))
}

func defaultText(s setting) string {
	switch text := s.String(); text {
	case `""`, "[]", "0":
		return ""
	default:
		return " (default " + strings.Trim(text, `"`) + ")"
	}
}

func (p *program) flagSet(command string) *flag.FlagSet {
	fs := flag.NewFlagSet("shaveet "+command, flag.ContinueOnError)
	fs.SetOutput(p.stderr)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "Usage: shaveet %s\n\n", synopsis[command])
		printFlags(fs)
	}
	return fs
}

var synopsis = map[string]string{
	"serve":       "[serve] [FLAGS]\n\nRuns the server. Every flag is also a key of the --config file, with _ for -,\nand an environment variable: --poll-timeout is SHAVEET_POLL_TIMEOUT.",
	"demo":        "demo [EXAMPLE] [--open] [FLAGS]\n\nRuns the server and all examples on one page, with the calls and the bytes on\nthe wire as they happen. EXAMPLE is one of those in examples/, such as\nlive-graph or chat, and is opened first.",
	"config":      "config [FLAGS]\n\nPrints the configuration that serve would use with the same flags.",
	"call":        "call [FLAGS] METHOD [JSON …]\n\nCalls a method of the admin API and prints its result. A parameter that is not\nJSON is taken as a string.",
	"publish":     "publish [FLAGS] CHANNEL [DATA]\n\nSays DATA in a channel: as JSON if it is JSON, else as a string. Without DATA, or\nwith -, each line of standard input is a message; blank lines are passed over.",
	"listen":      "listen [FLAGS] CHANNEL …\n\nPrints what is said in channels until it is interrupted, or nobody reads it. For\nthis it makes a client of its own, which it removes at the end. A channel that\ndoes not exist is made by subscribing to it. The client does so again when the\nbackend takes it off a channel or deletes that, which is then made anew.",
	"doctor":      "doctor [FLAGS] [URL]\n\nChecks a running installation from outside. URL is the address that browsers use.\nWith the admin API it makes a client of its own, which it removes at the end.\nExits with 1 if something FAILs, or if it cannot end its work.",
	"bench":       "bench [FLAGS] [WORKLOAD]\n\nLoads a server and measures what that costs it: one that it starts, or the one at\n--url. WORKLOAD is fanout (a message to all readers), many (messages to one reader\neach), latency (a message every 20 ms), idle (memory), publish (no readers) or churn\n(readers that come and go), and brings its own readers, channels and window. Exits\nwith 1 if a message is lost, comes twice, out of order or to the wrong reader. What\nthe figures mean is in docs/benchmarks.md.",
	"completion":  "completion bash|zsh|fish\n\nPrints a script that makes a shell complete commands, flags and methods:\n\n  source <(shaveet completion bash)     in ~/.bashrc\n  source <(shaveet completion zsh)      in ~/.zshrc, after compinit\n  shaveet completion fish | source      in ~/.config/fish/config.fish",
	"cluster":     "cluster [FLAGS] status\n\nShows the nodes that share a log in Redis, as the node that is asked knows them:\nwhat each has of the log, how late it was, and how many readers it has. The keeper\nis the one that sees to what belongs to no node.",
	"healthcheck": "healthcheck [FLAGS] [URL]\n\nExits with 0 if the server at URL is healthy, else with 1. Without a URL it asks\nthe one that serve would run with the same flags.",
}

// printFlags prints a line for each flag, with its argument's kind left out
// where the help says it all.
func printFlags(fs *flag.FlagSet) {
	var lines [][2]string
	fs.VisitAll(func(f *flag.Flag) {
		dashes := "--"
		if len(f.Name) == 1 {
			dashes = "-"
		}
		_, help := flag.UnquoteUsage(f)
		lines = append(lines, [2]string{dashes + f.Name, help})
	})
	width := 0
	for _, l := range lines {
		width = max(width, len(l[0]))
	}
	for _, l := range lines {
		fmt.Fprintf(fs.Output(), "  %-*s  %s\n", width, l[0], l[1])
	}
}

// parse reads the flags. The flag package has told the user what is wrong.
func (p *program) parse(fs *flag.FlagSet, args []string) error {
	if p.onFlags != nil {
		p.onFlags(fs)
		return flag.ErrHelp
	}
	usage := fs.Usage
	fs.Usage = func() {} // fifty lines of flags would hide what is wrong
	err := fs.Parse(args)
	fs.Usage = usage
	switch {
	case errors.Is(err, flag.ErrHelp):
		fs.SetOutput(p.stdout) // it was asked for
		usage()
	case err != nil:
		p.hint(fs)
		return errUsage
	}
	return err
}

// misuse says what is wrong with a command's arguments, and how to learn more.
func (p *program) misuse(fs *flag.FlagSet, what string) error {
	fmt.Fprintf(p.stderr, "%s: %s\n", fs.Name(), what)
	p.hint(fs)
	return errUsage
}

func (p *program) hint(fs *flag.FlagSet) {
	command := strings.TrimPrefix(fs.Name(), "shaveet ")
	first, _, _ := strings.Cut(synopsis[command], "\n")
	fmt.Fprintf(p.stderr, "Usage: shaveet %s\nshaveet help %s says more.\n", first, command)
}

func (p *program) getenv(key string) string {
	for _, line := range p.env {
		if value, ok := strings.CutPrefix(line, key+"="); ok {
			return value
		}
	}
	return ""
}
