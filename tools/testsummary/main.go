// Command testsummary reads the output of go test -json and prints what a
// person wants to see of it: a line for each package, everything that a
// failed test said, why a test was skipped, and the counts at the end. It
// exits with 1 if anything failed, or if no test ran at all.
//
//	go test -json ./... | testsummary
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of go test -json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build's output, which belongs to no test
	Test       string
	Output     string
	Elapsed    float64
}

type summary struct {
	out                     io.Writer
	passed, failed, skipped int
	broken                  int                         // packages that failed without a failed test: they did not compile, or crashed
	said                    map[string]*strings.Builder // what a test or a package has written so far
	failedIn                map[string]bool             // packages with a failed test
}

func main() {
	s := newSummary(os.Stdout)
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			s.line(line)
		}
		if err != nil {
			break
		}
	}
	os.Exit(s.end())
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, said: map[string]*strings.Builder{}, failedIn: map[string]bool{}}
}

// line takes one line; what is no event is passed on as it is.
func (s *summary) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		fmt.Fprint(s.out, line)
		return
	}
	id := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "output":
		if strings.HasPrefix(e.Output, "=== ") { // RUN, PAUSE and CONT tell nothing by themselves
			return
		}
		if s.said[id] == nil {
			s.said[id] = &strings.Builder{}
		}
		s.said[id].WriteString(e.Output)
	case "pass", "fail", "skip":
		s.result(e, id)
		delete(s.said, id)
	}
}

func (s *summary) result(e event, id string) {
	said := ""
	if b := s.said[id]; b != nil {
		said = b.String()
	}
	if e.Test == "" {
		s.packageResult(e, said)
		return
	}
	switch e.Action {
	case "pass":
		s.passed++
	case "fail":
		s.failed++
		s.failedIn[e.Package] = true
		fmt.Fprintf(s.out, "\n%s\n%s", e.Package, said)
	case "skip":
		s.skipped++
		fmt.Fprintf(s.out, "%s %s", e.Package, said)
	}
}

func (s *summary) packageResult(e event, said string) {
	if e.Action == "fail" && !s.failedIn[e.Package] {
		s.broken++
		fmt.Fprint(s.out, said)
		return
	}
	if strings.Contains(said, "[no test files]") {
		return
	}
	word := map[string]string{"pass": "ok  ", "fail": "FAIL", "skip": "none"}[e.Action]
	cached := ""
	if strings.Contains(said, "(cached)") {
		cached = " (cached)"
	}
	fmt.Fprintf(s.out, "%s %s %.1fs%s\n", word, e.Package, e.Elapsed, cached)
}

// end reports tests that never ended, which is what a crash leaves.
func (s *summary) end() (code int) {
	for id, b := range s.said {
		if !strings.HasSuffix(id, " ") && b.Len() > 0 {
			fmt.Fprintf(s.out, "\nnot ended: %s\n%s", id, b)
			s.failed++
		}
	}
	failed := s.failed + s.broken
	fmt.Fprintf(s.out, "\n%d passed, %d failed, %d skipped\n", s.passed, failed, s.skipped)
	if failed > 0 || s.passed == 0 {
		return 1
	}
	return 0
}
