package engine

import (
	"crypto/rand"
	random "math/rand/v2"
	"strings"
)

// A standing is how a session counts when there are too many. It only ever
// rises.
type standing uint8

const (
	unknown   standing = iota // it is in no table
	stranger                  // its app has not said that it is to stay
	settled                   // the app has
	ended                     // it can be found only for its client to be told so
	displaced                 // another one has its room already
	gone                      // it is in the table no more
)

// Settled says that the session has shown that it is wanted. When there are as
// many as there may be, only those of which that has not been said make room for
// others: whoever begins sessions just to fill the table gets no further. It may
// be called at any time, with the session's lock held too.
func (s *Session) Settled() { s.server.raise(s, settled) }

// find returns the session with this name, nil if there is none.
func (sv *Server) find(name string) *Session {
	name, own := strings.CutPrefix(name, sv.node)
	id, ok := parseSID(name)
	if !own || !ok {
		return nil
	}
	sv.mu.RLock()
	defer sv.mu.RUnlock()
	return sv.sessions[id]
}

// home returns the other node whose session a name could be, "" if it could be of
// none.
func (sv *Server) home(name string) string {
	n := len(sv.node)
	if n == 0 || len(name) != n+sidSize || name[:n] == sv.node {
		return ""
	}
	if _, ok := parseSID(name[n:]); !ok {
		return ""
	}
	return name[:n]
}

// add makes s one of the sessions, and gives it a name. If there are as many as
// there may be, another one has to go, which is up to the caller; it reports
// false if there is none that could.
func (sv *Server) add(s *Session) (victim *Session, ok bool) {
	rand.Read(s.id[:]) // never fails
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if sv.closed {
		return nil, false
	}
	if len(sv.sessions)-len(sv.standing[displaced]) >= s.config.MaxSessions {
		if victim = sv.spare(); victim == nil {
			return nil, false
		}
		sv.move(victim, displaced)
	}
	sv.sessions[s.id] = s
	sv.move(s, stranger)
	return victim, true
}

// spare returns a session that can make room for another one, nil if there is
// none. Which one it is nobody can tell before: whoever comes often displaces
// mostly its own. sv.mu is held.
func (sv *Server) spare() *Session {
	for _, as := range []standing{ended, stranger} {
		if all := sv.standing[as]; len(all) > 0 {
			return all[random.IntN(len(all))]
		}
	}
	return nil
}

func (sv *Server) remove(s *Session) {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	delete(sv.sessions, s.id)
	sv.move(s, gone)
}

// raise has s stand so from now on, unless it stands higher.
func (sv *Server) raise(s *Session, to standing) {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	sv.move(s, to)
}

// move does that. sv.mu is held.
func (sv *Server) move(s *Session, to standing) {
	if to <= s.standing {
		return
	}
	if s.standing != unknown {
		all := &sv.standing[s.standing]
		last := len(*all) - 1
		(*all)[s.slot] = (*all)[last]
		(*all)[s.slot].slot = s.slot
		(*all)[last] = nil
		*all = (*all)[:last]
	}
	s.standing = to
	if to != gone {
		s.slot = int32(len(sv.standing[to]))
		sv.standing[to] = append(sv.standing[to], s)
	}
}
