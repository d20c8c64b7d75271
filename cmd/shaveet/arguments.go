package main

import (
	"errors"
	"flag"
	"slices"
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

// A choice is a flag that has one of some values.
type choice struct {
	value string
	all   []string
}

func (c *choice) String() string { return c.value }

func (c *choice) Set(text string) error {
	if !slices.Contains(c.all, text) {
		return errors.New("must be " + c.list())
	}
	c.value = text
	return nil
}

func (c *choice) list() string {
	last := len(c.all) - 1
	return strings.Join(c.all[:last], ", ") + " or " + c.all[last]
}

// transports are those that are chosen, the best first.
func (c *choice) transports() []string {
	if c.value == auto {
		return transportNames()
	}
	return []string{c.value}
}
