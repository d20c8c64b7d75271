package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/shaveet/shaveet/bench"
	"github.com/shaveet/shaveet/examples/gallery"
)

// The scripts know nothing but this: they hand the words to the program, and
// show what it prints. Where it prints nothing, files are completed.
const (
	bashScript = `_shaveet() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]/#\~/$HOME}" completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o bashdefault -o default -F _shaveet shaveet
`
	zshScript = `#compdef shaveet
_shaveet() {
    local -a found
    found=("${(@f)$("${words[1]/#\~/$HOME}" completion described "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found[1]" ]]; then
        _describe 'shaveet' found
    else
        _files
    fi
}
compdef _shaveet shaveet
`
	fishScript = `function __shaveet_words
    set -l words (commandline -opc) (commandline -ct)
    $words[1] completion tabbed $words[2..-1] 2>/dev/null
end
complete -c shaveet -n 'count (__shaveet_words) >/dev/null' -f
complete -c shaveet -a '(__shaveet_words)'
`
)

var scripts = map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}

// completion prints a shell's script, or answers what such a script asks: how
// the last of the words may go on.
func (p *program) completion(ctx context.Context, args []string) error {
	if len(args) > 1 {
		if write, ok := candidateForms[args[0]]; ok {
			for _, c := range p.complete(ctx, args[1:]) {
				fmt.Fprintln(p.stdout, write(c))
			}
			return nil
		}
	}
	fs := p.flagSet("completion")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	script, ok := scripts[fs.Arg(0)]
	if !ok || fs.NArg() != 1 {
		return p.misuse(fs, "which shell?")
	}
	fmt.Fprint(p.stdout, script)
	return nil
}

// A candidate is one way to go on, and what it means.
type candidate struct{ word, help string }

// candidateForms are the ways the shells want candidates written.
var candidateForms = map[string]func(candidate) string{
	"words": func(c candidate) string { return c.word },
	"described": func(c candidate) string {
		return strings.ReplaceAll(c.word, ":", `\:`) + ":" + c.help
	},
	"tabbed": func(c candidate) string { return c.word + "\t" + c.help },
}

// complete lists how the last of the words may go on. There is none where
// anything may stand, or a file.
func (p *program) complete(ctx context.Context, words []string) []candidate {
	last := len(words) - 1
	before, current := words[:last], words[last]
	if len(before) == 0 && !strings.HasPrefix(current, "-") {
		return starting(current, commandCandidates())
	}
	name := "serve"
	if len(before) > 0 && !strings.HasPrefix(before[0], "-") {
		name, before = before[0], before[1:]
	}
	flags := p.flagsOf(name)
	given, open := passOver(flags, before)
	switch {
	case open != nil:
		return starting(current, valueCandidates(open))
	case strings.HasPrefix(current, "-"):
		return starting(current, flagCandidates(flags))
	case given > 0:
		return nil
	}
	switch name {
	case "help":
		return starting(current, commandCandidates())
	case "completion":
		return starting(current, []candidate{{"bash", ""}, {"fish", ""}, {"zsh", ""}})
	case "call":
		return starting(current, p.methodCandidates(ctx, flags))
	case "bench":
		var all []candidate
		for _, name := range bench.Workloads() {
			all = append(all, candidate{name, ""})
		}
		return starting(current, all)
	case "demo":
		var all []candidate
		for _, name := range gallery.Names() {
			all = append(all, candidate{name, ""})
		}
		return starting(current, all)
	}
	return nil
}

func starting(with string, all []candidate) (some []candidate) {
	for _, c := range all {
		if strings.HasPrefix(c.word, with) {
			some = append(some, c)
		}
	}
	return some
}

func commandCandidates() (all []candidate) {
	for _, c := range commands() {
		all = append(all, candidate{c.name, c.summary})
	}
	return all
}

// flagsOf is what a command can be told. Nothing else of the command runs.
func (p *program) flagsOf(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	ask := *p
	ask.stdout, ask.stderr = io.Discard, io.Discard
	ask.onFlags = func(fs *flag.FlagSet) { flags = fs }
	if c, ok := findCommand(name); ok {
		c.run(&ask, context.Background(), nil)
	}
	return flags
}

func flagCandidates(flags *flag.FlagSet) (all []candidate) {
	flags.VisitAll(func(f *flag.Flag) {
		_, help := flag.UnquoteUsage(f)
		all = append(all, candidate{dashes(f.Name) + f.Name, help})
	})
	return append(all, candidate{"--help", "print the flags"})
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-"
	}
	return "--"
}

// valueCandidates are the values of a flag that has only some.
func valueCandidates(f *flag.Flag) (all []candidate) {
	var values []string
	switch v := f.Value.(type) {
	case *choice:
		values = v.all
	case *chosen:
		values = v.all
	}
	for _, value := range values {
		all = append(all, candidate{word: value})
	}
	return all
}

// passOver reads the words that have been typed: how many are arguments, and
// the last if it is a flag that wants a value yet. The flags get the values
// they were given, as far as those make sense.
func passOver(flags *flag.FlagSet, words []string) (arguments int, open *flag.Flag) {
	for i := 0; i < len(words); i++ {
		if !strings.HasPrefix(words[i], "-") || words[i] == "-" {
			arguments++
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(words[i], "-"), "=")
		f := flags.Lookup(name)
		if f == nil || isSwitch(f) {
			continue
		}
		if !hasValue {
			if i++; i == len(words) {
				return arguments, f
			}
			value = words[i]
		}
		_ = flags.Set(name, value) // who completes is still typing
	}
	return arguments, nil
}

func isSwitch(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// completionTimeout is how long somebody who presses Tab waits for a server.
const completionTimeout = 500 * time.Millisecond

// methodCandidates are the methods of the server that call would ask, or, if
// it is not there, those of ours.
func (p *program) methodCandidates(ctx context.Context, flags *flag.FlagSet) (all []candidate) {
	names := builtinMethods
	if api, err := p.adminAt(valueIn(flags, "url"), valueIn(flags, "admin-token-file")); err == nil {
		ctx, cancel := context.WithTimeout(ctx, completionTimeout)
		defer cancel()
		if asked, err := api.methods(ctx); err == nil {
			names = asked
		}
	}
	for _, name := range names {
		all = append(all, candidate{word: name})
	}
	return all
}

func valueIn(flags *flag.FlagSet, name string) string {
	if f := flags.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

// methods asks the server for the names of its methods.
func (a *adminAPI) methods(ctx context.Context) ([]string, error) {
	var listed []struct{ Name string }
	if err := a.get(ctx, "system.list_methods", []string{}, &listed); err != nil {
		return nil, err
	}
	var names []string
	for _, m := range listed {
		if !strings.ContainsFunc(m.Name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// builtinMethods are the methods of a server of this version.
var builtinMethods = []string{
	"broadcast",
	"channels",
	"clients",
	"cluster",
	"create_client",
	"declare_namespace",
	"delete_channel",
	"disconnect",
	"disconnect_sockets",
	"emit",
	"emit_with_ack",
	"fetch_sockets",
	"get_channel_clients",
	"get_client_channels",
	"history",
	"info",
	"kill_client",
	"new_message",
	"presence",
	"publish",
	"publish_many",
	"reload",
	"rotate_key",
	"rpc.discover",
	"set_socket_data",
	"sockets_join",
	"sockets_leave",
	"stats",
	"subscribe",
	"subscribe_many",
	"system.describe",
	"system.list_methods",
	"unsubscribe",
	"unsubscribe_all_channel",
	"unsubscribe_many",
}
