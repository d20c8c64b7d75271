package hub

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ChannelSettings are what channels may differ in. A number that is 0 means
// what the hub's limits say for all channels.
type ChannelSettings struct {
	Window        time.Duration `help:"how long a message is kept; a shorter one holds for older messages when the first newer one goes"`
	Messages      int           `help:"messages kept"`
	Bytes         int           `help:"bytes kept, each message charged its length + 256"`
	Members       int           `help:"members at most; 0: as many as there are clients"`
	NoticeMembers int           `help:"members above which their number is told, once a second at most, instead of who joins and leaves"`
	Notices       bool          `help:"whether members are told who joins and leaves; if not, they are told how many they are"`
	Presence      bool          `help:"whether members are told anything of each other; if not, the admin API alone knows"`
}

// DefaultChannelSettings returns what a channel has that no rule names.
func DefaultChannelSettings() ChannelSettings { return ChannelSettings{Notices: true, Presence: true} }

// A ChannelRule gives settings to the channels whose names match a pattern,
// see [Match]. Of the rules that match a name the one with the most plain
// characters in its pattern counts, and no other.
type ChannelRule struct {
	Pattern string
	ChannelSettings
}

// MaxChannelRules is how many rules there may be: each is compared with the
// name of a channel that begins.
const MaxChannelRules = 100

// CheckChannelRules says all that is wrong with the rules, beside those limits.
func CheckChannelRules(rules []ChannelRule, l Limits) error {
	l = l.withDefaults()
	var faults []error
	if len(rules) > MaxChannelRules {
		faults = append(faults, fmt.Errorf("channel: there may be %d patterns at most", MaxChannelRules))
	}
	seen := make(map[string]bool)
	for _, r := range rules {
		if seen[r.Pattern] {
			faults = append(faults, fmt.Errorf("channel %q: is there twice", r.Pattern))
		}
		seen[r.Pattern] = true
		for _, fault := range r.faults(l) {
			faults = append(faults, fmt.Errorf("channel %q: %s", r.Pattern, fault))
		}
	}
	return errors.Join(faults...)
}

func (r ChannelRule) faults(l Limits) (faults []string) {
	if err := CheckChannelName(r.Pattern, l.NameBytes); err != nil {
		faults = append(faults, err.Error())
	}
	if r.Window < 0 || min(r.Messages, r.Bytes, r.Members, r.NoticeMembers) < 0 {
		faults = append(faults, "must not have negative numbers")
	}
	if r.Bytes > 0 && r.Bytes < l.MessageBytes+overhead {
		faults = append(faults, fmt.Sprintf("bytes: must hold a message of message_bytes = %d and %d more", l.MessageBytes, overhead))
	}
	if int64(r.Bytes) > l.TotalBytes {
		faults = append(faults, fmt.Sprintf("bytes: must not be more than total_bytes = %d", l.TotalBytes))
	}
	return faults
}

// conf is what can be changed while the hub runs. It is replaced as a whole.
type conf struct {
	limits   Limits
	rules    []ChannelRule // the one that counts first
	settings []settings    // for each rule, and last for channels without one
	quiet    []settings    // the same, for quiet channels
	capped   bool          // there is a rule that limits members
}

// settings are a channel's, with the hub's limits in the place of zeros.
type settings struct {
	ChannelSettings
	of *conf // by which a channel knows whether these are the newest
}

func newConf(l Limits, rules []ChannelRule) *conf {
	rules = slices.Clone(rules)
	slices.SortFunc(rules, func(a, b ChannelRule) int {
		return ComparePatterns(a.Pattern, b.Pattern)
	})
	c := &conf{limits: l, rules: rules}
	for _, r := range append(rules[:len(rules):len(rules)], ChannelRule{ChannelSettings: DefaultChannelSettings()}) {
		s := r.ChannelSettings
		s.Window = cmp.Or(s.Window, l.Window)
		s.Messages = cmp.Or(s.Messages, l.ChannelMessages)
		s.Bytes = cmp.Or(s.Bytes, l.ChannelBytes)
		s.NoticeMembers = cmp.Or(s.NoticeMembers, l.NoticeMembers)
		c.settings = append(c.settings, settings{s, c})
		s.Notices, s.Presence = false, false
		c.quiet = append(c.quiet, settings{s, c})
		c.capped = c.capped || s.Members > 0
	}
	return c
}

// tells reports whether notices tell who joins and leaves a channel with so many
// members.
func (s *settings) tells(members int) bool {
	return s.Presence && s.Notices && members <= s.NoticeMembers
}

// find returns the settings for the channel of this name.
func (c *conf) find(name string) *settings {
	all := c.settings
	if quiet(name) {
		all = c.quiet
	}
	for i, r := range c.rules {
		if Match(r.Pattern, name) {
			return &all[i]
		}
	}
	return &all[len(c.rules)]
}

// settings returns what holds for ch now.
func (ch *channel) settings() *settings {
	c := ch.hub.conf.Load()
	s := ch.set.Load()
	if s == nil || s.of != c {
		s = c.find(ch.name)
		ch.set.Store(s)
	}
	return s
}

func (h *Hub) limits() *Limits { return &h.conf.Load().limits }

// Limits returns the limits in force.
func (h *Hub) Limits() Limits { return *h.limits() }

// Configure replaces the limits and the channel rules; zero limits mean their
// defaults. What is over a smaller limit goes bit by bit: clients, channels and
// memberships when they end by themselves, messages with the next ones of their
// channel, or of the hub. With an error, which says all that is wrong, nothing
// has changed.
func (h *Hub) Configure(l Limits, rules []ChannelRule) error {
	l = l.withDefaults()
	if err := errors.Join(l.Validate(), CheckChannelRules(rules, l)); err != nil {
		return err
	}
	h.confMu.Lock()
	defer h.confMu.Unlock()
	h.conf.Store(newConf(l, rules))
	return nil
}

// Match reports whether pattern covers name: a * in it stands for any
// characters, also none; a \ makes the next character a plain one.
func Match(pattern, name string) bool {
	// Where a * stood last, and what of name it has been given so far: when the
	// rest does not match, it is given one more.
	star, given := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, given = p, n
			p++
			continue
		case p+1 < len(pattern) && pattern[p] == '\\' && pattern[p+1] == name[n]:
			p, n = p+2, n+1
			continue
		case p < len(pattern) && pattern[p] == name[n] && (pattern[p] != '\\' || p+1 == len(pattern)):
			p, n = p+1, n+1
			continue
		case star < 0:
			return false
		}
		given++
		p, n = star+1, given
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// ComparePatterns orders patterns: of those that match a name the first counts,
// which has the most plain characters.
func ComparePatterns(a, b string) int {
	return cmp.Or(plain(b)-plain(a), strings.Compare(a, b))
}

// plain returns how many characters of pattern stand for themselves.
func plain(pattern string) (n int) {
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '*' {
			continue
		}
		if pattern[i] == '\\' && i+1 < len(pattern) {
			i++
		}
		n++
	}
	return n
}
