package gallery

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	heartbeat = 15 * time.Second
	writeTime = 10 * time.Second       // for a page to take what is sent
	breath    = 100 * time.Millisecond // between two sendings: a page need not be told ten times in that
)

// events tells a page what passes, as Server-Sent Events: from the beginning of
// what is kept, or behind the event that it had last. What has passed at each
// door in all goes with them, for the page may have missed some.
func (s *show) events(w http.ResponseWriter, r *http.Request) {
	last, _ := strconv.ParseUint(cmp.Or(r.Header.Get("Last-Event-ID"), r.FormValue("after")), 10, 64)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	// A page of an earlier life has to load anew: its examples' glasses are gone.
	text := fmt.Appendf(nil, "event: life\ndata: %s\n\n", s.life)
	for {
		lines, lost, now, more := s.backlog.after(last)
		if lost > 0 {
			text = fmt.Appendf(text, "event: lost\ndata: %d\n\n", lost)
		}
		last = now - uint64(len(lines))
		for _, line := range lines {
			last++
			text = fmt.Appendf(text, "id: %d\ndata: %s\n\n", last, line)
		}
		text = fmt.Appendf(text, "event: passed\ndata: %s\n\n", s.backlog.passed())
		_ = out.SetWriteDeadline(time.Now().Add(writeTime))
		if _, err := w.Write(text); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-time.After(breath):
		case <-r.Context().Done():
			return
		}
		text = text[:0]
		select {
		case <-more:
		case <-time.After(heartbeat): // the sums are said again, so a page that is gone is noticed
		case <-r.Context().Done():
			return
		}
	}
}
