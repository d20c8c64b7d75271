package main

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// enoughDescriptors is below what a push server should make do with: every
// held poll takes one.
const enoughDescriptors = 4096

// limitNames are the metrics that tell how many there can be: connections of a
// door, or descriptors of the process.
var limitNames = []string{"shaveet_connections_max", "process_max_fds"}

// descriptors: how many connections can there be?
func (d *doctor) descriptors(ctx context.Context) finding {
	if name, n, ok := d.serverLimit(ctx); ok {
		if n < enoughDescriptors {
			return warn(adviceDescriptors, "the server says %s = %d, and every held poll takes one", name, n)
		}
		return good("the server says %s = %d", name, n)
	}
	n, known := descriptorLimit()
	switch {
	case !isLoopback(d.base) || !known:
		return skip("the server does not tell here how many connections it can have; its /metrics do")
	case n < enoughDescriptors:
		return warn(adviceDescriptors, "a program started from here may have %d descriptors, and every held poll takes one; the server does not tell its own limit", n)
	}
	return good("a program started from here may have %d; the server does not tell its own limit", n)
}

// serverLimit is the lowest of the limits that the server's metrics tell, whoever is
// there now.
func (d *doctor) serverLimit(ctx context.Context) (lowest string, n int64, ok bool) {
	if d.api == nil {
		return "", 0, false
	}
	ctx, cancel := context.WithTimeout(ctx, d.times.answer)
	defer cancel()
	page, err := d.api.page(ctx, "/metrics")
	if err != nil {
		return "", 0, false
	}
	most := make(map[string]int64) // of the door with the most: the others tell what that one leaves them now
	names := make(map[string]string)
	for line := range strings.Lines(page) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		family, _, _ := strings.Cut(name, "{")
		limit, err := strconv.ParseFloat(value, 64)
		if err == nil && int64(limit) > most[family] && slices.Contains(limitNames, family) { // 0 is no limit
			most[family], names[family] = int64(limit), name
		}
	}
	for family, limit := range most {
		if !ok || limit < n {
			lowest, n, ok = names[family], limit, true
		}
	}
	return lowest, n, ok
}

// version: what runs there?
func (d *doctor) version(ctx context.Context) finding {
	if d.api == nil {
		return skip("needs the admin API: say by --admin-url where it is")
	}
	text, err := d.api.call(ctx, "info", []string{})
	if err != nil {
		return fail(adviceAdminURL, "%v", plainError(err))
	}
	var info struct{ Version string }
	if json.Unmarshal(text, &info) != nil || info.Version == "" {
		return skip("the server does not tell its version")
	}
	return good("the server is %s, this program %s", info.Version, versionString())
}
