package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
)

// traceID returns the trace that r says it is part of, by the header
// traceparent of W3C Trace Context, or nothing.
func traceID(r *http.Request) string {
	values := r.Header["Traceparent"]
	if len(values) != 1 {
		return ""
	}
	// version "-" trace-id "-" parent-id "-" flags, and in versions to come more.
	parts := strings.SplitN(values[0], "-", 5)
	if len(parts) < 4 || parts[0] == "ff" || parts[0] == "00" && len(parts) > 4 {
		return ""
	}
	for i, length := range []int{2, 32, 16, 2} {
		if len(parts[i]) != length || strings.Trim(parts[i], "0123456789abcdef") != "" {
			return ""
		}
	}
	if strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return ""
	}
	return parts[1]
}

type traceKey struct{}

// withTrace returns r with its trace in the context, where loggers find it.
func withTrace(r *http.Request) *http.Request {
	id := traceID(r)
	if id == "" {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), traceKey{}, id))
}

// traceOf is the trace that ctx belongs to, or nothing.
func traceOf(ctx context.Context) string {
	id, _ := ctx.Value(traceKey{}).(string)
	return id
}

// A traceHandler adds to lines that belong to a trace which one it is.
type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, line slog.Record) error {
	if id := traceOf(ctx); id != "" {
		line = line.Clone()
		line.AddAttrs(slog.String("trace_id", id))
	}
	return h.Handler.Handle(ctx, line)
}

func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}
