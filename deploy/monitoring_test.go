package deploy

import (
	"slices"
	"testing"
)

// The rules are as Prometheus reads them, as far as can be told without it.
func TestAlertRules(t *testing.T) {
	type rule struct {
		Alert       string
		Expr        string
		For         string
		Labels      map[string]string
		Annotations map[string]string
	}
	docs := documents[struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}](t, "prometheus/shaveet.yml")
	if len(docs) != 1 || len(docs[0].Groups) != 1 || docs[0].Groups[0].Name != "shaveet" {
		t.Fatalf("%+v", docs)
	}
	var names []string
	for _, r := range docs[0].Groups[0].Rules {
		if r.Alert == "" || r.Expr == "" || r.Annotations["summary"] == "" || slices.Contains(names, r.Alert) {
			t.Errorf("%+v", r)
		}
		if !slices.Contains([]string{"page", "warn", "info"}, r.Labels["severity"]) {
			t.Errorf("%s is %q", r.Alert, r.Labels["severity"])
		}
		names = append(names, r.Alert)
	}
	if len(names) < 10 {
		t.Errorf("only %d rules", len(names))
	}
}
