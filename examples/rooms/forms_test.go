package rooms_test

import (
	"net/http"
	"strings"
	"testing"
)

// readsForms: as browsers write them, and as people do.
func (s *site) readsForms(t *testing.T) {
	ann := s.newcomer(t, "former")
	in := ann.join("python")
	var want []string
	for _, test := range []struct {
		body, said string // nothing: refused
	}{
		{"message=h%C3%B6llo+w%c3%b6rld", "höllo wörld"},
		{"message=höllo wörld 😀", "höllo wörld 😀"},
		{"x=1&message=a=b&message=c", "a=b"},
		{"message=\xff", ""}, {"message=%ff", ""}, {"message=%", ""}, {"message=%zz", ""}, {"message=%C3", ""}, {"message=a;b", ""},
	} {
		status := 400
		if test.said != "" {
			status, want = 204, append(want, "former: "+test.said)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/put/python/former", strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := ann.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("the form %q: status %d, want %d", test.body, resp.StatusCode, status)
		}
	}
	ann.hears(&in.Cursor, want...)
}
