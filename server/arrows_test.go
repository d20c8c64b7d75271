package server

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/shaveet/shaveet"

// arrows has a line for every package: what it may import of ours. A * is one
// name, and ... is the package and all below it. Of two lines the first
// counts. What tests import is free, so packages that are made for tests are.
var arrows = []struct {
	pkg       string
	mayImport []string
}{
	{"tests/redistest", []string{"tests/live"}},
	// Floor 1: they know nothing of us.
	{"server/hub", nil},
	{"server/alarm", nil},
	{"server/trim", nil},
	{"server/park/internal/kernel", nil},
	{"server/park", []string{"server/alarm", "server/park/internal/kernel"}},
	{"server/wsframe", nil},
	{"server/zmtp", nil},
	{"server/transport/socketio/engineio", nil},
	{"server/transport/socketio/packet", nil},
	{"server/socketioclient", nil},
	{"client-js", nil},
	{"server/peer", nil},
	{"bench", nil},
	{"bench/storm", nil},
	{"bench/storm/chart", nil},

	// Floor 2: they know the hub, and not each other.
	{"gc", []string{"server/hub"}},
	{"rpcapi", []string{"server/hub"}},
	{"server/metrics", []string{"server/hub"}},
	{"server/zeromq", []string{"server/hub", "server/zmtp"}},
	{"server/*/*test", []string{"..."}}, // brokertest and transporttest
	{"server/broker/*", []string{"server/hub", "server/peer"}},
	{"server/transport", []string{"server/hub", "server/park", "server/wsframe"}},
	{"server/transport/socketio/engine", []string{"server/transport/socketio/engineio", "server/park", "server/wsframe", "server/alarm"}},
	{"server/transport/socketio", []string{"server/transport/socketio/*", "server/transport", "server/hub", "server/park", "server/wsframe"}},
	{"server/transport/*", []string{"server/transport", "server/hub", "server/park", "server/wsframe"}},
	{"server/handler", []string{"server/hub", "server/transport/socketio"}},
	{"server/handler/webhook", []string{"server/handler"}},
	{"server/backend", []string{"server/handler", "server/wsframe"}},
	{"namespace", []string{"server/hub", "server/transport/socketio"}},

	// Floor 3: the server joins them. Which log it runs on it is told.
	{"server", []string{"server/hub", "server/park", "server/wsframe", "client-js", "gc", "rpcapi", "server/metrics", "server/zeromq",
		"server/socketioclient", "server/handler", "server/handler/webhook", "server/backend", "server/peer", "namespace", "server/transport", "server/transport/*", "server/transport/socketio/engine"}},

	// Floor 4: programs. The demo has the chat inside.
	{"cmd/shaveet", []string{"server", "server/hub", "server/trim", "server/broker/*", "examples/gallery", "bench"}},
	{"cmd/...", []string{"server", "server/hub", "server/broker/*"}},
	{"bench/storm/run", []string{"bench/storm", "bench/storm/chart"}},
	{"bench/report", []string{"bench", "server", "server/broker/memory", "server/trim"}},
	{"bench/cluster", []string{"bench", "tests/live", "tests/redistest"}},
	{"examples/...", []string{"examples/...", "server", "server/hub", "server/zmtp", "server/broker/*", "namespace", "server/handler/webhook"}},
	{"tests/...", []string{"..."}},
	{"tools/...", []string{"..."}},
}

// onlyStandard are the packages that import nothing from outside either.
var onlyStandard = []string{"server/hub", "server/alarm", "server/trim", "server/park", "server/park/internal/kernel", "server/wsframe", "server/peer", "server/zmtp", "client-js", "gc", "server/transport", "bench", "bench/storm", "bench/storm/*",
	"server/socketioclient", "server/transport/socketio", "server/transport/socketio/*"}

func TestArrowsPointInward(t *testing.T) {
	for _, p := range goList(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		allowed, known := allowedFor(name)
		if !known {
			t.Errorf("%s is a new package: give it a line in arrows, on the floor where it belongs", name)
			continue
		}
		for _, imported := range p.Imports {
			own, isOwn := strings.CutPrefix(imported, module+"/")
			switch {
			case isOwn && !matchesAny(allowed, own):
				t.Errorf("%s must not import %s; it may import %v. Where one needs the other's work, server hands it over", name, own, allowed)
			case !isOwn && strings.Contains(imported, ".") && matchesAny(onlyStandard, name):
				t.Errorf("%s must not import %s: it needs nothing but the standard library", name, imported)
			case strings.HasPrefix(imported, "github.com/gorilla/rpc/v2/"):
				t.Errorf("%s must not import %s: only the core of gorilla/rpc is fit for strict JSON", name, imported)
			}
		}
	}
}

func TestArrowPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"gc", "gc", true},
		{"gc", "gc/x", false},
		{"server/broker/*", "server/broker/redis", true},
		{"server/broker/*", "server/broker", false},
		{"server/broker/*", "server/broker/redis/x", false},
		{"server/*/*test", "server/broker/brokertest", true},
		{"server/*/*test", "server/broker/redis", false},
		{"cmd/...", "cmd", true},
		{"cmd/...", "cmd/a/b", true},
		{"cmd/...", "cmdx", false},
		{"...", "anything/at/all", true},
	} {
		if got := matches(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%s matches %s: %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}

func allowedFor(name string) (allowed []string, known bool) {
	for _, a := range arrows {
		if matches(a.pkg, name) {
			return a.mayImport, true
		}
	}
	return nil, false
}

func matchesAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if matches(p, name) {
			return true
		}
	}
	return false
}

func matches(pattern, name string) bool {
	if top, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(name+"/", top)
	}
	ok, _ := path.Match(pattern, name)
	return ok
}

type listed struct {
	ImportPath, Dir  string
	Imports, GoFiles []string
}

// goList lists the packages of the module.
func goList(t *testing.T) (all []listed) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("go list: %v\n%s", err, exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(p.ImportPath, "/node_modules/") || len(p.GoFiles) == 0 { // others' code, or only tests
			continue
		}
		for _, f := range p.GoFiles {
			os.Stat(filepath.Join(p.Dir, f)) // tells go test's cache that the result depends on it
		}
		all = append(all, p)
	}
}
