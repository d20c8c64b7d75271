package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A page of a hundredth of the readers has everything that the real one has.
func TestEverythingIsWritten(t *testing.T) {
	docs := t.TempDir()
	if err := run([]string{"--scale", "200", "--docs", docs}, io.Discard); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(docs, "storm.md"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "NaN") || strings.Contains(string(page), "Inf") {
		t.Error("the page has numbers that are none")
	}
	plots := regexp.MustCompile(`\]\((storm/\w+\.svg)\)`).FindAllStringSubmatch(string(page), -1)
	written, err := os.ReadDir(filepath.Join(docs, "storm"))
	if err != nil {
		t.Fatal(err)
	}
	if len(plots) != len(written) {
		t.Errorf("the page shows %d plots, and %d were written", len(plots), len(written))
	}
	for _, p := range plots {
		svg, err := os.ReadFile(filepath.Join(docs, p[1]))
		if err != nil {
			t.Error(err)
			continue
		}
		if len(svg) >= 60<<10 {
			t.Errorf("%s has %d bytes", p[1], len(svg))
		}
		wellFormed(t, p[1], svg)
	}
}

func wellFormed(t *testing.T, name string, svg []byte) {
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
	}
}

func TestOrdersThatMakeNoSense(t *testing.T) {
	for _, args := range [][]string{{"--scale", "0"}, {"kill"}, {"--nonsense"}} {
		if err := run(args, io.Discard); err == nil {
			t.Errorf("%q was done", args)
		}
	}
}
