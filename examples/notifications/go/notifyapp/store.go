package notifyapp

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// What strangers can make us keep is bounded.
const (
	maxUsers    = 1000
	maxSessions = 10000
	maxKept     = 1000 // notifications; the oldest go
	shown       = 100  // of them, in a list
)

// A user's id is drawn and not counted: after a restart of this program nobody
// gets an id, and with it a channel, that was somebody else's. Names may hold
// anything, so they are never a part of the names of channels and clients.
type user struct{ id, name string }

// channel is the user's own channel, and also the id of their client.
func (u user) channel() string { return "user:" + u.id }

type notification struct {
	Number   int    `json:"number"` // grows by 1, over all users
	From     string `json:"from"`
	Text     string `json:"text"`
	Time     int64  `json:"time"` // Unix ms
	Everyone bool   `json:"everyone"`

	channel   string // where it is said, and so who may see it
	publishID string
}

// store is the truth about notifications. A real one is a database.
type store struct {
	mu       sync.Mutex // guards all below
	life     string     // of this store; its numbers begin at 1, so publish ids need more than them
	last     int
	users    map[string]user // by name
	sessions map[string]user
	readUpTo map[user]int
	kept     []notification // the oldest first
	waiting  []notification // Shaveet has not been told yet
}

func newStore() *store {
	return &store{life: rand.Text(), users: map[string]user{}, sessions: map[string]user{}, readUpTo: map[user]int{}}
}

// login returns a new session of the user, who need not exist.
func (s *store) login(name string) (session string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.users[name]
	if len(s.sessions) >= maxSessions || !ok && len(s.users) >= maxUsers {
		return "", refuse(http.StatusServiceUnavailable, "there is no more room")
	}
	if !ok {
		u = user{rand.Text(), name}
		s.users[name] = u
	}
	session = rand.Text()
	s.sessions[session] = u
	return session, nil
}

func (s *store) logout(session string) (user, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.sessions[session]
	delete(s.sessions, session)
	return u, ok
}

func (s *store) user(session string) (user, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.sessions[session]
	return u, ok
}

func (s *store) add(from user, to string, toAll bool, text string) (notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	channel := everyone
	if !toAll {
		u, ok := s.users[to]
		if !ok {
			return notification{}, refuse(http.StatusNotFound, "nobody of this name has ever logged in")
		}
		channel = u.channel()
	}
	s.last++
	n := notification{s.last, from.name, text, time.Now().UnixMilli(), toAll, channel, fmt.Sprintf("%s-%d", s.life, s.last)}
	s.kept = newest(append(s.kept, n), maxKept)
	s.waiting = newest(append(s.waiting, n), maxKept)
	return n, nil
}

func newest(all []notification, limit int) []notification { return all[max(0, len(all)-limit):] }

func (s *store) unsaid() []notification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.waiting)
}

func (s *store) said(n notification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(w notification) bool { return w.Number == n.Number })
}

// list is what a page shows when it opens, and goes back to when it may have
// missed something.
func (s *store) list(u user) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := []notification{}
	unread := 0
	for _, n := range s.kept {
		if n.channel != u.channel() && n.channel != everyone {
			continue
		}
		mine = append(mine, n)
		if n.Number > s.readUpTo[u] {
			unread++
		}
	}
	people := []string{}
	for name := range s.users {
		people = append(people, name)
	}
	slices.Sort(people)
	return map[string]any{"name": u.name, "notifications": newest(mine, shown), "unread": unread, "read": s.readUpTo[u], "people": people}
}

// read notes that a user has read all up to a number, and returns up to where.
func (s *store) read(u user, number int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readUpTo[u] = max(s.readUpTo[u], min(number, s.last))
	return s.readUpTo[u]
}
