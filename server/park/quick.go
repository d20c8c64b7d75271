package park

import (
	"bufio"
	"bytes"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"time"
)

// A quick request is one that the crew serves by itself: the next poll on a
// connection that waits here. It is the request of a page of ours as browsers
// send it, read by net/http's own parser, and served by the server's own handler.
// Whatever is not quite so goes to the server with what has come of it, so
// nothing is refused here.

// readQuick reads a request that is here as a whole. rest is what stands behind
// it.
func (l *Lot) readQuick(came []byte, srv *http.Server, d *desk) (r *http.Request, rest []byte, ok bool) {
	end := bytes.Index(came, []byte("\r\n\r\n")) + 4
	if end < 4 || srv.MaxHeaderBytes > 0 && end > srv.MaxHeaderBytes {
		return nil, nil, false
	}
	length, ok := plainHead(came[:end-2], l.opts.Quick)
	if !ok || length > len(came)-end {
		return nil, nil, false
	}
	d.whole.Reset(came[:end+length])
	d.lines.Reset(&d.whole)
	r, err := http.ReadRequest(d.lines)
	if err != nil || r.Close || r.ContentLength != int64(length) || len(r.TransferEncoding) > 0 {
		return nil, nil, false
	}
	return r, came[end+length:], true
}

// plainHead reports whether a head, to the end of its last line, is one about
// which there are no two opinions, and how many bytes of a body follow it.
func plainHead(head []byte, quick func(path string, upgrade bool) bool) (length int, ok bool) {
	line, head, _ := bytes.Cut(head, crlf)
	method, line, _ := bytes.Cut(line, []byte{' '})
	target, version, _ := bytes.Cut(line, []byte{' '})
	isPost := string(method) == http.MethodPost
	if !isPost && string(method) != http.MethodGet || string(version) != "HTTP/1.1" || !visible(target) {
		return 0, false
	}
	where, _, _ := bytes.Cut(target, []byte{'?'})
	hosts, lengths, upgrade := 0, 0, false
	for len(head) > 0 {
		line, head, ok = bytes.Cut(head, crlf)
		name, value, found := bytes.Cut(line, []byte{':'})
		if !ok || !found || !isName(name) || !printable(value) {
			return 0, false
		}
		value = bytes.Trim(value, " ")
		switch {
		case is(name, "host"):
			hosts++
			if !isHost(value) {
				return 0, false
			}
		case is(name, "content-length"):
			lengths++
			if length, ok = digits(value); !ok || !isPost {
				return 0, false
			}
		case is(name, "connection"):
			if !is(value, "keep-alive") && (isPost || !is(value, "upgrade") && !is(value, "keep-alive, upgrade")) {
				return 0, false
			}
		case is(name, "upgrade"):
			if upgrade = true; isPost || !is(value, "websocket") {
				return 0, false
			}
		case is(name, "transfer-encoding"), is(name, "expect"), is(name, "trailer"):
			return 0, false
		}
	}
	return length, hosts == 1 && lengths <= 1 && quick(string(where), upgrade)
}

var crlf = []byte("\r\n")

// is compares without regard to the case of letters. lower has small ones.
func is(p []byte, lower string) bool {
	return len(p) == len(lower) && bytes.EqualFold(p, []byte(lower))
}

func isName(p []byte) bool {
	return len(p) > 0 && !slices.ContainsFunc(p, func(b byte) bool { return !isLetter(b) && !isDigit(b) && b != '-' })
}

func isHost(p []byte) bool {
	return len(p) > 0 && !slices.ContainsFunc(p, func(b byte) bool { return !isLetter(b) && !isDigit(b) && b != '-' && b != '.' && b != ':' })
}

func visible(p []byte) bool {
	return len(p) > 0 && !slices.ContainsFunc(p, func(b byte) bool { return b <= ' ' || b > '~' })
}

func printable(p []byte) bool {
	return !slices.ContainsFunc(p, func(b byte) bool { return b < ' ' || b > '~' })
}

func isLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }
func isDigit(b byte) bool  { return '0' <= b && b <= '9' }

// digits reads a short decimal number.
func digits(p []byte) (n int, ok bool) {
	if len(p) == 0 || len(p) > 6 {
		return 0, false
	}
	for _, b := range p {
		if !isDigit(b) {
			return 0, false
		}
		n = 10*n + int(b-'0')
	}
	return n, true
}

// serveWell reports whether the handler has not panicked.
func (l *Lot) serveWell(h http.Handler, w http.ResponseWriter, r *http.Request) (well bool) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			l.opts.Panicked(v, debug.Stack())
		} else {
			well = v == nil
		}
	}()
	h.ServeHTTP(w, r)
	return true
}

// A quickWriter has what a handler answers to a quick request, or who has taken
// the connection for it.
type quickWriter struct {
	conn   *Conn  // which waited for it
	asked  []byte // the request
	age    uint32 // of the lot, as it came
	rest   []byte // what stands behind it
	taker  *Conn  // nil: the handler has answered
	header http.Header
	status int
	lines  []byte // of header, as it was with the status
	sized  bool   // there is a length among them, which is this
	length int64
	typed  bool // and a type
	last   bool // and the word that it is the last of its connection
	body   []byte
}

func (w *quickWriter) Header() http.Header { return w.header }

func (w *quickWriter) WriteHeader(status int) {
	if w.status != 0 || status < 200 {
		return
	}
	w.status = status
	if length := w.header.Get("Content-Length"); length != "" {
		var err error
		w.length, err = strconv.ParseInt(length, 10, 64)
		w.sized = err == nil && w.length >= 0
		if !w.sized {
			w.header.Del("Content-Length")
		}
	}
	w.lines = serialized(w.header)
	w.typed = w.header.Get("Content-Type") != ""
	w.last = w.header.Get("Connection") == "close"
}

func (w *quickWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	if w.sized && int64(len(w.body)+len(p)) > w.length {
		return 0, http.ErrContentLength
	}
	w.body = append(w.body, p...)
	return len(p), nil
}

// FlushError is for [http.ResponseController]: what has been written goes out
// when the handler returns.
func (w *quickWriter) FlushError() error { return nil }

// SetReadDeadline is for [http.ResponseController]: all has come.
func (w *quickWriter) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is for [http.ResponseController].
func (w *quickWriter) SetWriteDeadline(time.Time) error { return nil }

// quickOf finds the quickWriter below w.
func quickOf(w http.ResponseWriter) *quickWriter {
	for {
		switch v := w.(type) {
		case *quickWriter:
			return v
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return nil
		}
	}
}

// answer appends the answer as net/http would write what handlers like ours answer:
// they leave Date to it, and have no trailers.
func (w *quickWriter) answer(dst []byte) []byte {
	w.WriteHeader(http.StatusOK)
	if w.sized && int64(len(w.body)) < w.length { // the next answer must not pass for the rest
		w.last = true
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(w.status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(w.status)...)
	dst = append(dst, "\r\n"...)
	dst = append(dst, w.lines...)
	dst = appendDate(dst)
	if !w.sized && w.status != http.StatusNoContent && w.status != http.StatusNotModified {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(w.body)), 10)
		dst = append(dst, "\r\n"...)
	}
	if len(w.body) > 0 && !w.typed {
		dst = append(dst, "Content-Type: "...)
		dst = append(dst, http.DetectContentType(w.body)...)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	return append(dst, w.body...)
}

// A reading is what a desk has for reading requests.
type reading struct {
	whole bytes.Reader
	lines *bufio.Reader
}
