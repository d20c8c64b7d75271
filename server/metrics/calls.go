package metrics

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Called notes a call of the admin API. code is that of the error it was
// answered with, 0 for none. The method "" is one that does not exist.
func (m *Metrics) Called(method string, code int, took time.Duration) {
	of := m.byMethod.get(method, m.calls)
	of.calls.Inc()
	m.callTime.Observe(took.Seconds())
	if code != 0 {
		m.faults.WithLabelValues(of.label, strconv.Itoa(code)).Inc()
	}
}

// unknown is the label of methods that do not exist.
const unknown = "unknown"

// maxMethods is more than there are.
const maxMethods = 100

// methods have what is counted for each. They are bounded whatever callers ask
// for, and do not keep the request alive that their names were read from.
type methods struct {
	seen   atomic.Pointer[map[string]*method] // never written to; nil: none yet
	adding sync.Mutex                         // held by who replaces seen
}

type method struct {
	label string
	calls prometheus.Counter
}

func (all *methods) get(name string, calls *prometheus.CounterVec) *method {
	if name == "" {
		name = unknown
	}
	if of := all.known()[name]; of != nil {
		return of
	}
	return all.add(name, calls)
}

func (all *methods) known() map[string]*method {
	if seen := all.seen.Load(); seen != nil {
		return *seen
	}
	return nil
}

func (all *methods) add(name string, calls *prometheus.CounterVec) *method {
	all.adding.Lock()
	defer all.adding.Unlock()
	seen := maps.Clone(all.known())
	if seen == nil {
		seen = make(map[string]*method)
	}
	if len(seen) >= maxMethods {
		name = unknown
	}
	of := seen[name]
	if of == nil {
		name = strings.Clone(name)
		of = &method{name, calls.WithLabelValues(name)}
		seen[name] = of
		all.seen.Store(&seen)
	}
	return of
}
