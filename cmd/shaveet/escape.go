package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
)

// escaped writes text that may be somebody else's to a terminal: what is not
// to be seen, or moves the cursor, or turns the direction, goes there as JSON
// would write it. So JSON stays what it is.
type escaped struct{ to io.Writer }

func (e escaped) Write(text []byte) (int, error) {
	if _, err := io.WriteString(e.to, escape(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}

func escape(text string) string {
	seen := func(r rune) bool { return r == '\n' || r == '\t' || strconv.IsPrint(r) }
	if strings.IndexFunc(text, func(r rune) bool { return !seen(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if seen(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}
