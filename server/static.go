package server

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
	"time"
)

// static serves client libraries. Their files are embedded, and found by their
// exact names, so nothing else can be asked for.
type static map[string]asset

// An asset's content stays where it is in the program: nothing is copied.
type asset struct {
	from embed.FS
	name string
	etag string
}

// newStatic returns the files of the folder dist. That they cannot be read does
// not happen: they were embedded when the program was built.
func newStatic(from embed.FS) static {
	s := make(static)
	err := fs.WalkDir(from, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := from.Open(name)
		if err != nil {
			return err
		}
		hash := sha256.New()
		_, err = io.Copy(hash, content)
		s[path.Base(name)] = asset{from, name, `"` + hex.EncodeToString(hash.Sum(nil)[:16]) + `"`}
		return errors.Join(err, content.Close())
	})
	if err != nil {
		panic(err)
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
	content, err := a.from.Open(a.name)
	if err != nil {
		panic(err) // it was there when the server began
	}
	defer content.Close()
	http.ServeContent(w, r, "", time.Time{}, content.(io.ReadSeeker)) // as all files of an embed.FS are
}
