package redistest

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Sentinels watch one primary and its copies, and make a copy primary when most
// of them agree that the primary is away.
type Sentinels struct {
	Name string // of what they watch
	All  []*Server

	t    testing.TB
	user *url.Userinfo // who callers of the servers have to be
}

// StartSentinels starts n of them for a primary, which has its copies already,
// and waits until they know each other and the copies. The primary counts as
// away when quorum of them have not heard of it for downAfter. Servers have to
// be without TLS.
func StartSentinels(t testing.TB, n int, primary *Server, quorum int, downAfter time.Duration) *Sentinels {
	t.Helper()
	all := &Sentinels{Name: "shaveet", t: t, user: primary.user}
	for range n {
		s := prepare(t)
		s.run("redis-sentinel", all.lines(s, primary, quorum, downAfter))
		all.All = append(all.All, s)
	}
	copies := primary.Info("replication", "connected_slaves")
	for _, s := range all.All {
		s.until("knows the others", func() bool {
			of := all.facts(s)
			return of["flags"] == "master" && of["num-slaves"] == copies && of["num-other-sentinels"] == strconv.Itoa(n-1)
		})
	}
	return all
}

func (all *Sentinels) lines(s, primary *Server, quorum int, downAfter time.Duration) []string {
	ms := downAfter.Milliseconds()
	lines := []string{
		"port " + s.port(),
		"sentinel monitor " + all.Name + " " + primary.host() + " " + primary.port() + " " + strconv.Itoa(quorum),
		"sentinel down-after-milliseconds " + all.Name + " " + strconv.FormatInt(ms, 10),
		// Who has stood for election in vain waits for twice as long.
		"sentinel failover-timeout " + all.Name + " " + strconv.FormatInt(max(2000, 3*ms), 10),
	}
	if primary.user != nil {
		secret, _ := primary.user.Password()
		if name := primary.user.Username(); name != "" {
			lines = append(lines, "sentinel auth-user "+all.Name+" "+name)
		}
		lines = append(lines, "sentinel auth-pass "+all.Name+" "+strconv.Quote(secret))
	}
	return lines
}

// facts is what one of them says of the primary; nil if it says nothing.
func (all *Sentinels) facts(s *Server) map[string]string {
	if said := all.ask(s, "MASTER"); len(said) == 1 {
		return said[0]
	}
	return nil
}

// ask returns what one of them says of servers: MASTER of the primary, REPLICAS
// of its copies.
func (all *Sentinels) ask(s *Server, of string) (servers []map[string]string) {
	out, err := s.try("SENTINEL", of, all.Name)
	if err != nil {
		return nil
	}
	for words := strings.Split(out, "\n"); len(words) >= 2; words = words[2:] {
		name := strings.TrimSpace(words[0])
		if name == "name" { // with which each begins
			servers = append(servers, make(map[string]string))
		}
		if len(servers) > 0 {
			servers[len(servers)-1][name] = strings.TrimSpace(words[1])
		}
	}
	return servers
}

// settled tells whether each of them has the same primary, and has heard from
// each of its copies that it is one.
func (all *Sentinels) settled() bool {
	primary := all.Primary()
	for _, s := range all.All {
		is := all.facts(s)
		if net.JoinHostPort(is["ip"], is["port"]) != primary || is["flags"] != "master" || is["role-reported"] != "master" {
			return false
		}
		for _, copied := range all.ask(s, "REPLICAS") {
			if copied["flags"] != "slave" || copied["role-reported"] != "slave" {
				return false
			}
		}
	}
	return true
}

// Primary is the address that most of them name; "" if they disagree.
func (all *Sentinels) Primary() string {
	votes := make(map[string]int)
	for _, s := range all.All {
		out, err := s.try("SENTINEL", "GET-MASTER-ADDR-BY-NAME", all.Name)
		if host, port, ok := strings.Cut(out, "\n"); err == nil && ok {
			addr := net.JoinHostPort(host, strings.TrimSpace(port))
			if votes[addr]++; 2*votes[addr] > len(all.All) {
				return addr
			}
		}
	}
	return ""
}

// Await waits until s is primary: most of them say so, and so does s.
func (all *Sentinels) Await(s *Server) {
	all.t.Helper()
	s.until("is primary by the word of Sentinel", func() bool {
		if all.Primary() != s.Addr {
			return false
		}
		out, err := s.try("ROLE")
		return err == nil && strings.HasPrefix(out, "master")
	})
}

// Failover has them change the primary, though there is nothing wrong, and
// returns when they have. They give up now and then, and are asked again.
//
// It waits first until all of them know who copies whom. One of them that still
// has a copy for a primary come back, as it was in the seconds before, would make
// a copy of it again after the others have made it primary: then there is none,
// until they find so half a minute later.
func (all *Sentinels) Failover() {
	all.t.Helper()
	all.All[0].until("all know who copies whom", all.settled)
	before := all.Primary()
	all.All[0].until("another is primary", func() bool {
		now := all.Primary()
		if now == before {
			_, _ = all.All[0].try("SENTINEL", "FAILOVER", all.Name) // refused while one is under way
		}
		return now != "" && now != before
	})
}

// URL is where the primary is, for a client that asks Sentinel.
func (all *Sentinels) URL() string {
	query := url.Values{"master_set": {all.Name}}
	for _, s := range all.All[1:] {
		query.Add("addr", s.Addr)
	}
	u := url.URL{Scheme: "redis", User: all.user, Host: all.All[0].Addr, RawQuery: query.Encode()}
	return u.String()
}

// A Set is a primary with a copy, and three Sentinels that watch them.
type Set struct {
	Servers   [2]*Server // the first is primary at the beginning
	Sentinels *Sentinels
}

// downAfter is how long a set's server is silent before it counts as away. After
// a failover Sentinel connects anew, at most once in a second, and asks a second
// later: with less it takes a new primary that is well for dead, too.
const downAfter = 3 * time.Second

// StartSet starts a set. If the primary ends, the other one has taken its place
// some five seconds later.
func StartSet(t testing.TB, options ...Option) *Set {
	t.Helper()
	set := &Set{Servers: [2]*Server{Start(t, options...), Start(t, options...)}}
	for i, s := range set.Servers { // either may have to copy the other one day
		if s.user != nil {
			s.follow(set.Servers[1-i])
		}
	}
	set.Servers[1].Follow(set.Servers[0])
	set.Sentinels = StartSentinels(t, 3, set.Servers[0], 2, downAfter)
	return set
}

// URL is where the set is, for a client.
func (set *Set) URL() string { return set.Sentinels.URL() }

// Primary is the server that Sentinel names now, and the other one. Both are
// nil while there is none.
func (set *Set) Primary() (primary, copied *Server) {
	switch a, b := set.Servers[0], set.Servers[1]; set.Sentinels.Primary() {
	case a.Addr:
		return a, b
	case b.Addr:
		return b, a
	}
	return nil, nil
}
