package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/shaveet/shaveet/server"
)

// zeromqKey is where a file has the tables for ZeroMQ sockets: [[zeromq]].
const zeromqKey = "zeromq"

// socketTypes are the types of sockets.
var socketTypes = []string{"sub", "pull", "pub", "rep"}

// A socketConfig is one socket's table.
type socketConfig = server.SocketConfig

// socketSettings lists the fields of a table for a socket of its type.
func socketSettings(c *socketConfig) (all []setting) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if server.ConcernsSocket(f.Tag, c.Type) {
			all = append(all, setting{name: server.Key(f.Name), help: f.Tag.Get("help"), value: v.Field(i)})
		}
	}
	return all
}

// socketConfigs reads the tables for sockets, in their order.
func socketConfigs(v any) (all []socketConfig, faults []error) {
	tables, ok := v.([]map[string]any)
	if !ok {
		return nil, []error{fmt.Errorf("%s: must be tables, each of which begins with [[%s]]", zeromqKey, zeromqKey)}
	}
	for i, values := range tables {
		c := server.DefaultSocketConfig()
		kind, _ := values["type"].(string) // by which it is known what else it may have
		if !slices.Contains(socketTypes, kind) {
			faults = append(faults, fmt.Errorf("%s %d: type: must be sub, pull, pub or rep, not %q", zeromqKey, i+1, kind))
			continue
		}
		c.Type = kind
		for _, err := range applyTable(socketSettings(&c), values) {
			faults = append(faults, fmt.Errorf("%s %d: %w", zeromqKey, i+1, err))
		}
		all = append(all, c)
	}
	return all, faults
}

// printedSockets writes tables as a file has them. What says nothing, and does
// not by default either, is left out.
func printedSockets(all []socketConfig) string {
	var b strings.Builder
	for _, c := range all {
		unsaid := server.DefaultSocketConfig()
		unsaid.Type = c.Type
		byDefault := socketSettings(&unsaid)
		fmt.Fprintf(&b, "[[%s]]\n", zeromqKey)
		for i, s := range socketSettings(&c) {
			if !s.value.IsZero() || !byDefault[i].value.IsZero() {
				fmt.Fprintf(&b, "# %s\n%s = %s\n", s.help, s.name, s)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
