package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"

	"github.com/shaveet/shaveet/bench"
)

// What is kept as JSON, small enough to be compared and committed.
type kept struct {
	Date   string              `json:"date"`
	CPU    string              `json:"cpu"`
	Cores  int                 `json:"cores"`
	Kernel string              `json:"kernel"`
	Go     string              `json:"go"`
	Cells  map[string]keptCell `json:"cells"`
}

// A keptCell has medians: per CPU second, of idle bytes for a reader, of latency
// ms, and how that compares with the yardstick's.
type keptCell struct {
	Ours  float64 `json:"ours"`
	Ratio float64 `json:"ratio,omitempty"`
}

func (d *document) kept() kept {
	k := kept{d.machine.Date, d.machine.CPU, d.machine.Cores, d.machine.Kernel, d.machine.Go, make(map[string]keptCell)}
	for _, c := range d.cells {
		if s := d.runs[c.name]; s != nil && len(s.ours) > 0 {
			value := mainValue(c.workload)
			k.Cells[c.name] = keptCell{s.figure(value).short().Median, s.ratio(value).short().Median}
		}
	}
	return k
}

// muchChanged is by how much a figure must differ to be told.
const muchChanged = 0.15

// changes says what differs between two sets of figures. The ratio to a
// yardstick is what is compared, where there is one: it tells most.
func changes(old, now kept, order []cell) (all []string) {
	for _, c := range order {
		a, had := old.Cells[c.name]
		b, has := now.Cells[c.name]
		if had != has {
			all = append(all, fmt.Sprintf("%s: measured before: %v, now: %v", c.name, had, has))
		}
		if !had || !has {
			continue
		}
		before, after, of := a.Ours, b.Ours, ""
		if a.Ratio > 0 && b.Ratio > 0 {
			before, after, of = a.Ratio, b.Ratio, " of the yardstick's"
		}
		by := after/before - 1
		if before > 0 && math.Abs(by) <= muchChanged {
			continue
		}
		better := by > 0
		if c.workload == bench.Idle || c.workload == bench.Latency {
			better = !better
		}
		verdict := "worse"
		if better {
			verdict = "better"
		}
		all = append(all, fmt.Sprintf("%s: %.4g%s was %.4g (%+.0f %%, %s)", c.name, after, of, before, 100*by, verdict))
	}
	return all
}

// A comparison is what make bench-peers keeps, for the table of goals.
type comparison struct {
	Date  string              `json:"date"`
	Cells map[string]compared `json:"cells"`
}

type compared struct {
	Ours  figure `json:"ours"`
	Other figure `json:"other"`
	Ratio figure `json:"ratio"`
}

func (d *document) comparison() comparison {
	k := comparison{d.machine.Date, make(map[string]compared)}
	for _, c := range d.cells {
		if s := d.runs[c.name]; s != nil && len(s.other) > 0 {
			value := peerValue(c.workload)
			k.Cells[c.name] = compared{s.figure(value).short(), s.others(value).short(), s.ratio(value).short()}
		}
	}
	return k
}

// readJSON reads a file that there may not be.
func readJSON(path string, into any) (there bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
