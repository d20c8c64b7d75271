package rpcapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// ServeHTTP answers POST on any path; who may call, and where, is decided
// before. The media type does not matter, since old clients send the wrong one.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, fmt.Sprintf("The method %s is not allowed here: the admin API takes POST.", r.Method))
		return
	}
	if text := unreadable(r.Header); text != "" {
		refuse(w, http.StatusUnsupportedMediaType, text)
		return
	}
	body, ok := a.readBody(w, r)
	if !ok {
		return
	}
	// What has come whole is done, whether or not its caller waits to hear.
	late := lateness{answer: http.NewResponseController(w), writes: a.opts.WriteTimeout}
	answer := a.Handle(context.WithValue(context.WithoutCancel(r.Context()), latenessKey{}, &late), body)
	late.over()
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Pragma", "no-cache")
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) // a caller that went away is no failure of ours
}

// unreadable says why a body with these headers cannot be read as UTF-8, if so.
func unreadable(h http.Header) string {
	for _, coding := range h.Values("Content-Encoding") {
		if coding != "" && !strings.EqualFold(strings.TrimSpace(coding), "identity") {
			return "The body must not be encoded or compressed."
		}
	}
	contentType := h.Get("Content-Type")
	if !strings.Contains(contentType, ";") {
		return ""
	}
	_, params, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(params["charset"])
	if err != nil && strings.Contains(strings.ToLower(contentType), "charset") {
		charset = "unknown"
	}
	switch charset {
	case "", "utf-8", "us-ascii":
		return ""
	}
	return "The charset of the body must be UTF-8."
}

// readBody reads the body within its limit. When it cannot, it answers and
// returns false.
func (a *API) readBody(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	if r.ContentLength > a.opts.MaxBody {
		refuseAndClose(w, http.StatusRequestEntityTooLarge, tooLargeText(a.opts.MaxBody))
		return nil, false
	}
	var buf bytes.Buffer
	// What is only announced is not paid for in advance beyond a modest size.
	buf.Grow(int(min(max(r.ContentLength, 0), 64<<10)) + bytes.MinRead)
	_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, a.opts.MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return buf.Bytes(), true
	case errors.As(err, &tooLarge):
		refuseAndClose(w, http.StatusRequestEntityTooLarge, tooLargeText(a.opts.MaxBody))
	default:
		refuseAndClose(w, http.StatusBadRequest, "The body could not be read.")
	}
	return nil, false
}

func tooLargeText(limit int64) string {
	return fmt.Sprintf("The body must not be larger than %d bytes (max_body_bytes).", limit)
}

// refuse answers a request that is wrong as HTTP.
func refuse(w http.ResponseWriter, status int, sentence string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain")
	h.Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, sentence+"\n")
}

// refuseAndClose is refuse for a body that has not been read to its end: what
// remains of it is not worth reading, and nobody need agree with us about where
// the next request would begin.
func refuseAndClose(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Connection", "close")
	refuse(w, status, sentence)
}
