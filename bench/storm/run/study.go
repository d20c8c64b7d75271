package main

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/shaveet/shaveet/bench/storm"
)

// A study runs scenarios, each of them once. Its methods that make plots and
// tables ask for results; what has not been run yet is only noted the first time,
// so that all can be run together before they are asked again.
type study struct {
	scale  int
	seed   uint64
	stderr io.Writer
	known  map[storm.Scenario]*storm.Result
	noted  []storm.Scenario
	err    error
}

func newStudy(scale int, seed uint64, stderr io.Writer) *study {
	return &study{scale: scale, seed: seed, stderr: stderr, known: make(map[storm.Scenario]*storm.Result)}
}

// result is what has come of a scenario; nothing at all, if it is only noted.
func (s *study) result(of storm.Scenario) *storm.Result {
	of = s.scaled(of)
	if r := s.known[of]; r != nil {
		return r
	}
	nothing := &storm.Result{Displaced: of.Displaced()}
	s.known[of] = nothing
	s.noted = append(s.noted, of)
	return nothing
}

// scaled is the same storm with fewer readers on smaller nodes.
func (s *study) scaled(of storm.Scenario) storm.Scenario {
	n := s.scale
	of.Seed = s.seed
	of.Readers /= n
	of.Cores /= float64(n)
	of.Backend /= float64(n)
	of.Backlog /= n
	of.Inside /= n
	of.PerAddress /= n
	of.MaxConnections /= n
	return of
}

// count is a number of readers as it would be without the scale.
func (s *study) count(n int) int { return n * s.scale }

// runAll runs what is noted.
func (s *study) runAll() error {
	var mu sync.Mutex // guards known, noted and err
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				mu.Lock()
				if len(s.noted) == 0 || s.err != nil {
					mu.Unlock()
					return
				}
				next := s.noted[0]
				s.noted = s.noted[1:]
				mu.Unlock()

				r, took, err := timed(next)

				mu.Lock()
				s.known[next] = r
				if err != nil {
					s.err = err
				}
				fmt.Fprintf(s.stderr, "%-9s %10d readers, %2d nodes: %d back, %v\n", next.Cause, next.Readers, next.Nodes, r.Back, took)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return s.err
}

func timed(s storm.Scenario) (*storm.Result, time.Duration, error) {
	began := time.Now()
	r, err := storm.Run(s)
	if err != nil {
		r = &storm.Result{}
	}
	return r, time.Since(began).Round(time.Millisecond), err
}

// files makes everything: once to hear what is needed, and once with results.
func (s *study) files() (map[string][]byte, error) {
	if _, err := s.render(); err != nil {
		return nil, err
	}
	if err := s.runAll(); err != nil {
		return nil, err
	}
	return s.render()
}

func (s *study) render() (map[string][]byte, error) {
	files := make(map[string][]byte)
	for name, c := range s.charts() {
		files["storm/"+name+".svg"] = c.SVG()
	}
	page, err := s.page()
	files["storm.md"] = page
	return files, err
}
