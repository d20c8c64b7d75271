package original

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
)

func FuzzQuery(f *testing.F) {
	for _, raw := range []string{
		"", "callback=cb&client_id=a_!!_k", "callback=cb&client_id=a_!!_k&client_id=b_!!_l&ts=1&v=2&jsonp=1",
		"callback=a%5B0%5D.b&client_id=b%C3%B3b+_%21%21_k", "callback=&client_id=a", "client_id=%FF_!!_k&callback=cb",
		"callback=cb;client_id=a_!!_k", "callback=%", "&&=&callback=cb&client_id", "callback=alert(1)//&client_id=a_!!_k",
	} {
		f.Add(raw)
	}
	const maxClients = 4
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw, maxClients)
		if err != nil {
			if text := err.Error(); text == "" || strings.ContainsAny(text, "\r\n") || !utf8.ValidString(text) {
				t.Errorf("%q is no sentence", text)
			}
			if q.callback != "" || q.credentials != nil || q.marked || q.jsonp {
				t.Errorf("refused, but with %+v", q)
			}
			return
		}
		if !transport.ValidCallback(q.callback) {
			t.Errorf("callback %q", q.callback)
		}
		if n := len(q.credentials); n < 1 || n > maxClients {
			t.Errorf("%d clients", n)
		}
		for _, c := range q.credentials {
			token := c.ID + hub.Delimiter + c.Key
			if again, ok := transport.ParseToken(token); !ok || again != c {
				t.Errorf("%q is not what %+v is written as", token, c)
			}
		}
		answer := string(q.appendAnswer(nil, nil))
		if answer != "/**/"+q.callback+"({});" {
			t.Errorf("answer %q", answer)
		}
		refusal := string(q.appendError(nil, 404, "gone", ids(q.credentials)))
		if strings.IndexFunc(refusal, func(r rune) bool { return r < ' ' || r > '~' || r == '<' }) >= 0 {
			t.Errorf("refusal %q", refusal)
		}
	})
}

func ids(creds []hub.Credentials) []string {
	var ids []string
	for _, c := range creds {
		ids = append(ids, c.ID)
	}
	return slices.Compact(ids)
}
