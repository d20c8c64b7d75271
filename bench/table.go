package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A Figure is the median of several runs, and the least and the most of them.
type Figure struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

func figureOf(all []*Result, value func(*Result) float64) Figure {
	var v []float64
	for _, r := range all {
		v = append(v, value(r))
	}
	slices.Sort(v)
	middle := v[len(v)/2]
	if len(v)%2 == 0 {
		middle = (v[len(v)/2-1] + middle) / 2
	}
	return Figure{middle, v[0], v[len(v)-1]}
}

// A row is all runs of one contender.
type row struct {
	name   string
	all    []*Result
	perCPU Figure
	faults Faults
}

func summarize(name string, all []*Result) row {
	r := row{name: name, all: all, perCPU: figureOf(all, func(r *Result) float64 { return r.PerCPU })}
	for _, one := range all {
		r.faults.add(one.Faults)
	}
	return r
}

// A Summary is printed behind the runs, if they are compared.
type Summary struct {
	Type    string  `json:"type"` // "summary"
	Counted string  `json:"counted"`
	Target  Figure  `json:"target_per_cpu_second"`
	Yard    Figure  `json:"yardstick_per_cpu_second"`
	Ratio   float64 `json:"ratio"` // of the medians
}

func (o *Options) print(rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	ratio := 0.0
	if len(rows) == 2 && rows[1].perCPU.Median > 0 {
		ratio = rows[0].perCPU.Median / rows[1].perCPU.Median
	}
	if o.JSON {
		if len(rows) < 2 {
			return nil
		}
		return writeJSON(o.Stdout, Summary{"summary", rows[0].all[0].Counted, rows[0].perCPU, rows[1].perCPU, ratio})
	}
	var b strings.Builder
	b.WriteString(o.Plan.describe() + "\n\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range table(rows) {
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	w.Flush()
	if ratio > 0 {
		fmt.Fprintf(&b, "\n%s is at %.2f of the %s, by medians of %s per CPU second.\n", rows[0].name, ratio, rows[1].name, rows[0].all[0].Counted)
	}
	for _, r := range rows {
		if i := slices.IndexFunc(r.all, func(r *Result) bool { return r.Broke != "" }); i >= 0 {
			fmt.Fprintf(&b, "A connection to %s broke off: %s\n", r.name, r.all[i].Broke)
		}
		if slices.ContainsFunc(r.all, func(r *Result) bool { return r.Interrupted }) {
			b.WriteString("Interrupted: this is what had been measured.\n")
		}
	}
	_, err := o.Stdout.Write([]byte(b.String()))
	return err
}

// table has a line for each figure, and a column for each contender.
func table(rows []row) (lines [][]string) {
	head := []string{"median (least–most)"}
	for _, r := range rows {
		head = append(head, fmt.Sprintf("%s, %d runs", r.name, len(r.all)))
	}
	lines = append(lines, head)
	add := func(name string, format func(float64) string, value func(*Result) float64) {
		line := []string{name}
		none := true
		for _, r := range rows {
			f := figureOf(r.all, value)
			none = none && f == Figure{}
			if f.Least == f.Most {
				line = append(line, format(f.Median))
			} else {
				line = append(line, fmt.Sprintf("%s (%s–%s)", format(f.Median), format(f.Least), format(f.Most)))
			}
		}
		if !none {
			lines = append(lines, line)
		}
	}
	counted := rows[0].all[0].Counted
	add(counted+" / CPU second of the server", thousands, func(r *Result) float64 { return r.PerCPU })
	add(counted+" / second", thousands, func(r *Result) float64 { return r.PerSecond })
	if counted == "deliveries" {
		add("messages / second", thousands, func(r *Result) float64 { return float64(r.Messages) / r.Seconds })
	}
	add("latency p50, ms", millis, func(r *Result) float64 { return r.Latency.P50 })
	add("latency p90, ms", millis, func(r *Result) float64 { return r.Latency.P90 })
	add("latency p99, ms", millis, func(r *Result) float64 { return r.Latency.P99 })
	add("latency max, ms", millis, func(r *Result) float64 { return r.Latency.Max })
	add("CPU of the server, s", millis, func(r *Result) float64 { return r.ServerCPU })
	add("CPU of the generator, s", millis, func(r *Result) float64 { return r.OwnCPU })
	add("PSS before, MB", megabytes, func(r *Result) float64 { return float64(r.Before.PSS) })
	add("PSS prepared, MB", megabytes, func(r *Result) float64 { return float64(r.Made.PSS) })
	add("PSS after, MB", megabytes, func(r *Result) float64 { return float64(r.After.PSS) })
	add("PSS / reader, bytes", thousands, func(r *Result) float64 { return float64(r.PerReader.PSS) })
	add("RSS / reader, bytes", thousands, func(r *Result) float64 { return float64(r.PerReader.RSS) })
	add("kernel / reader, both ends, bytes", thousands, func(r *Result) float64 { return float64(r.Kernel) })
	faults := []string{"lost, twice, out of order, misrouted"}
	other := []string{"damaged, broken off"}
	bad := false
	for _, r := range rows {
		f := r.faults
		faults = append(faults, fmt.Sprintf("%d, %d, %d, %d", f.Lost, f.Duplicated, f.Reordered, f.Misrouted))
		other = append(other, fmt.Sprintf("%d, %d", f.Damaged, f.Broken))
		bad = bad || f.Damaged+f.Broken > 0
	}
	if lines = append(lines, faults); bad {
		lines = append(lines, other)
	}
	return lines
}

// describe says in a line what is measured.
func (p *Plan) describe() string {
	text := p.Workload
	if p.Readers > 0 {
		text += fmt.Sprintf(": %d readers by %s", p.Readers, p.Transport)
	}
	if p.says() {
		text += fmt.Sprintf(", %d channels (each reader on %d), %d bytes, published by %s from %d connections", p.Channels, p.Each, p.Size, p.Publish, p.Publishers)
		if p.Rate > 0 {
			text += fmt.Sprintf(", %v messages/s", p.Rate)
		} else {
			text += fmt.Sprintf(", %d at once", p.Window)
		}
	}
	return text
}

// thousands writes a number without fractions, with a space between thousands.
func thousands(v float64) string {
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return sign + digits
}

func millis(v float64) string    { return strconv.FormatFloat(v, 'f', 2, 64) }
func megabytes(v float64) string { return strconv.FormatFloat(v/1e6, 'f', 1, 64) }
