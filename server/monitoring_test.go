package server

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/broker/redis"
	"github.com/shaveet/shaveet/tests/redistest"
)

// exported are the names of all metrics that a server tells, ours and those of
// Go and the process; a histogram has three.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	broker, err := redis.New(redis.Options{URL: redistest.Start(t).URL()})
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.DrainDelay = 0
	cfg.ZeroMQ = []SocketConfig{socketAt(t, "pull")}
	r := prepareOn(t, cfg, broker)
	r.serve(Doors{Main: listen(t), Public: listen(t)})
	r.srv.called(t.Context(), "publish", -32003, 0) // labels appear when they are used
	r.srv.metrics.HandlerCalled("rpc", "event", "ok", 0)
	_, text := get(t, "http://"+r.main+"/metrics")
	names := make(map[string]bool)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			names[line[:strings.IndexAny(line, "{ ")]] = true
		}
	}
	return names
}

var named = regexp.MustCompile(`\b(?:shaveet|go|process)_[a-z0-9_]+`)

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The dashboard, the rules and the manual name metrics that are there.
func TestMetricsThatAreNamedExist(t *testing.T) {
	t.Parallel()
	all := exported(t)
	for _, path := range []string{"../deploy/grafana/shaveet.json", "../deploy/prometheus/shaveet.yml", "../docs/operations.md"} {
		found := named.FindAllString(content(t, path), -1)
		if len(found) < 10 {
			t.Errorf("%s names %d metrics", path, len(found))
		}
		for _, name := range found {
			histogram := all[name+"_bucket"]
			if !all[name] && !histogram {
				t.Errorf("%s names %s, which no server tells", path, name)
			}
		}
	}
}

// The manual and the dashboard leave out none of ours.
func TestMetricsAreExplained(t *testing.T) {
	t.Parallel()
	manual, dashboard := content(t, "../docs/operations.md"), content(t, "../deploy/grafana/shaveet.json")
	inManual, onDashboard := named.FindAllString(manual, -1), named.FindAllString(dashboard, -1)
	for _, name := range slices.Sorted(maps.Keys(exported(t))) {
		if !strings.HasPrefix(name, "shaveet_") || strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_sum") {
			continue
		}
		if !slices.Contains(inManual, strings.TrimSuffix(name, "_bucket")) {
			t.Errorf("docs/operations.md does not explain %s", name)
		}
		if !slices.Contains(onDashboard, name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

// The dashboard can be imported anywhere: it names no data source, and every
// panel asks the one that is chosen.
func TestDashboard(t *testing.T) {
	t.Parallel()
	type source struct{ UID string }
	var d struct {
		UID           string
		Title         string
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type, Query json.RawMessage }
		}
		Panels []struct {
			ID         int
			Title      string
			Type       string
			GridPos    struct{ X, Y, W, H int }
			Datasource source
			Targets    []struct {
				RefID, Expr string
				Datasource  source
			}
		}
	}
	if err := json.Unmarshal([]byte(content(t, "../deploy/grafana/shaveet.json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID != "shaveet" || d.Title == "" || d.SchemaVersion < 39 {
		t.Errorf("%s, %q, schema %d", d.UID, d.Title, d.SchemaVersion)
	}
	if len(d.Templating.List) == 0 || string(d.Templating.List[0].Name) != `"datasource"` || string(d.Templating.List[0].Type) != `"datasource"` {
		t.Error("the data source cannot be chosen")
	}
	ids := make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q covers %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%q: data source %q, %d questions", p.Title, p.Datasource.UID, len(p.Targets))
		}
		refs := make(map[string]bool)
		for _, q := range p.Targets {
			if q.Datasource.UID != "${datasource}" || refs[q.RefID] || !strings.Contains(q.Expr, `instance=~"$instance"`) {
				t.Errorf("%q asks %+v", p.Title, q)
			}
			refs[q.RefID] = true
		}
	}
}
