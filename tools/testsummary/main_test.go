package main

import (
	"strings"
	"testing"
)

// summarize gives the last line of the output, the whole of it, and the exit
// status, for these lines of go test -json.
func summarize(lines ...string) (last, all string, code int) {
	var out strings.Builder
	s := newSummary(&out)
	for _, line := range lines {
		s.line(line + "\n")
	}
	code = s.end()
	all = out.String()
	printed := strings.Split(strings.TrimSpace(all), "\n")
	return printed[len(printed)-1], all, code
}

func TestSummary(t *testing.T) {
	const (
		passed  = `{"Action":"pass","Package":"p","Test":"TestA"}`
		said    = `{"Action":"output","Package":"p","Test":"TestB","Output":"b_test.go:1: wrong\n"}`
		failed  = `{"Action":"fail","Package":"p","Test":"TestB"}`
		skipped = `{"Action":"skip","Package":"p","Test":"TestB"}`
		ended   = `{"Action":"pass","Package":"p","Elapsed":1}`
		broken  = `{"Action":"fail","Package":"p","Elapsed":1}`
	)
	for _, c := range []struct {
		name  string
		lines []string
		last  string
		says  string // somewhere
		code  int
	}{
		{"all is well", []string{passed, ended}, "1 passed, 0 failed, 0 skipped", "ok   p 1.0s", 0},
		{"a failure", []string{passed, said, failed, broken}, "1 passed, 1 failed, 0 skipped", "b_test.go:1: wrong", 1},
		{"a skip and its reason", []string{passed, said, skipped, ended}, "1 passed, 0 failed, 1 skipped", "b_test.go:1: wrong", 0},
		{"a package that does not compile", []string{`{"Action":"build-output","ImportPath":"p","Output":"syntax error\n"}`, broken}, "0 passed, 1 failed, 0 skipped", "syntax error", 1},
		{"a crash", []string{passed, said}, "1 passed, 1 failed, 0 skipped", "b_test.go:1: wrong", 1},
		{"no test at all", nil, "0 passed, 0 failed, 0 skipped", "", 1},
		{"not JSON", []string{"go: cannot find main module", passed}, "1 passed, 0 failed, 0 skipped", "cannot find", 0},
	} {
		last, all, code := summarize(c.lines...)
		if last != c.last || code != c.code || !strings.Contains(all, c.says) {
			t.Errorf("%s: exit status %d, want %d, and\n%s", c.name, code, c.code, all)
		}
	}
}
