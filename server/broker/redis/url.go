package redis

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
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
// the certificate; ca=FILE has those by which it is judged. The error never has the password in it.
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
	if err := trust(&opt, q.Get("ca")); err != nil {
		return opt, err
	}
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

// trust has the certificates in a file judge the server's.
func trust(opt *rueidis.ClientOption, file string) error {
	if file == "" {
		return nil
	}
	if opt.TLSConfig == nil {
		return errors.New("redis: ca= is for rediss://, which speaks TLS")
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	opt.TLSConfig.RootCAs = x509.NewCertPool()
	if !opt.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("redis: there is no certificate in %s", file)
	}
	return nil
}
