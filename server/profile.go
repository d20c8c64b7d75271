package server

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"
)

// profiles are those that the runtime keeps all the time. net/http/pprof would
// serve them too, but whoever imports it, and so us, opens them on
// http.DefaultServeMux.
var profiles = []string{"allocs", "goroutine", "heap", "threadcreate"}

const profilesAt = "/debug/pprof/"

// profiling are the URLs that go tool pprof and go tool trace read.
func (s *Server) profiling() routes {
	all := routes{
		profilesAt:             onlyGET(http.HandlerFunc(profileIndex)),
		profilesAt + "profile": onlyGET(s.recording("profile", 30, pprof.StartCPUProfile, pprof.StopCPUProfile)),
		profilesAt + "trace":   onlyGET(s.recording("trace", 1, trace.Start, trace.Stop)),
	}
	for _, name := range profiles {
		all[profilesAt+name] = onlyGET(snapshot(name))
	}
	return all
}

func profileIndex(w http.ResponseWriter, _ *http.Request) {
	profileHeader(w, "text/plain; charset=utf-8", "")
	fmt.Fprintln(w, "profile?seconds=30  what the processor does; for go tool pprof\ntrace?seconds=1     what all goroutines do; for go tool trace")
	for _, name := range profiles {
		fmt.Fprintf(w, "%-18s  %d entries now; ?debug=1 as text\n", name, pprof.Lookup(name).Count())
	}
}

// snapshot answers with a profile that the runtime has already.
func snapshot(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asText, _ := strconv.Atoi(q.Get("debug"))
		if gc, _ := strconv.Atoi(q.Get("gc")); gc > 0 && name == "heap" {
			runtime.GC()
		}
		if asText > 0 {
			profileHeader(w, "text/plain; charset=utf-8", "")
		} else {
			profileHeader(w, "application/octet-stream", name)
		}
		pprof.Lookup(name).WriteTo(w, asText)
	})
}

// maxRecording is the longest recording, in seconds.
const maxRecording = 300

// recording answers with what happens in the seconds to come, or fewer if the
// caller or the server goes.
func (s *Server) recording(name string, usual int, begin func(io.Writer) error, end func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seconds := usual
		if given := r.URL.Query().Get("seconds"); given != "" {
			seconds, _ = strconv.Atoi(given)
		}
		if seconds < 1 || seconds > maxRecording {
			text(w, http.StatusBadRequest, fmt.Sprintf("seconds must be 1 to %d", maxRecording))
			return
		}
		length := time.Duration(seconds) * time.Second
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(length + s.cfg.WriteTimeout))
		profileHeader(w, "application/octet-stream", name)
		if err := begin(w); err != nil {
			w.Header().Del("Content-Disposition")
			text(w, http.StatusConflict, "Somebody else is recording already")
			return
		}
		defer end()
		timer := time.NewTimer(length)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		case <-s.drain.Done():
		}
	})
}

func profileHeader(w http.ResponseWriter, contentType, file string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if file != "" {
		h.Set("Content-Disposition", `attachment; filename="`+file+`"`)
	}
}
