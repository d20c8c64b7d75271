package clientjs

import (
	"bytes"
	"testing"
)

// A page may forbid evaluation, and payloads come from anyone: the built files
// must have no way to run text.
func TestFilesEvaluateNothing(t *testing.T) {
	for _, name := range []string{"dist/shaveet.js", "dist/shaveet.mjs"} {
		text, err := Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/message_updates", "/longpoll", "/stream", "/sse", "/websocket"} {
			if !bytes.Contains(text, []byte(path)) {
				t.Errorf("%s does not read %s: is it the client?", name, path)
			}
		}
		for _, word := range []string{"eval(", "Function(", "innerHTML", "document.write"} {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s contains %s", name, word)
			}
		}
	}
}
