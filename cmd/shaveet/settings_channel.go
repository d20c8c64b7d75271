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

// tablesKey is where a file has the tables for channels, each under the pattern
// of their names: [channel."PATTERN"].
const tablesKey = "channel"

// channelSettings lists the fields of a table for channels.
func channelSettings(c *hub.ChannelSettings) (all []setting) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		all = append(all, setting{name: server.Key(f.Name), help: f.Tag.Get("help"), live: true, value: v.Field(i)})
	}
	return all
}

// channelRules reads the tables for channels. They are sorted by pattern.
func channelRules(v any) (rules []hub.ChannelRule, faults []error) {
	tables, ok := v.(map[string]any)
	if !ok {
		return nil, []error{fmt.Errorf(`%s: must be tables such as [%s."chat.*"]`, tablesKey, tablesKey)}
	}
	for _, pattern := range slices.Sorted(maps.Keys(tables)) {
		rule := hub.ChannelRule{Pattern: pattern, ChannelSettings: hub.DefaultChannelSettings()}
		values, ok := tables[pattern].(map[string]any)
		if !ok {
			faults = append(faults, fmt.Errorf(`%s.%q: must be a table such as [%s."chat.*"]`, tablesKey, pattern, tablesKey))
			continue
		}
		for _, err := range applyTable(channelSettings(&rule.ChannelSettings), values) {
			faults = append(faults, fmt.Errorf("%s.%q: %w", tablesKey, pattern, err))
		}
		rules = append(rules, rule)
	}
	return rules, faults
}

// printedRules writes tables as a file has them.
func printedRules(rules []hub.ChannelRule) string {
	var b strings.Builder
	for _, r := range rules {
		fmt.Fprintf(&b, "[%s.%s]\n", tablesKey, strconv.Quote(r.Pattern))
		for _, s := range channelSettings(&r.ChannelSettings) {
			fmt.Fprintf(&b, "# %s\n%s = %s\n", s.help, s.name, s)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
