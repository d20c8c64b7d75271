package gallery

import (
	"net/http"
	"strings"
)

// secondMark is before the names of cookies that are the second reader's.
const secondMark = "second_"

// second is a site for the reader on the right: its cookies have other names
// outside. So two people can be logged in side by side in one browser, which has
// one set of cookies for all of us.
func second(site http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		cookies := r.Cookies()
		r.Header.Del("Cookie")
		for _, c := range cookies {
			if name, mine := strings.CutPrefix(c.Name, secondMark); mine {
				r.AddCookie(&http.Cookie{Name: name, Value: c.Value, Quoted: c.Quoted})
			}
		}
		out := &renaming{ResponseWriter: w}
		site.ServeHTTP(out, r)
		if !out.sent {
			out.WriteHeader(http.StatusOK)
		}
	})
}

// renaming renames the cookies that are set.
type renaming struct {
	http.ResponseWriter
	sent bool
}

func (r *renaming) WriteHeader(status int) {
	if !r.sent {
		r.sent = status >= 200
		for i, value := range r.Header()["Set-Cookie"] {
			if !strings.HasPrefix(value, secondMark) {
				r.Header()["Set-Cookie"][i] = secondMark + value
			}
		}
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *renaming) Write(p []byte) (int, error) {
	if !r.sent {
		r.WriteHeader(http.StatusOK)
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (r *renaming) Unwrap() http.ResponseWriter { return r.ResponseWriter }
