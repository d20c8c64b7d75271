package hub_test

import (
	"strconv"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// A modelRetry is a publish id that has been used.
type modelRetry struct {
	scope, id string
	said      string // what, and to whom
	at        time.Time
	event     *event // the last one
	places    int    // how many there are
}

// publishOnce publishes under an id. It returns nil and the reason if that is
// refused.
func (m *model) publishOnce(channel, id string, data int) (e *event, repeated bool, refusal error) {
	r := &modelRetry{scope: channel, id: id, said: strconv.Itoa(data), places: 1}
	if e, refusal = m.earlier(r); e != nil || refusal != nil {
		return e, e != nil, refusal
	}
	e = m.publish(channel)
	m.remember(r, e)
	return e, false, nil
}

// earlier returns what was said before under the id of r, or why it is refused.
func (m *model) earlier(r *modelRetry) (*event, error) {
	m.expireRetries(2)
	places := 0
	for _, o := range m.retries {
		places += o.places
		switch {
		case o.scope != r.scope || o.id != r.id || m.expired(o):
		case o.said == r.said:
			return o.event, nil
		default:
			return nil, hub.ErrConflict
		}
	}
	if places+r.places > m.limits.PublishIDs && !m.roomFor(r) {
		return nil, hub.ErrLimitReached
	}
	return nil, nil
}

// roomFor forgets all ids whose time is over, and reports whether that makes
// room for r.
func (m *model) roomFor(r *modelRetry) bool {
	m.expireRetries(len(m.retries))
	places := r.places
	for _, o := range m.retries {
		places += o.places
	}
	return places <= m.limits.PublishIDs
}

func (m *model) remember(r *modelRetry, e *event) {
	r.at, r.event = time.Now(), e
	m.retries = append(m.retries, r)
}

func (m *model) expired(r *modelRetry) bool { return time.Since(r.at) > m.limits.PublishIDAge }

// expireRetries forgets the oldest ids if their time is over, max at most.
func (m *model) expireRetries(max int) {
	for range min(max, len(m.retries)) {
		if m.expired(m.retries[0]) {
			m.retries = m.retries[1:]
		}
	}
}
