package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/shaveet/shaveet/server"
	"github.com/shaveet/shaveet/server/hub"
)

// tables are what a file has of one kind, each under a name: [key."NAME"].
type tables[R any] struct {
	key      string
	example  string         // of a name
	make     func(string) R // with the defaults
	name     func(R) string
	settings func(*R) []setting // the fields of one
}

var channelTables = tables[hub.ChannelRule]{
	key: "channel", example: "chat.*",
	make: func(pattern string) hub.ChannelRule {
		return hub.ChannelRule{Pattern: pattern, ChannelSettings: hub.DefaultChannelSettings()}
	},
	name:     func(r hub.ChannelRule) string { return r.Pattern },
	settings: func(r *hub.ChannelRule) []setting { return fieldSettings(&r.ChannelSettings) },
}

var namespaceTables = tables[server.NamespaceRule]{
	key: "namespace", example: "/chat",
	make:     func(name string) server.NamespaceRule { return server.NamespaceRule{Name: name} },
	name:     func(r server.NamespaceRule) string { return r.Name },
	settings: func(r *server.NamespaceRule) []setting { return fieldSettings(&r.NamespaceSettings) },
}

var webhookTables = tables[server.WebhookRule]{
	key: "webhook", example: "chat",
	make:     func(name string) server.WebhookRule { return server.WebhookRule{Name: name} },
	name:     func(r server.WebhookRule) string { return r.Name },
	settings: func(r *server.WebhookRule) []setting { return fieldSettings(&r.WebhookSettings) },
}

// fieldSettings lists the fields of a table.
func fieldSettings(table any) (all []setting) {
	v := reflect.ValueOf(table).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		all = append(all, setting{name: server.Key(f.Name), help: f.Tag.Get("help"), secret: f.Tag.Get("secret") != "", live: true, value: v.Field(i)})
	}
	return all
}

// read takes the tables out of a file's values, if there are any. They are sorted
// by name.
func (t tables[R]) read(values map[string]any, to *[]R) (faults []error) {
	v, ok := values[t.key]
	if !ok {
		return nil
	}
	delete(values, t.key)
	named, ok := v.(map[string]any)
	if !ok {
		return []error{fmt.Errorf("%s: must be tables such as [%s.%q]", t.key, t.key, t.example)}
	}
	*to = nil
	for _, name := range slices.Sorted(maps.Keys(named)) {
		rule := t.make(name)
		fields, ok := named[name].(map[string]any)
		if !ok {
			faults = append(faults, fmt.Errorf("%s.%q: must be a table such as [%s.%q]", t.key, name, t.key, t.example))
			continue
		}
		for _, err := range applyTable(t.settings(&rule), fields) {
			faults = append(faults, fmt.Errorf("%s.%q: %w", t.key, name, err))
		}
		*to = append(*to, rule)
	}
	return faults
}

// printed writes tables as a file has them, without secrets.
func (t tables[R]) printed(rules []R) string {
	var b strings.Builder
	for _, r := range rules {
		fmt.Fprintf(&b, "[%s.%s]\n", t.key, strconv.Quote(t.name(r)))
		for _, s := range t.settings(&r) {
			hidden := ""
			if s.secret && !s.value.IsZero() {
				hidden = "# "
			}
			fmt.Fprintf(&b, "# %s\n%s%s = %s\n", s.help, hidden, s.name, s)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
