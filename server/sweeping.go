package server

import (
	"context"
	"time"

	"github.com/shaveet/shaveet/gc"
	"github.com/shaveet/shaveet/server/metrics"
)

// sweeping is the hub as the sweeper sees it. It notes when a sweep was at
// work: each ages messages first and tidies up last.
type sweeping struct {
	gc.Hub
	metrics *metrics.Metrics
	began   time.Time // of the sweep under way; zero: none
}

// EvictAged is part of [gc.Hub].
func (s *sweeping) EvictAged(max int) (more bool) {
	if s.began.IsZero() {
		s.began = time.Now()
	}
	return s.Hub.EvictAged(max)
}

// Tidy is part of [gc.Hub].
func (s *sweeping) Tidy(ctx context.Context) error {
	err := s.Hub.Tidy(ctx)
	if err == nil {
		s.metrics.Swept(time.Since(s.began))
	}
	s.began = time.Time{}
	return err
}
