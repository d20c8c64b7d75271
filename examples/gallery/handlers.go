package gallery

import (
	"encoding/json"
	"io/fs"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
)

// policy lets the page load what is here, and show the examples in frames. They
// have policies of their own.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// maxPanels is how many pages can be told what passes, at a time.
const maxPanels = 64

func (g *Gallery) routes() http.Handler {
	mux := http.NewServeMux()
	files := http.FileServerFS(page())
	mux.Handle("GET /{$}", guarded(files))
	mux.Handle("GET /page/", guarded(http.StripPrefix("/page", files)))
	mux.Handle("GET /examples", guarded(http.HandlerFunc(g.list)))
	mux.Handle("GET /events/{name}", guarded(g.few(g.of((*show).events))))
	mux.Handle("GET /source/{name}", guarded(g.of((*show).listSource)))
	mux.Handle("GET /source/{name}/{path...}", guarded(g.of((*show).source)))
	for _, s := range g.shows {
		mount := "/" + s.Name
		mux.Handle(mount+"/", http.StripPrefix(mount, s.handler))
		mux.Handle("/second"+mount+"/", http.StripPrefix("/second"+mount, second(s.handler)))
	}
	return onlyHere(mux)
}

// onlyHere refuses requests for names: a site could have a name of its own point
// to this machine, and then read what its visitors' gallery shows.
func onlyHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if net.ParseIP(strings.Trim(host, "[]")) == nil && host != "localhost" {
			http.Error(w, "open this page by its address, or as localhost", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// few lets in so many readers of events at a time. Each of them is sent all.
func (g *Gallery) few(next http.Handler) http.Handler {
	seats := make(chan struct{}, maxPanels)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case seats <- struct{}{}:
			defer func() { <-seats }()
			next.ServeHTTP(w, r)
		default:
			http.Error(w, "too many look already", http.StatusServiceUnavailable)
		}
	})
}

// of has the example of an address answer.
func (g *Gallery) of(answer func(s *show, w http.ResponseWriter, r *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, ok := g.find(r.PathValue("name")); ok {
			answer(s, w, r)
			return
		}
		http.NotFound(w, r)
	})
}

func (g *Gallery) list(w http.ResponseWriter, _ *http.Request) { writeJSON(w, g.shows) }

// sourceFile is one of an example's files, as the list has it.
type sourceFile struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

func (s *show) listSource(w http.ResponseWriter, _ *http.Request) {
	var all []sourceFile
	err := fs.WalkDir(s.example.source, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && readableFile(name) {
			all = append(all, sourceFile{name, info.Size()})
		}
		return err
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	slices.SortStableFunc(all, func(a, b sourceFile) int { return strings.Compare(place(a.Path), place(b.Path)) })
	writeJSON(w, all)
}

// readableFile says whether a file is for people to read.
func readableFile(name string) bool {
	return slices.Contains([]string{".md", ".go", ".py", ".php", ".js", ".css", ".html", ".toml"}, path.Ext(name)) &&
		!strings.HasSuffix(name, "_test.go") && !strings.Contains(name, ".min.") && !strings.Contains(name, "vendor/")
}

// place sorts files: what is to be read first, then by folder.
func place(name string) string {
	switch folder, _, ok := strings.Cut(name, "/"); {
	case name == "README.md":
		return "0"
	case !ok:
		return "1" + name
	default:
		return map[string]string{"page": "2", "go": "3", "python": "4", "php": "5"}[folder] + name
	}
}

func (s *show) source(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("path")
	text, err := fs.ReadFile(s.example.source, name)
	if err != nil || !readableFile(name) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(text)
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
