package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

// documents parses a YAML file with the parser in tools/, so that the product
// needs none.
func documents[T any](t *testing.T, path string) (docs []T) {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	live.Track(t, path)
	cmd := exec.CommandContext(t.Context(), "go", "run", "./yamljson", path)
	cmd.Dir = filepath.Join(live.Root(t), "tools")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("yamljson: %v\n%s", err, stderr.String())
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var doc T
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return docs
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		docs = append(docs, doc)
	}
}

func TestCompose(t *testing.T) {
	type service struct {
		Image       string
		Command     []string
		NetworkMode string `json:"network_mode"`
		Volumes     []string
		Ports       []string
		ReadOnly    bool `json:"read_only"`
	}
	docs := documents[struct{ Services map[string]service }](t, "compose.yaml")
	if len(docs) != 1 {
		t.Fatalf("%d documents", len(docs))
	}
	services := docs[0].Services
	shaveet := services["shaveet"]
	if shaveet.NetworkMode != "service:backend" || len(shaveet.Ports) > 0 || !shaveet.ReadOnly {
		t.Errorf("shaveet: %+v", shaveet)
	}
	acceptsFlags(t, shaveet.Command)
	for name, s := range services {
		if s.Image == "" {
			t.Errorf("%s has no image", name)
		}
		for _, port := range s.Ports {
			if strings.HasSuffix(port, ":8082") {
				t.Errorf("%s publishes the admin API: %s", name, port)
			}
		}
		for _, volume := range s.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			live.Track(t, source) // fails if it is not there
		}
	}
}

// object is what these tests read of a Kubernetes object.
type object struct {
	Kind string
	Spec struct {
		Replicas int
		Ports    []struct{ TargetPort string }
		Template struct {
			Spec struct {
				Containers []container
			}
		}
	}
}

type container struct {
	Name            string
	Args            []string
	Env             []struct{ Name, Value string }
	Ports           []struct{ Name string }
	ReadinessProbe  probe
	LivenessProbe   probe
	SecurityContext struct{ ReadOnlyRootFilesystem bool }
}

type probe struct {
	HTTPGet struct{ Path, Port string }
}

func TestPod(t *testing.T) {
	docs := documents[object](t, "pod.yaml")
	if len(docs) != 2 || docs[0].Kind != "Deployment" || docs[1].Kind != "Service" {
		t.Fatalf("%+v", docs)
	}
	if docs[0].Spec.Replicas != 1 {
		t.Errorf("%d replicas: they would know nothing of each other", docs[0].Spec.Replicas)
	}
	containers := docs[0].Spec.Template.Spec.Containers
	var named []string // ports that a service can name
	for _, c := range containers {
		for _, p := range c.Ports {
			named = append(named, p.Name)
		}
	}
	for _, p := range docs[1].Spec.Ports {
		if !slices.Contains(named, p.TargetPort) {
			t.Errorf("the service names the port %q, the pod has %q", p.TargetPort, named)
		}
	}
	i := slices.IndexFunc(containers, func(c container) bool { return c.Name == "shaveet" })
	if i < 0 {
		t.Fatal("no container shaveet")
	}
	c := containers[i]
	acceptsFlags(t, c.Args)
	if c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.LivenessProbe.HTTPGet.Path != "/healthz" || !c.SecurityContext.ReadOnlyRootFilesystem {
		t.Errorf("%+v", c)
	}
	acceptsSettings(t, c)
}

// TestClusterFlags has the program read what the files for several nodes tell it.
// What else is in them, tools/deploytest looks at.
func TestClusterFlags(t *testing.T) {
	t.Setenv("SHAVEET_ADMIN_TOKEN", "which-the-files-have-in-a-secret") // the flags by themselves are not accepted
	type service struct {
		Image       string
		Command     []string
		Environment map[string]string
	}
	docs := documents[struct{ Services map[string]service }](t, "compose-cluster.yaml")
	for _, s := range docs[0].Services {
		if s.Image != "shaveet" {
			continue
		}
		acceptsFlags(t, s.Command)
		acceptsSettings(t, containerOf(s.Environment))
	}
	for _, o := range documents[struct {
		object
		Data map[string]string
	}](t, "kubernetes/shaveet.yaml") {
		if o.Kind == "ConfigMap" {
			acceptsSettings(t, containerOf(o.Data))
		}
		for _, c := range o.Spec.Template.Spec.Containers {
			acceptsFlags(t, c.Args)
			for i, e := range c.Env {
				switch e.Name { // what Kubernetes fills in
				case "SHAVEET_ADMIN_TOKEN_FILE":
					c.Env[i].Value = write(t, filepath.Join(t.TempDir(), "token"), "0123456789abcdef")
				case "SHAVEET_REDIS":
					c.Env[i].Value = "redis://redis:6379/0"
				case "SHAVEET_NODE_NAME":
					c.Env[i].Value = "shaveet-1"
				case "SHAVEET_NODE_ADVERTISE":
					c.Env[i].Value = "10.0.0.11:8085"
				}
			}
			acceptsSettings(t, c)
		}
	}
}

func containerOf(env map[string]string) (c container) {
	for name, value := range env {
		for _, secret := range []string{"SHAVEET_ADMIN_TOKEN", "SHAVEET_REDIS_PASSWORD"} {
			value = strings.ReplaceAll(value, "${"+secret+":?}", "0123456789abcdef")
		}
		c.Env = append(c.Env, struct{ Name, Value string }{name, value})
	}
	return c
}

// acceptsSettings starts the program with the container's SHAVEET_ variables,
// of which it refuses those it does not know.
func acceptsSettings(t *testing.T, c container) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), live.Binary(t), "config")
	for _, e := range c.Env {
		cmd.Env = append(cmd.Env, e.Name+"="+e.Value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s", cmd.Env, err, out)
	}
}
