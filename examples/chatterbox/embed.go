// Package chatterbox holds the page that the web applications of this example
// share, and its sources to be shown.
package chatterbox

import (
	"embed"
	"io/fs"
)

//go:embed README.md shaveet.toml embed.go
//go:embed page/index.html page/chatterbox.css page/chatterbox.js page/say.js
//go:embed go/main.go go/chatterboxapp/chatterboxapp.go go/chatterboxapp/answers.go go/chatterboxapp/bus.go
//go:embed go/chatterboxapp/lines.go go/chatterboxapp/shaveet.go
//go:embed python/chatterbox.py python/bus.py
var files embed.FS

// Page is the folder page: index.html and what it needs.
func Page() fs.FS {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the folder is compiled in; it cannot be missing
	}
	return page
}

// Source is all of this example but its tests.
func Source() fs.FS { return files }
