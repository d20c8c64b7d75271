package deploytest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// manifests are the objects of a folder, by kind and name.
type manifests struct {
	deployments map[string]*appsv1.Deployment
	sets        map[string]*appsv1.StatefulSet
	services    map[string]*corev1.Service
	settings    map[string]*corev1.ConfigMap
	budgets     map[string]*policyv1.PodDisruptionBudget
	policies    map[string]*networkingv1.NetworkPolicy
}

// load decodes all, strictly: a field that there is not is an error.
func load(t *testing.T) manifests {
	t.Helper()
	m := manifests{make(map[string]*appsv1.Deployment), make(map[string]*appsv1.StatefulSet), make(map[string]*corev1.Service),
		make(map[string]*corev1.ConfigMap), make(map[string]*policyv1.PodDisruptionBudget), make(map[string]*networkingv1.NetworkPolicy)}
	files, err := filepath.Glob(filepath.Join(folder, "kubernetes", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
			m.take(t, file, doc)
		}
	}
	return m
}

func (m manifests) take(t *testing.T, file string, doc []byte) {
	t.Helper()
	var kind struct {
		metav1.TypeMeta
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal(doc, &kind); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	switch kind.APIVersion + " " + kind.Kind {
	case "apps/v1 Deployment":
		decode(t, file, kind.Name, doc, m.deployments)
	case "apps/v1 StatefulSet":
		decode(t, file, kind.Name, doc, m.sets)
	case "v1 Service":
		decode(t, file, kind.Name, doc, m.services)
	case "v1 ConfigMap":
		decode(t, file, kind.Name, doc, m.settings)
	case "policy/v1 PodDisruptionBudget":
		decode(t, file, kind.Name, doc, m.budgets)
	case "networking.k8s.io/v1 NetworkPolicy":
		decode(t, file, kind.Name, doc, m.policies)
	default:
		t.Errorf("%s: nobody looks at %s %s", file, kind.APIVersion, kind.Kind)
	}
}

func decode[T any](t *testing.T, file, name string, doc []byte, into map[string]*T) {
	t.Helper()
	one := new(T)
	if err := yaml.UnmarshalStrict(doc, one); err != nil {
		t.Errorf("%s: %s: %v", file, name, err)
	}
	if name == "" || into[name] != nil {
		t.Errorf("%s: the name %q is none, or is taken", file, name)
	}
	into[name] = one
}

// pods are the templates of pods, by what makes them.
func (m manifests) pods() map[string]corev1.PodTemplateSpec {
	pods := make(map[string]corev1.PodTemplateSpec)
	for name, d := range m.deployments {
		pods[name] = d.Spec.Template
	}
	for name, s := range m.sets {
		pods[name] = s.Spec.Template
	}
	return pods
}

// chosen is the pod that has these labels; there has to be one.
func (m manifests) chosen(t *testing.T, who string, labels map[string]string) (pod corev1.PodTemplateSpec) {
	t.Helper()
	found := 0
	for _, p := range m.pods() {
		if matches(labels, p.Labels) {
			pod = p
			found++
		}
	}
	if found != 1 || len(labels) == 0 {
		t.Errorf("%s chooses %d kinds of pods by %v", who, found, labels)
	}
	return pod
}

func matches(want, have map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// portOf is a pod's port of that name, or number; 0: there is none.
func portOf(pod corev1.PodTemplateSpec, port intstr.IntOrString) int32 {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == port.StrVal || port.StrVal == "" && p.ContainerPort == port.IntVal {
				return p.ContainerPort
			}
		}
	}
	return 0
}

func TestReferences(t *testing.T) {
	m := load(t)
	for name, d := range m.deployments {
		if !matches(d.Spec.Selector.MatchLabels, d.Spec.Template.Labels) {
			t.Errorf("%s does not choose its own pods", name)
		}
	}
	for name, s := range m.sets {
		if !matches(s.Spec.Selector.MatchLabels, s.Spec.Template.Labels) || m.services[s.Spec.ServiceName] == nil {
			t.Errorf("%s does not choose its own pods, or has no service", name)
		}
	}
	for name, s := range m.services {
		pod := m.chosen(t, "service "+name, s.Spec.Selector)
		for _, p := range s.Spec.Ports {
			if n := portOf(pod, p.TargetPort); n != p.Port {
				t.Errorf("service %s: %v is the pod's port %d", name, p.TargetPort.String(), n)
			}
		}
		if s.Spec.SessionAffinity != "" && s.Spec.SessionAffinity != corev1.ServiceAffinityNone {
			t.Errorf("service %s is sticky", name)
		}
		if s.Spec.Type != "" && s.Spec.Type != corev1.ServiceTypeClusterIP {
			t.Errorf("service %s is open to the world", name)
		}
	}
	for name, b := range m.budgets {
		m.chosen(t, "budget "+name, b.Spec.Selector.MatchLabels)
	}
	for name, p := range m.policies {
		pod := m.chosen(t, "policy "+name, p.Spec.PodSelector.MatchLabels)
		for _, rule := range p.Spec.Ingress {
			for _, port := range rule.Ports {
				if portOf(pod, *port.Port) == 0 {
					t.Errorf("policy %s: no port %v", name, port.Port)
				}
			}
		}
	}
}

func TestPodsHaveNoRights(t *testing.T) {
	for name, pod := range load(t).pods() {
		sc := pod.Spec.SecurityContext
		if !*sc.RunAsNonRoot || sc.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || *pod.Spec.AutomountServiceAccountToken {
			t.Errorf("%s: %+v", name, sc)
		}
		for _, c := range pod.Spec.Containers {
			s := c.SecurityContext
			if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("%s: %+v", name, s)
			}
			if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
				t.Errorf("%s: %+v", name, c.Resources)
			}
			for _, v := range c.VolumeMounts {
				if !hasVolume(pod, v.Name) && name != "redis" {
					t.Errorf("%s mounts %s, which there is not", name, v.Name)
				}
			}
		}
	}
}

func hasVolume(pod corev1.PodTemplateSpec, name string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
}

// TestNodes looks at what a rolling restart needs, and at how nodes find Redis
// and each other.
func TestNodes(t *testing.T) {
	m := load(t)
	d := m.deployments["shaveet"]
	if u := d.Spec.Strategy.RollingUpdate; *d.Spec.Replicas < 2 || u.MaxUnavailable.IntValue() != 0 || u.MaxSurge.IntValue() < 1 {
		t.Errorf("%d replicas, %+v", *d.Spec.Replicas, u)
	}
	if b := m.budgets["shaveet"]; b.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("%+v", b.Spec)
	}
	pod := d.Spec.Template.Spec
	c := pod.Containers[0]
	if r, l := c.ReadinessProbe.HTTPGet, c.LivenessProbe.HTTPGet; r.Path != "/readyz" || l.Path != "/healthz" || portOf(d.Spec.Template, r.Port) != 8083 || l.Port != r.Port {
		t.Errorf("%+v, %+v", r, l)
	}
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	if need := duration(t, m.settings["shaveet"].Data["SHAVEET_DRAIN_DELAY"]) + drainTimeout; grace <= need {
		t.Errorf("killed after %v, and needs %v", grace, need)
	}
	if m.settings[c.EnvFrom[0].ConfigMapRef.Name] == nil {
		t.Error("there are no such settings")
	}
	env := make(map[string]corev1.EnvVar)
	for _, e := range c.Env {
		env[e.Name] = e
	}
	if e := env["SHAVEET_REDIS"]; e.Value != "" || e.ValueFrom.SecretKeyRef == nil {
		t.Error("the password of Redis is not from a secret")
	}
	if env["POD_IP"].ValueFrom.FieldRef.FieldPath != "status.podIP" || env["SHAVEET_NODE_ADVERTISE"].Value != "$(POD_IP):8085" {
		t.Errorf("%+v", env["SHAVEET_NODE_ADVERTISE"])
	}
	secret := pod.Volumes[0].Secret.Items[0]
	if path := c.VolumeMounts[0].MountPath + "/" + secret.Path; env["SHAVEET_ADMIN_TOKEN_FILE"].Value != path {
		t.Errorf("the token is at %s", path)
	}
	for _, name := range []string{"public:8083", "admin:8084", "node:8085"} {
		name, port, _ := strings.Cut(name, ":")
		if !slices.Contains(c.Args, "0.0.0.0:"+port) || portOf(d.Spec.Template, intstr.FromString(name)) == 0 {
			t.Errorf("no door %s at %s", name, port)
		}
	}
	if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
		t.Error("the service's own variables begin with SHAVEET_, and the program refuses those it does not know")
	}
}

func TestRedisForgetsNothing(t *testing.T) {
	args := strings.Join(load(t).sets["redis"].Spec.Template.Spec.Containers[0].Args, " ")
	for _, want := range remembers {
		if !strings.Contains(args, want) {
			t.Errorf("no %s in %s", want, args)
		}
	}
}
