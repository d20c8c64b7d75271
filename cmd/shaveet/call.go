package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// call calls a method of the admin API and prints the result.
func (p *program) call(ctx context.Context, args []string) error {
	fs := p.flagSet("call")
	admin := p.adminFlags(fs)
	if err := p.parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		return p.misuse(fs, "which METHOD?")
	}
	api, err := admin()
	if err != nil {
		return err
	}
	result, err := api.call(ctx, fs.Arg(0), jsonOrStrings(fs.Args()[1:]))
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, string(result))
	return nil
}

func jsonOrStrings(texts []string) []json.RawMessage {
	values := make([]json.RawMessage, len(texts))
	for i, text := range texts {
		values[i] = jsonOrString(text)
	}
	return values
}

// jsonOrString is text if that is JSON, else the string it is.
func jsonOrString(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return jsonString(text)
}

func jsonString(text string) json.RawMessage {
	quoted, _ := json.Marshal(text) // a string always can be
	return quoted
}
