package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path"
	"time"

	clientjs "github.com/shaveet/shaveet/client-js"
)

// static serves the client library. Its files are embedded, and found by their
// exact names, so nothing else can be asked for.
type static map[string]asset

type asset struct {
	content []byte
	etag    string
}

func newStatic() static {
	s := make(static)
	for _, name := range []string{"shaveet.js", "shaveet.mjs", "tabs.mjs"} {
		content, err := clientjs.Files.ReadFile("dist/" + name)
		if err != nil {
			panic(err) // it was embedded when the program was built
		}
		sum := sha256.Sum256(content)
		s[name] = asset{content, `"` + hex.EncodeToString(sum[:16]) + `"`}
	}
	return s
}

func (s static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	a := s[path.Base(r.URL.Path)]
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	// Kept, but asked for again: a new server has a new library at once.
	h.Set("Cache-Control", "public, no-cache")
	h.Set("ETag", a.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
}
