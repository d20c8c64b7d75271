package chatapp

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"sync"
)

// maxPeople bounds the memory that strangers can take by joining.
const maxPeople = 10000

// person is one browser tab that has joined.
type person struct {
	clientID string // public: Shaveet sends it to everybody as the sender
	token    string // secret: proves to this back end that it is them
	name     string
}

type people struct {
	mu   sync.Mutex // guards byID
	byID map[string]person
}

func newPeople() *people { return &people{byID: map[string]person{}} }

// welcome makes a new person, or renews one who can prove to be the old one.
func (ps *people) welcome(name, clientID, token string) (person, bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p, ok := ps.verifyLocked(clientID, token)
	if !ok {
		if len(ps.byID) >= maxPeople {
			return person{}, false
		}
		p = person{clientID: "chat-" + randomHex(8), token: randomHex(16)}
	}
	p.name = name
	ps.byID[p.clientID] = p
	return p, true
}

func (ps *people) verify(clientID, token string) (person, bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.verifyLocked(clientID, token)
}

func (ps *people) verifyLocked(clientID, token string) (person, bool) {
	p, ok := ps.byID[clientID]
	if !ok || subtle.ConstantTimeCompare([]byte(p.token), []byte(token)) != 1 {
		return person{}, false
	}
	return p, true
}

func (ps *people) name(clientID string) (string, bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p, ok := ps.byID[clientID]
	return p.name, ok
}

func (ps *people) full() bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return len(ps.byID) >= maxPeople
}

// keepOnly forgets everybody else.
func (ps *people) keepOnly(clientIDs []string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	kept := make(map[string]person, len(clientIDs))
	for _, id := range clientIDs {
		if p, ok := ps.byID[id]; ok {
			kept[id] = p
		}
	}
	ps.byID = kept
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
