package redistest_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"github.com/redis/rueidis"

	"github.com/shaveet/shaveet/tests/redistest"
)

// get asks a server, by its URL, for what is there under a name.
func get(t *testing.T, s *redistest.Server, name string) string {
	t.Helper()
	option, err := rueidis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if s.CA != "" {
		cert, err := os.ReadFile(s.CA)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(cert)
		option.TLSConfig = &tls.Config{RootCAs: pool, ServerName: "localhost"}
	}
	client, err := rueidis.NewClient(option)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	text, err := client.Do(t.Context(), client.B().Get().Key(name).Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDoors(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]redistest.Option{
		"open":      nil,
		"password":  {redistest.Password("not for all")},
		"user":      {redistest.User("shaveet", "a:b@c/d")},
		"TLS":       {redistest.TLS},
		"all of it": {redistest.TLS, redistest.User("shaveet", "secret"), redistest.AOF, redistest.MaxMemory("10mb")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, options...)
			s.Do("SET", "name", "value")
			if v := get(t, s, "name"); v != "value" {
				t.Errorf("%q", v)
			}
		})
	}
}

func TestWhatIsKept(t *testing.T) {
	t.Parallel()
	kept, lost := redistest.Start(t, redistest.AOF), redistest.Start(t)
	for _, s := range []*redistest.Server{kept, lost} {
		s.Do("SET", "name", "value")
		s.Stop()
		s.Cont()
		s.Kill()
		s.Restart()
	}
	if kept.Keys() != 1 || lost.Keys() != 0 {
		t.Errorf("%d kept, %d not lost", kept.Keys(), lost.Keys())
	}
	kept.Term()
	kept.Restart()
	if kept.Keys() != 1 {
		t.Error("nothing kept after a farewell")
	}
	kept.FlushAll()
	if kept.Keys() != 0 {
		t.Error("not empty")
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	primary, copied := redistest.Start(t, redistest.Password("secret")), redistest.Start(t)
	copied.Follow(primary)
	primary.Do("SET", "name", "value")
	copied.InSync(primary)
	if v := copied.Do("GET", "name"); v != "value" {
		t.Errorf("%q", v)
	}
	copied.Promote()
	copied.Do("SET", "name", "other")
}

// TestSet loses the primary, and then the one that took its place.
func TestSet(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]redistest.Option{
		"open": nil,
		"user": {redistest.User("shaveet", "secret")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := redistest.StartSet(t, options...)
			a, b := set.Servers[0], set.Servers[1]
			if primary, copied := set.Primary(); primary != a || copied != b {
				t.Fatal("the first is not primary")
			}
			a.Kill()
			set.Sentinels.Await(b)
			a.Restart()
			b.Do("SET", "name", "value")
			a.InSync(b)
			set.Sentinels.Failover()
			set.Sentinels.Await(a)
			if v := a.Do("GET", "name"); v != "value" {
				t.Errorf("%q", v)
			}
		})
	}
}
