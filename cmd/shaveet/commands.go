package main

import (
	"context"
	"fmt"
	"strings"
)

// A command is what the program can be told to do.
type command struct {
	name    string
	summary string // a line for the usage
	run     func(p *program, ctx context.Context, args []string) error
}

// commands lists the commands in the order of the usage.
func commands() []command {
	return []command{
		{"serve", "run the server (also without a command)", (*program).serve},
		{"demo", "run the server and all examples on one page to try it with: shaveet demo [EXAMPLE]", (*program).demo},
		{"call", "call a method of the admin API: shaveet call METHOD [JSON …]", (*program).call},
		{"publish", "say something in a channel: shaveet publish CHANNEL [DATA]", (*program).publish},
		{"listen", "print what is said in channels: shaveet listen CHANNEL …", (*program).listen},
		{"doctor", "check a running installation from outside: shaveet doctor [URL]", (*program).doctor},
		{"bench", "load a server and measure what that costs it: shaveet bench [WORKLOAD]", (*program).bench},
		{"cluster", "show the nodes that share a log in Redis: shaveet cluster status", (*program).cluster},
		{"config", "print the configuration in force", func(p *program, _ context.Context, args []string) error { return p.printConfig(args) }},
		{"healthcheck", "exit with 0 if a server is healthy: shaveet healthcheck [URL]", (*program).healthcheck},
		{"completion", "print a script that completes commands: shaveet completion bash|zsh|fish", (*program).completion},
		{"version", "print the version", (*program).version},
		{"help", "print this; help COMMAND prints the flags of a command", (*program).help},
	}
}

func findCommand(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

func usage() string {
	var b strings.Builder
	b.WriteString("Shaveet pushes messages from your backend to browsers.\n\nUsage: shaveet [COMMAND] [FLAGS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-12s %s\n", c.name, c.summary)
	}
	return b.String()
}
