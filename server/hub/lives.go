package hub

// A Life is a turn in that of a client.
type Life struct {
	Client   string
	Kind     LifeKind
	Channels []string // that it was on, or is again; without quiet ones
	At       Position
}

// A LifeKind is what has become of a client.
type LifeKind uint8

// What can become of a client.
const (
	LetGo  LifeKind = iota + 1 // it was idle; it comes back by itself, with its key
	Killed                     // the backend has ended it
	Back                       // it was let go and is here again
)

// live tells what has become of clients. The log's lock is held.
func (h fold) live(e Entry, kind LifeKind, ids ...string) {
	if h.lives == nil || e.Foreign {
		return
	}
	for _, id := range ids {
		c := h.clients.get(id)
		if c == nil || c.socket {
			continue
		}
		life := Life{Client: id, Kind: kind, At: h.position(e.Last)}
		for _, p := range e.Pairs {
			if p.Client == id && !quiet(p.Channel) {
				life.Channels = append(life.Channels, p.Channel)
			}
		}
		h.lives(life)
	}
}
