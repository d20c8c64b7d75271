// Command run simulates reconnect storms and writes docs/storm.md, with its plots
// in docs/storm: make storm.
//
//	go run ./bench/storm/run
//
// It needs no server and measures nothing. What nodes can do is what
// docs/performance.md says, see bench/storm.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	err := run(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

func run(args []string, stderr io.Writer) error {
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	fs.SetOutput(stderr)
	docs := fs.String("docs", "docs", "where storm.md and the folder storm are written")
	scale := fs.Int("scale", 1, "simulate one reader of so many, on nodes as much smaller: quicker, and nearly the same")
	seed := fs.Uint64("seed", 1, "have the dice fall otherwise")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 || *scale < 1 {
		return fmt.Errorf("%v, scale %d: not understood", fs.Args(), *scale)
	}
	s := newStudy(*scale, *seed, stderr)
	files, err := s.files()
	if err != nil {
		return err
	}
	return write(*docs, files)
}

// write writes files, named by their paths in a folder.
func write(folder string, files map[string][]byte) error {
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
