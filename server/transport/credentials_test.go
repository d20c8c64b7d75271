package transport

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
)

func TestToken(t *testing.T) {
	for _, test := range []struct {
		token, id, key string
		ok             bool
	}{
		{"a_!!_k", "a", "k", true},
		{"alice & co_!!_k+/=", "alice & co", "k+/=", true},
		{"bób\u2028_!!_k", "bób\u2028", "k", true},
		{"a_!_!!_k", "a_!", "k", true},
		{"a_!!__k", "a", "_k", true},
		{"a_!!_", "a", "", true}, // a wrong key, which is for the hub to say
		{"_!!_k", "", "k", true}, // an unknown client, likewise
		{"_!!_", "", "", true},

		{"", "", "", false},
		{"a", "", "", false},
		{"a_!_k", "", "", false},
		{"a!!k", "", "", false},
		{"a_!!_b_!!_k", "", "", false},
		{"a_!!__!!_k", "", "", false},
		{"_!!__!!_", "", "", false},
		{"\xff_!!_k", "", "", false},
		{"a_!!_\xc3", "", "", false},
		{"a\xed\xa0\x80_!!_k", "", "", false}, // a surrogate half is no character
		{"a\xc0\x80_!!_k", "", "", false},
	} {
		got, ok := ParseToken(test.token)
		if want := (hub.Credentials{ID: test.id, Key: test.key}); got != want || ok != test.ok {
			t.Errorf("ParseToken(%q) = %+v, %t, want %+v, %t", test.token, got, ok, want, test.ok)
		}
	}
}

func FuzzToken(f *testing.F) {
	for _, token := range []string{"a_!!_k", "a_!!_b_!!_k", "_!!_", "a", "_!!_!!_", "\xff_!!_k", "bób_!!_k"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, ok := ParseToken(token)
		// "_!!_!!_" has one delimiter, from the left; what follows is the key.
		want := strings.Count(token, hub.Delimiter) == 1 && utf8.ValidString(token)
		if ok != want {
			t.Fatalf("ParseToken(%q): %t, want %t", token, ok, want)
		}
		if !ok {
			if c != (hub.Credentials{}) {
				t.Errorf("refused, but with %+v", c)
			}
			return
		}
		if c.ID+hub.Delimiter+c.Key != token {
			t.Errorf("%q has become %+v", token, c)
		}
		if strings.Contains(c.ID, hub.Delimiter) || strings.Contains(c.Key, hub.Delimiter) {
			t.Errorf("a delimiter is left in %+v", c)
		}
	})
}
