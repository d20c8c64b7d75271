package server

import "github.com/shaveet/shaveet/gc"

// swept hears of every sweep. One that could not do its work does not count:
// who watches the metrics sees that there are no more of them.
func (s *Server) swept(sw gc.Sweep) {
	if sw.LetGo > 0 {
		s.log.Info("let go of idle clients", "clients", sw.LetGo, "took", sw.Took)
	}
	if sw.Err == nil {
		s.metrics.Swept(sw.Took)
	}
}
