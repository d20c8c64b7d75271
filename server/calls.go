package server

import (
	"context"
	"log/slog"
	"time"
)

// called hears of every call of the admin API, each of a batch by itself: its
// method, "" for one that does not exist, and the code of the error it was
// answered with, 0 for none. Parameters and results, and so keys, are not for
// the log.
func (s *Server) called(ctx context.Context, method string, code int, took time.Duration) {
	s.metrics.Called(method, code, took)
	if !s.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, "admin call",
		slog.String("method", method), slog.Int("code", code), slog.Duration("took", took))
}
