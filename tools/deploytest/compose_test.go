// Package deploytest reads the files of deploy/ that are for Compose and
// Kubernetes with the parsers of these, which the product must not depend on.
package deploytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const folder = "../../deploy"

// What the server has by default.
const (
	drainDelay   = time.Second
	drainTimeout = 8 * time.Second
)

// remembers is what Redis has to be told.
var remembers = []string{"--appendonly yes", "--appendfsync everysec", "--maxmemory-policy noeviction", "--requirepass"}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func project(t *testing.T, file string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(folder, file)},
		cli.WithEnv([]string{"SHAVEET_ADMIN_TOKEN=0123456789abcdef", "SHAVEET_REDIS_PASSWORD=secret"}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComposeOfOne(t *testing.T) {
	p := project(t, "compose.yaml")
	if s := p.Services["shaveet"]; s.NetworkMode != "service:backend" || len(s.Ports) > 0 {
		t.Errorf("%+v", s)
	}
}

// TestComposeCluster looks at what matters for several nodes.
func TestComposeCluster(t *testing.T) {
	p := project(t, "compose-cluster.yaml")
	balancer := p.Configs["balancer"].Content
	acceptedByHAProxy(t, balancer)
	if s := p.Services["balancer"]; s.NetworkMode != "service:backend" {
		t.Errorf("the backend does not have the balancer on its loopback: %s", s.NetworkMode)
	}
	nodes := 0
	for name, s := range p.Services {
		for _, port := range s.Ports {
			if name != "backend" || port.Target != 8080 || port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %+v", name, port)
			}
		}
		if s.StopGracePeriod == nil && name != "backend" {
			t.Errorf("%s is killed after Compose's 10 s", name)
		}
		if s.Image != "shaveet" {
			continue
		}
		nodes++
		if grace := time.Duration(*s.StopGracePeriod); grace <= drainDelay+drainTimeout {
			t.Errorf("%s is killed after %v", name, grace)
		}
		if s.Ulimits["nofile"].Single < 65536 || !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || s.MemLimit == 0 {
			t.Errorf("%s: %+v", name, s)
		}
		if s.DependsOn["redis"].Condition != types.ServiceConditionHealthy {
			t.Errorf("%s does not wait for Redis", name)
		}
		for key, want := range map[string]string{"SHAVEET_NODE_ADVERTISE": name + ":8085", "SHAVEET_REDIS": "redis://:secret@redis:6379/0"} {
			if got := s.Environment[key]; got == nil || *got != want {
				t.Errorf("%s: %s is %v", name, key, got)
			}
		}
		for _, door := range []string{":8083 check", ":8084 check"} {
			if !strings.Contains(balancer, "server "+name+" "+name+door) {
				t.Errorf("%s%s is not behind the balancer", name, door)
			}
		}
	}
	if nodes != 3 {
		t.Errorf("%d nodes", nodes)
	}
	redis := strings.Join(p.Services["redis"].Command, " ")
	for _, want := range remembers {
		if !strings.Contains(redis, want) {
			t.Errorf("no %s in %s", want, redis)
		}
	}
	for _, sticky := range []string{"cookie", "stick", "balance source"} {
		if strings.Contains(balancer, sticky) {
			t.Errorf("the balancer is sticky: %s", sticky)
		}
	}
	for _, want := range []string{"uri /readyz", "retry-on conn-failure", "slowstart"} {
		if !strings.Contains(balancer, want) {
			t.Errorf("the balancer has no %q", want)
		}
	}
}

func acceptedByHAProxy(t *testing.T, conf string) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "haproxy", "-c", "-f", file).CombinedOutput(); err != nil { // it warns of names that are not here
		t.Errorf("%v (make deps installs it)\n%s", err, out)
	}
}
