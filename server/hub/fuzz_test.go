package hub_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
)

// What ParsePosition accepts is exactly what String writes.
func FuzzPosition(f *testing.F) {
	for _, s := range []string{
		"000000000000001f.42", "ffffffffffffffff.18446744073709551615", "000000000000001f.18446744073709551616",
		"000000000000001F.42", "0000000000000000.1", "000000000000001f.042", "000000000000001f.", ".1", "", "now",
		"000000000000001f.+1", "000000000000001f.-1", "000000000000001f 42", "000000000000001f.4 2", "1f.42",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := hub.ParsePosition(s)
		if err == nil && p.String() != s {
			t.Errorf("%q is accepted, but is written %q", s, p)
		}
		if err != nil && !p.IsZero() {
			t.Errorf("%q: an error and the position %v", s, p)
		}
	})
}

// No name that is accepted can break a token, a log line or a header.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"bob", "", "a_!!_b", "a\nb", "a\x00", "\xff", "é", "__proto__", strings.Repeat("x", 257), "\u0085", "\u2028", "*", "{x}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		client, channel := hub.CheckClientID(s, 256), hub.CheckChannelName(s, 256)
		if client == nil && (channel != nil || strings.Contains(s, hub.Delimiter)) {
			t.Errorf("%q is a client id", s)
		}
		if channel == nil && (s == "" || len(s) > 256 || !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00\x7f")) {
			t.Errorf("%q is a channel name", s)
		}
	})
}
