package hub_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// buildSabotaged builds this package's tests with all the sabotages in them, also
// those of other packages, and returns the binary: building is what takes time. SHAVEET_SABOTAGE names the one
// that is at work when it is run.
//
// A function that a sabotage changes has both bodies:
//
//	func (h *Hub) f() int {
//		if sabotaged("name") {
//			the body as the sabotage has it
//		}
//		the body as it is
//	}
//
// What a sabotage adds outside of functions is there for all.
func buildSabotaged(t *testing.T) string {
	t.Helper()
	files := map[string]*source{}
	for _, s := range sabotages {
		for _, e := range s.edits {
			if files[e[0]] == nil {
				files[e[0]] = readSource(t, e[0])
			}
			files[e[0]].add(t, s.name, e[1], e[2])
		}
	}
	contents := map[string]string{}
	for name, s := range files {
		contents[name] = s.sabotaged()
		contents[filepath.Join(filepath.Dir(name), "sabotaged.go")] = "package " + s.pkg + "\n\nimport \"os\"\n\nvar sabotage = os.Getenv(\"SHAVEET_SABOTAGE\")\n\nfunc sabotaged(name string) bool { return sabotage == name }\n"
	}
	binary := filepath.Join(t.TempDir(), "hub.test")
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-o", binary, "-overlay="+overlay(t, contents), ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return binary
}

// A source is one of the files.
type source struct {
	pkg       string
	name      string
	text      string
	functions []*function // in their order
}

// A function is one of a source's.
type function struct {
	body     string // between the braces
	from     int    // where that begins in the text
	results  bool
	variants []variant
}

// A variant is a function's body as a sabotage has it.
type variant struct{ sabotage, body string }

func readSource(t *testing.T, name string) *source {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return parseSource(t, name, string(text))
}

func parseSource(t *testing.T, name, text string) *source {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	s := &source{pkg: f.Name.Name, name: name, text: text}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		from, to := set.Position(fn.Body.Lbrace).Offset+1, set.Position(fn.Body.Rbrace).Offset
		s.functions = append(s.functions, &function{body: text[from:to], from: from, results: fn.Type.Results != nil})
	}
	return s
}

// add adds what a sabotage puts in the place of old.
func (s *source) add(t *testing.T, sabotage, old, new string) {
	t.Helper()
	for _, f := range s.functions {
		body := f.body
		i := slices.IndexFunc(f.variants, func(v variant) bool { return v.sabotage == sabotage })
		if i >= 0 {
			body = f.variants[i].body
		}
		switch {
		case !strings.Contains(body, old):
			continue
		case i < 0:
			f.variants = append(f.variants, variant{sabotage, strings.Replace(body, old, new, 1)})
		default:
			f.variants[i].body = strings.Replace(body, old, new, 1)
		}
		return
	}
	if !strings.Contains(s.text, old) {
		t.Fatalf("%s does not contain %q any more: the sabotage must follow the code", s.name, old)
	}
	variants := s.functions
	*s = *parseSource(t, s.name, strings.Replace(s.text, old, new, 1))
	for i, f := range variants {
		s.functions[i].variants = f.variants
	}
}

// sabotaged returns the text with all the sabotages.
func (s *source) sabotaged() string {
	var b strings.Builder
	end := 0
	for _, f := range s.functions {
		b.WriteString(s.text[end:f.from])
		for _, v := range f.variants {
			fmt.Fprintf(&b, "\nif sabotaged(%q) {%s", v.sabotage, v.body)
			if !f.results {
				b.WriteString("\nreturn")
			}
			b.WriteString("\n}\n")
		}
		end = f.from
	}
	b.WriteString(s.text[end:])
	return b.String()
}

// overlay writes files, by their paths from here, and returns the file that tells the Go tool
// to use them.
func overlay(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for name, content := range contents {
		real, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		replace[real] = filepath.Join(dir, strconv.Itoa(len(replace))+".go")
		if err := os.WriteFile(replace[real], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
