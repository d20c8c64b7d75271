package transport

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
)

// Options are what transports have in common whose readers hold their position.
// Zero fields mean the defaults.
type Options struct {
	// Lot holds the connections, and says when it is time to go. It must not
	// be nil.
	Lot *park.Lot

	Heartbeat  time.Duration // a stream without news says so each time this has passed; default 20 s
	Retry      time.Duration // who is sent away comes again after once to twice this; default 2 s
	MaxClients int           // clients that one reader may read for; default 16
	MaxBody    int64         // bytes of what a reader says; default 64 KiB
	Logger     *slog.Logger  // default slog.Default()

	// Jitter spreads the times after which readers come again; default
	// [Jitter].
	Jitter func(time.Duration) time.Duration
}

// WithDefaults returns o with the defaults for what is zero.
func (o Options) WithDefaults() Options {
	if o.Heartbeat == 0 {
		o.Heartbeat = 20 * time.Second
	}
	if o.Retry == 0 {
		o.Retry = 2 * time.Second
	}
	if o.MaxClients == 0 {
		o.MaxClients = 16
	}
	if o.MaxBody == 0 {
		o.MaxBody = 64 << 10
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Jitter == nil {
		o.Jitter = Jitter
	}
	return o
}

// A Host lets readers in, or tells them why not. It is what handlers of all
// these transports begin with, and is safe for concurrent use.
type Host struct {
	Hub *hub.Hub
	Options
}

// NewHost returns a host that lets readers into h.
func NewHost(h *hub.Hub, o Options) *Host { return &Host{h, o.WithDefaults()} }

// Limits bound what a reader may say.
func (h *Host) Limits() HelloLimits { return HelloLimits{Clients: h.MaxClients, Body: h.MaxBody} }

// RetryTime draws a time after which a reader that has to go may come again.
func (h *Host) RetryTime() time.Duration { return h.Jitter(h.Retry) }

// Beat returns how often a stream is to say that it stands: as often as its
// reader wants, but not more than once a second, and not more seldom than the
// heartbeat.
func (h *Host) Beat(hello Hello) time.Duration {
	if hello.Wait == NoWait {
		return h.Heartbeat
	}
	return min(max(hello.Wait, time.Second), h.Heartbeat)
}

// Read reads r, a GET or POST request, to its end. query is its query string,
// read already. With HTTP/1, what was refused because of r is the last thing on
// its connection, unless it has no body: where the next request begins is not
// left to whoever stands in between.
func (h *Host) Read(w http.ResponseWriter, r *http.Request) (hello Hello, query url.Values, err error) {
	defer func() {
		if err != nil && r.ContentLength != 0 && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
	}()
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST, OPTIONS")
		return Hello{}, nil, &Refusal{Status: http.StatusMethodNotAllowed,
			Type: "method_not_allowed", Message: "what is here is read by GET or POST"}
	}
	if query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return Hello{}, nil, invalid("the query string cannot be read")
	}
	hello, err = ReadHello(r, query, h.Limits())
	return hello, query, err
}

// Gone is what readers are told who may not read for all their clients.
func (h *Host) Gone(creds []hub.Credentials) hub.Batch {
	var b hub.Batch
	named := make(map[string]bool)
	for _, c := range creds {
		if !named[c.ID] && !h.Hub.Opens(c) {
			named[c.ID] = true
			b.Signals = append(b.Signals, hub.Signal{Type: hub.SignalGone, Client: c.ID})
		}
	}
	return b
}

// RefusalOf says what a reader is told of err, and logs what is no fault of
// anybody but the server. ctx is the reader's.
func (h *Host) RefusalOf(ctx context.Context, err error) *Refusal {
	refusal := RefusalOf(err, h.RetryTime())
	if (refusal.Status == http.StatusInternalServerError || Left(err)) && ctx.Err() == nil {
		h.Logger.Error("a reader could not be let in", "err", err)
	}
	return refusal
}

// Refuse answers a request that cannot be held because of err: with a batch if
// its clients are gone, else with an error.
func (h *Host) Refuse(w http.ResponseWriter, r *http.Request, creds []hub.Credentials, err error) {
	if errors.Is(err, hub.ErrBadCredentials) {
		gone := h.Gone(creds)
		JSON(w, http.StatusNotFound, AppendBatch(nil, &gone, 0))
		return
	}
	refusal := h.RefusalOf(r.Context(), err)
	refusal.Header(w.Header())
	JSON(w, refusal.Status, refusal.Body())
}
