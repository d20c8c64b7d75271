package redis

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// ParseURL reads where Redis is:
//
//	redis://user:password@host:6379/0      a server; rediss:// is one with TLS
//	redis://host?addr=other:6379           a Redis Cluster, by some of its nodes
//	redis://host:26379?master_set=name     Sentinel; more of them by addr=
//	unix:///run/redis.sock                 a server by its socket
//
// Instead of redis it may say valkey. The password of Sentinel is
// sentinel_password, its user sentinel_user. With skip_verify=1 nobody looks at
// the certificate. The error never has the password in it.
func ParseURL(s string) (rueidis.ClientOption, error) {
	u, err := url.Parse(s)
	if err != nil {
		return rueidis.ClientOption{}, errors.New("redis: this is no URL") // url.Parse's error has it all
	}
	opt, err := rueidis.ParseURL(s)
	if err != nil {
		return rueidis.ClientOption{}, fmt.Errorf("redis: %s", strings.ReplaceAll(err.Error(), s, u.Redacted()))
	}
	q := u.Query()
	if opt.Sentinel.MasterSet != "" {
		opt.Sentinel.Username, opt.Sentinel.Password = q.Get("sentinel_user"), q.Get("sentinel_password")
		opt.Sentinel.TLSConfig = opt.TLSConfig
		opt.Sentinel.TopologyRefreshInterval = 2 * time.Second
	}
	if len(opt.InitAddress) == 1 && opt.Sentinel.MasterSet == "" && q.Get("cluster") != "1" {
		opt.ForceSingleClient = true
	}
	opt.DisableCache = true
	opt.DisableRetry = true // what is done again is said by us
	opt.RingScaleEachConn = 8
	opt.PipelineMultiplex = -1
	opt.ReadBufferEachConn, opt.WriteBufferEachConn = 128<<10, 128<<10
	opt.BlockingPoolSize = 4
	return opt, nil
}
