// Command yamljson prints a YAML file as JSON, one document a line, so that
// tests can look into YAML without the product depending on a parser.
package main

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"

	"go.yaml.in/yaml/v3"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: yamljson FILE")
	}
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	if err := convert(file, os.Stdout); err != nil {
		log.Fatalf("%s: %v", os.Args[1], err)
	}
}

func convert(r io.Reader, w io.Writer) error {
	out := json.NewEncoder(w)
	for in := yaml.NewDecoder(r); ; {
		var document any
		if err := in.Decode(&document); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := out.Encode(document); err != nil {
			return err
		}
	}
}
