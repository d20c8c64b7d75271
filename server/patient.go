package server

import (
	"net/http"
	"time"
)

// patient waits for a request's body only so long. A chunked body is the last
// thing on its connection: should its header have named a length as well, we
// and a proxy could disagree about where the next request begins. So is what
// HTTP/1.0 sends, where net/http passes over that header.
func (s *Server) patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			setReadDeadline(w, time.Now().Add(s.cfg.BodyTimeout))
		}
		if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// setReadDeadline is that of [http.ResponseController], which would be made anew
// for each request. Every connection of net/http has deadlines.
func setReadDeadline(w http.ResponseWriter, at time.Time) {
	for {
		switch of := w.(type) {
		case interface{ SetReadDeadline(time.Time) error }:
			_ = of.SetReadDeadline(at)
			return
		case interface{ Unwrap() http.ResponseWriter }:
			w = of.Unwrap()
		default:
			return
		}
	}
}
