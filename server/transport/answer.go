package transport

import (
	"net/http"
	"strconv"
)

// Text answers with a status and a line of text. It has no CORS header: no page
// can read it.
func Text(w http.ResponseWriter, status int, line string) {
	write(w, status, "text/plain; charset=utf-8", []byte(line+"\r\n"))
}

// JSON answers with a status and a JSON text.
func JSON(w http.ResponseWriter, status int, body []byte) {
	write(w, status, "application/json", body)
}

// JSONHeader says that JSON follows.
func JSONHeader(w http.ResponseWriter) { header(w, "application/json") }

// header says that something follows that is to be kept by nobody and is what
// it says it is.
func header(w http.ResponseWriter, mediaType string) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

func write(w http.ResponseWriter, status int, mediaType string, body []byte) {
	header(w, mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // should it get lost, the reader asks again
}

// ScriptHeader says that a script follows, which is to be run only where it
// was asked for and to be kept by nobody.
func ScriptHeader(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Disposition", `attachment; filename="poll.js"`)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

// StreamHeader says that a stream follows. Caches are not to keep it, and
// proxies not to gather or change it: nginx is told so by a header of its own.
func StreamHeader(w http.ResponseWriter, mediaType string) {
	header(w, mediaType)
	w.Header().Set("Cache-Control", "no-cache, no-store, no-transform")
	w.Header().Set("X-Accel-Buffering", "no")
}
