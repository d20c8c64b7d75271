package socketioclient

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// modules is where the tests have the npm package that the files are from.
const modules = "../../tests/socketio/node_modules/"

// The files are those of the package, byte by byte, and of the version that we
// say and test with.
func TestFilesAreThoseOfThePackage(t *testing.T) {
	text, err := os.ReadFile(modules + "socket.io-client/package.json")
	if err != nil {
		t.Fatalf("%v: run make deps", err)
	}
	var published struct{ Version, License string }
	if err := json.Unmarshal(text, &published); err != nil {
		t.Fatal(err)
	}
	if published.Version != Version || published.License != "MIT" {
		t.Errorf("the package is %s, %s; ours is %s: run fetch.sh %[1]s", published.Version, published.License, Version)
	}
	all, err := Files.ReadDir("dist")
	if err != nil || len(all) != 3 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	for _, f := range all {
		ours, err := Files.ReadFile("dist/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := os.ReadFile(modules + "socket.io-client/dist/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Errorf("%s is not the file of socket.io-client %s: run fetch.sh", f.Name(), published.Version)
		}
	}
}

// The terms of all that is in the files go with them.
func TestLicenses(t *testing.T) {
	terms, err := os.ReadFile("dist/LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"socket.io-client " + Version, "engine.io-client ", "engine.io-parser ", "socket.io-parser ", "@socket.io/component-emitter ", "debug ", "ms ",
	} {
		_, after, found := strings.Cut("\n"+string(terms), "\n"+part)
		if after, _, _ = strings.Cut(after, "\n----\n"); !found || !strings.Contains(after, "Permission is hereby granted") {
			t.Errorf("dist/LICENSE does not have the terms of %s", part)
		}
	}
}

// A page may forbid evaluation.
func TestFilesEvaluateNothing(t *testing.T) {
	for _, name := range []string{"socket.io.js", "socket.io.min.js", "socket.io.esm.min.js"} {
		text, err := Files.ReadFile("dist/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"eval(", "innerHTML", "document.write"} {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s contains %s", name, word)
			}
		}
	}
}
