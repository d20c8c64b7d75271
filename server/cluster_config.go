package server

import (
	"strings"
	"time"
	"unicode"
)

// Cluster is what [Config] says of several nodes that share a log in Redis.
type Cluster struct {
	Redis           string        `help:"URL of a Redis or Valkey server, 7 or later, that has the log, so that several nodes can serve one set of clients: redis://user:password@host:6379/0, rediss:// with TLS, redis://host:26379?master_set=NAME by Sentinel; without it, the log is this process's own" secret:"true"`
	RedisPrefix     string        `help:"what the names of all keys in Redis begin with, so that two deployments can share a server"`
	RedisTimeout    time.Duration `help:"how long Redis may take for an answer; calls that need it fail then"`
	RedisStale      time.Duration `help:"after how long without Redis readers are not let in any more; those that are there stay"`
	RedisLogBytes   int64         `help:"bytes of the log that Redis keeps for nodes that have fallen behind: a minute of the busiest time; each entry is charged 64 more"`
	NodeListen      string        `help:"address at which this node answers the others, host:port, in a network that is the nodes' own; without it, any port of the address by which Redis is reached"`
	NodeAdvertise   string        `help:"address that other nodes reach this one at, host:port, if that is not the one it listens at"`
	NodeName        string        `help:"what people call this node; without it, the name of its machine"`
	NodeMaxForwards int           `help:"requests of Socket.IO that may wait for another node at once, for each of them"`
	NodeDeadTime    time.Duration `help:"how long a node may be silent before the others take over its clients"`
}

func defaultCluster() Cluster {
	return Cluster{
		RedisPrefix:     "shaveet",
		RedisTimeout:    3 * time.Second,
		RedisStale:      time.Minute,
		NodeMaxForwards: 20_000,
		RedisLogBytes:   256 << 20,
		NodeDeadTime:    15 * time.Second,
	}
}

// maxNodeName is how many bytes the name of a node may have.
const maxNodeName = 100

func (c *Config) checkCluster(check func(ok bool, format string, args ...any)) {
	check(c.RedisPrefix != "" && !strings.ContainsAny(c.RedisPrefix, "{} \t\r\n"), "redis_prefix: must not be empty, nor have braces or spaces")
	check(c.RedisTimeout >= 100*time.Millisecond, "redis_timeout: must be 100ms at least")
	check(c.RedisStale >= c.RedisTimeout, "redis_stale: must not be less than redis_timeout")
	check(c.NodeDeadTime >= 3*time.Second, "node_dead_time: must be 3s at least: nodes say once a second that they are alive")
	check(c.NodeMaxForwards > 0, "node_max_forwards: must be more than 0")
	check(len(c.NodeName) <= maxNodeName && !strings.ContainsFunc(c.NodeName, unicode.IsControl), "node_name: must be one line of at most %d bytes", maxNodeName)
	err := checkNodeAddress(c.NodeListen, false)
	check(err == nil, "node_listen: %v", err)
	err = checkNodeAddress(c.NodeAdvertise, true)
	check(err == nil, "node_advertise: %v", err)
	check(c.RedisLogBytes >= 1<<20, "redis_log_bytes: must be 1 MiB at least")
}
