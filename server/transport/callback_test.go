package transport

import (
	"regexp"
	"strings"
	"testing"
)

// callbackGrammar is what the manual says a callback is.
var callbackGrammar = regexp.MustCompile(
	`^[A-Za-z_$][A-Za-z0-9_$]*(\[[0-9]+\])*(\.[A-Za-z_$][A-Za-z0-9_$]*(\[[0-9]+\])*)*$`)

var goodCallbacks = []string{
	"cb", "noop", "_", "$", "_1", "$0", "C", "Z9", "z",
	"jQuery1102047", "_jqjsp", "jsonp_1287654321",
	"a.b", "a.b.c", "a._.$", "window.top.cb",
	"a[0]", "a[0].b", "a[0][1]", "a[0][1].b[22].c", "app.handlers[3]", "a[007]", "$[1]",
	"alert", "eval", // a name is a name: whoever can give it can run it anyway
	strings.Repeat("a", 128),
	strings.Repeat("a.", 63) + "bc",
}

var badCallbacks = []string{
	"", " ", "cb ", " cb", "c b", "cb\t", "cb\n", "cb\r\n", "\r\ncb", "cb\x00", "cb\x7f", "cb\u00a0",
	"1", "1a", "-a", "a-b", "a+b", "a,b", "a;b", "a=b", "a/b", `a\b`, "a*", "a!", "a?b", "a#", "a@b", "a%0d%0a", "a&b",
	"a()", "a(", ")", "alert(1)", "alert(1)//", "alert(document.domain)//<script>", "<script>", "a<b", "a>b",
	"a'b", `a"b`, "a`b", "a{}", "{a}", "/**/a", "//a",
	".", ".a", "a.", "a..b", "a.1", "a.[0]", "a.b.",
	"[0]", "a[", "a]", "a[]", "a[0", "a[0]]", "a[[0]]", "a[0]b", "a[-1]", "a[ 0]", "a[b]", `a["b"]`, "a['b']", "a[0].", "a[0x1]",
	"é", "aé", "名前", "a\u200c", "a\u2028", "\ufeffa", `\u0061`, "a\xff", "\xff", "ａ", "𝒂",
	strings.Repeat("a", 129), strings.Repeat("a.", 64) + "b", strings.Repeat("a", 1<<16),
}

func TestCallbackNames(t *testing.T) {
	for _, name := range goodCallbacks {
		if !ValidCallback(name) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range badCallbacks {
		if ValidCallback(name) {
			t.Errorf("%q is accepted", name)
		}
	}
}

func FuzzCallback(f *testing.F) {
	for _, name := range append(goodCallbacks, badCallbacks...) {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		want := len(name) <= 128 && callbackGrammar.MatchString(name)
		if got := ValidCallback(name); got != want {
			t.Errorf("ValidCallback(%q) = %t, want %t", name, got, want)
		}
	})
}
