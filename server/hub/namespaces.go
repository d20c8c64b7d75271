package hub

import (
	"context"
	"maps"
	"slices"
)

// A Namespace is one that was declared, beside those of the configuration.
type Namespace struct {
	Pattern string            // a name, or a pattern as [Match] has them
	Open    bool              // everybody may connect, without a client
	Handler string            // the name of who answers what is said in it; "": nobody
	Events  []string          // that its clients may say; none: all
	Relay   map[string]string // events that are handed on, and the channel each goes to; "*": the first argument names it
	Remove  bool              // there is no such one any more
}

// anyChannel is what a relay rule says when the first argument names the channel.
const anyChannel = "*"

// Declare has a namespace be as n says from now on, as long as the log lives.
// Who is connected to it stays so.
func (h *Hub) Declare(ctx context.Context, n Namespace) error {
	if err := h.checkNamespace(&n); err != nil {
		return err
	}
	n.Events, n.Relay = slices.Clone(n.Events), maps.Clone(n.Relay)
	_, err := h.append(ctx, Command{Op: OpDeclare, Namespace: &n})
	return err
}

func (h *Hub) checkNamespace(n *Namespace) error {
	l := h.limits()
	if err := CheckNamespace(n.Pattern); err != nil {
		return err
	}
	if err := checkName("a namespace", RoomChannel(n.Pattern, ""), l.NameBytes); err != nil {
		return err
	}
	if len(n.Events)+len(n.Relay) > maxNamespaceEvents {
		return h.refuse(limitReached("events of a namespace", maxNamespaceEvents))
	}
	if n.Handler != "" {
		if err := checkName("a handler", n.Handler, l.NameBytes); err != nil {
			return err
		}
	}
	for _, event := range n.Events {
		if err := CheckEvent(event, l.NameBytes); err != nil {
			return err
		}
	}
	return CheckRelay(n.Relay, l.NameBytes)
}

// maxNamespaceEvents is how many events one declaration may name.
const maxNamespaceEvents = 1000

// CheckRelay says what is wrong with the rules. The error is an [*Error] of kind
// Invalid.
func CheckRelay(rules map[string]string, nameBytes int) error {
	for _, event := range slices.Sorted(maps.Keys(rules)) {
		if err := CheckEvent(event, nameBytes); err != nil {
			return err
		}
		if channel := rules[event]; channel != anyChannel {
			if err := CheckChannelName(channel, nameBytes); err != nil {
				return err
			}
			if err := notQuiet(channel); err != nil {
				return err
			}
		}
	}
	return nil
}

// AnyDeclared reports whether there is a declared namespace.
func (h *Hub) AnyDeclared() bool {
	all := h.declared.Load()
	return all != nil && len(*all) > 0
}

// Declared returns what was declared of the namespace: by its name, or else by
// the pattern with the most plain characters of those that match.
func (h *Hub) Declared(name string) (n *Namespace, ok bool) {
	all := h.declared.Load()
	if all == nil {
		return nil, false
	}
	if n, ok := (*all)[name]; ok {
		return n, true
	}
	for pattern, one := range *all {
		if Match(pattern, name) && (n == nil || ComparePatterns(pattern, n.Pattern) < 0) {
			n = one
		}
	}
	return n, n != nil
}

// checkDeclare leaves out what changes nothing, and says if there are too many.
func (h fold) checkDeclare(cmd *Command) error {
	var all map[string]*Namespace
	if p := h.declared.Load(); p != nil {
		all = *p
	}
	_, there := all[cmd.Namespace.Pattern]
	limit := h.limits().Namespaces
	switch {
	case cmd.Namespace.Remove && !there:
		*cmd = Command{}
	case !cmd.Namespace.Remove && !there && len(all) >= limit:
		return limitReached("namespaces", limit)
	}
	return nil
}

func (h fold) declare(n *Namespace) {
	all := make(map[string]*Namespace)
	if p := h.declared.Load(); p != nil {
		maps.Copy(all, *p)
	}
	if n.Remove {
		delete(all, n.Pattern)
	} else {
		all[n.Pattern] = n
	}
	h.declared.Store(&all)
}
