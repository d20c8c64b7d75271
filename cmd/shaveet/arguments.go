package main

import (
	"flag"
	"strings"
)

// parseMixed reads flags wherever they stand among the arguments, up to a "--",
// and returns the arguments that are none.
func (p *program) parseMixed(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := p.parse(fs, args); err != nil {
			return nil, err
		}
		left := fs.Args()
		if end := len(args) - len(left); end > 0 && args[end-1] == "--" {
			return append(rest, left...), nil
		}
		if len(left) == 0 {
			return rest, nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

// A listFlag is a flag of several values: given more than once, or with commas.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, ",") }

func (l *listFlag) Set(text string) error {
	*l = append(*l, strings.Split(text, ",")...)
	return nil
}
