package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestEscaped(t *testing.T) {
	for text, want := range map[string]string{
		"plain\té 😀\n":              "plain\té 😀\n",
		"\x1b[31mred\x1b]0;title\a": `\u001b[31mred\u001b]0;title\u0007`,
		"\u009b31m\u202eabc\r\b":    `\u009b31m\u202eabc\u000d\u0008`,
		"\U000e0001":                `\udb40\udc01`,
	} {
		var b strings.Builder
		if n, err := (escaped{&b}).Write([]byte(text)); n != len(text) || err != nil || b.String() != want {
			t.Errorf("%q: wrote %q, %d, %v; want %q", text, b.String(), n, err, want)
		}
	}
	raw, _ := json.Marshal("\u009b\u202e\U000e0001 x")
	var back string
	if err := json.Unmarshal([]byte(escape(string(raw))), &back); err != nil || back != "\u009b\u202e\U000e0001 x" {
		t.Errorf("JSON is not the same any more: %q, %v", back, err)
	}
}
