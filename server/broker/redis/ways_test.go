package redis_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/redis"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/tests/redistest"
)

// goes says that a log at this URL works.
func goes(t *testing.T, url string) {
	t.Helper()
	opts := redis.Options{URL: url}
	a, b := join(t, opts), join(t, opts)
	l := &listener{cr: a.create(t, "bob")}
	b.subscribe(t, "bob", "news")
	a.say(t, "news", 1)
	l.listen(t, b, 1)
	c := join(t, opts) // which reads the state
	c.say(t, "news", 2)
	l.listen(t, c, 2)
	l.want(t, 1, 2)
}

func TestWaysToRedis(t *testing.T) {
	t.Run("TLS", func(t *testing.T) {
		server := redistest.Start(t, redistest.TLS)
		goes(t, server.URL()+"?ca="+server.CA)
		server.FlushAll()
		goes(t, server.URL()+"?skip_verify=1")
	})
	t.Run("password", func(t *testing.T) { goes(t, redistest.Start(t, redistest.Password("a secret")).URL()) })
	t.Run("another database", func(t *testing.T) { goes(t, strings.TrimSuffix(redistest.Start(t).URL(), "/0")+"/3") })
	t.Run("as little as the manual says", func(t *testing.T) {
		server := redistest.Start(t)
		server.Do(append([]string{"ACL", "SETUSER", "app", "on", ">pw", "-@all"}, manualACL(t)...)...)
		goes(t, strings.Replace(server.URL(), "redis://", "redis://app:pw@", 1))
	})
}

// manualACL returns what docs/cluster.md says that a user needs.
func manualACL(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("keys `(~[^`]*)` and the commands `([^`]*)`").FindSubmatch(text)
	if m == nil {
		t.Fatal("docs/cluster.md does not say what a user needs")
	}
	return append([]string{string(m[1])}, strings.Fields(string(m[2]))...)
}

func TestBadURLs(t *testing.T) {
	for _, url := range []string{"", "x", "http://a", "redis://user:hidden@host:port", "redis://:hidden@host/db", "redis://u:hidden@[::1",
		"redis://u:hidden@host?ca=/nowhere", "rediss://u:hidden@host?ca=/nowhere", "rediss://u:hidden@host?ca=ways_test.go"} {
		_, err := redis.New(redis.Options{URL: url})
		if err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// TestSentinel has Sentinel make a copy primary that lags behind. Who had heard
// more hears reset, and nothing that is said under the same numbers is taken for
// what was lost.
func TestSentinel(t *testing.T) {
	primary, replica := redistest.Start(t), redistest.Start(t)
	primary.Do("ACL", "SETUSER", "copy", "on", ">pw", "~*", "&*", "+@all")
	replica.Do("CONFIG", "SET", "masteruser", "copy")
	replica.Do("CONFIG", "SET", "masterauth", "pw")
	replica.Follow(primary)
	sentinels := redistest.StartSentinels(t, 3, primary, 2, 500*time.Millisecond)
	opts := redis.Options{URL: sentinels.URL(), Timeout: 20 * time.Second}
	a, b := join(t, opts), join(t, opts)
	behind, ahead := &listener{cr: a.create(t, "behind")}, &listener{cr: a.create(t, "ahead")}
	a.subscribe(t, "behind", "news")
	a.subscribe(t, "ahead", "news")
	for i := 1; i <= 5; i++ {
		a.say(t, "news", i)
	}
	behind.listen(t, a, 5)
	replica.InSync(primary)
	primary.Do("ACL", "SETUSER", "copy", "off")
	primary.Do("CLIENT", "KILL", "USER", "copy")
	for i := 6; i <= 10; i++ { // acknowledged, and lost
		b.say(t, "news", i)
	}
	ahead.listen(t, b, 10)
	began := time.Now()
	primary.Kill()
	a.insist(t, "news", 11)
	for i := 12; i <= 20; i++ {
		a.say(t, "news", i)
	}
	t.Logf("the log went on after %v", time.Since(began))
	sentinels.Await(replica)
	must(t, 0, b.Sync(t.Context())) // or it may tell what it has of before, and then of the reset
	for name, l := range map[string]*listener{"behind": behind, "ahead": ahead} {
		l.heard = nil
		l.listen(t, b, 20)
		l.want(t, 11, 20)
		if len(l.lost) != 1 || l.lost[0].Type != hub.SignalReset {
			t.Errorf("who was %s heard of %+v, want one reset", name, l.lost)
		}
	}
}
