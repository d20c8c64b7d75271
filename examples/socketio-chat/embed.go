// Package socketiochat holds the page that the two back ends of this example
// share, and its sources for who wants to show them.
package socketiochat

import (
	"embed"
	"io/fs"
)

//go:embed page
var files embed.FS

//go:embed README.md shaveet.toml page go/main.go go/talkapp/talk.go go/talkapp/page.go python/talk.py
var source embed.FS

// Page is the folder page: index.html, talk.css and talk.js.
func Page() fs.FS {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the folder is compiled in; it cannot be missing
	}
	return page
}

// Source has the files of this example as they are in its folder.
func Source() fs.FS { return source }
