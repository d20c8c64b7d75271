package server

import (
	"strings"
	"time"
)

// Cluster is what [Config] says of several nodes that share a log in Redis.
type Cluster struct {
	Redis         string        `help:"URL of a Redis or Valkey server, 7 or later, that has the log, so that several nodes can serve one set of clients: redis://user:password@host:6379/0, rediss:// with TLS, redis://host:26379?master_set=NAME by Sentinel; without it, the log is this process's own" secret:"true"`
	RedisPrefix   string        `help:"what the names of all keys in Redis begin with, so that two deployments can share a server"`
	RedisTimeout  time.Duration `help:"how long Redis may take for an answer; calls that need it fail then"`
	RedisStale    time.Duration `help:"after how long without Redis readers are not let in any more; those that are there stay"`
	RedisLogBytes int64         `help:"bytes of the log that Redis keeps for nodes that have fallen behind: a minute of the busiest time; each entry is charged 64 more"`
	NodeDeadTime  time.Duration `help:"how long a node may be silent before the others take over its clients"`
}

func defaultCluster() Cluster {
	return Cluster{
		RedisPrefix:   "shaveet",
		RedisTimeout:  3 * time.Second,
		RedisStale:    time.Minute,
		RedisLogBytes: 256 << 20,
		NodeDeadTime:  15 * time.Second,
	}
}

func (c *Config) checkCluster(check func(ok bool, format string, args ...any)) {
	check(c.RedisPrefix != "" && !strings.ContainsAny(c.RedisPrefix, "{} \t\r\n"), "redis_prefix: must not be empty, nor have braces or spaces")
	check(c.RedisTimeout >= 100*time.Millisecond, "redis_timeout: must be 100ms at least")
	check(c.RedisStale >= c.RedisTimeout, "redis_stale: must not be less than redis_timeout")
	check(c.NodeDeadTime >= 3*time.Second, "node_dead_time: must be 3s at least: nodes say once a second that they are alive")
	check(c.RedisLogBytes >= 1<<20, "redis_log_bytes: must be 1 MiB at least")
}
