package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/shaveet/shaveet/server"
)

// namespaceKey is where a file has the tables for namespaces of Socket.IO, each
// under its name: [namespace."/NAME"].
const namespaceKey = "namespace"

// namespaceSettings lists the fields of a table for a namespace.
func namespaceSettings(n *server.NamespaceSettings) (all []setting) {
	v := reflect.ValueOf(n).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		all = append(all, setting{name: server.Key(f.Name), help: f.Tag.Get("help"), live: true, value: v.Field(i)})
	}
	return all
}

// namespaceRules reads the tables for namespaces. They are sorted by name.
func namespaceRules(v any) (rules []server.NamespaceRule, faults []error) {
	tables, ok := v.(map[string]any)
	if !ok {
		return nil, []error{fmt.Errorf(`%s: must be tables such as [%[1]s."/chat"]`, namespaceKey)}
	}
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		rule := server.NamespaceRule{Name: name}
		values, ok := tables[name].(map[string]any)
		if !ok {
			faults = append(faults, fmt.Errorf(`%s.%q: must be a table such as [%[1]s."/chat"]`, namespaceKey, name))
			continue
		}
		for _, err := range applyTable(namespaceSettings(&rule.NamespaceSettings), values) {
			faults = append(faults, fmt.Errorf("%s.%q: %w", namespaceKey, name, err))
		}
		rules = append(rules, rule)
	}
	return rules, faults
}

// printedNamespaces writes tables as a file has them.
func printedNamespaces(rules []server.NamespaceRule) string {
	var b strings.Builder
	for _, r := range rules {
		fmt.Fprintf(&b, "[%s.%s]\n", namespaceKey, strconv.Quote(r.Name))
		for _, s := range namespaceSettings(&r.NamespaceSettings) {
			fmt.Fprintf(&b, "# %s\n%s = %s\n", s.help, s.name, s)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
