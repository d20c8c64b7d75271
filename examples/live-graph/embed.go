// Package livegraph holds the pages that the two back ends of this example
// share.
package livegraph

import (
	"embed"
	"io/fs"
)

//go:embed page
var files embed.FS

// Page is the folder page: index.html, flot.html and what they need.
func Page() fs.FS {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the folder is compiled in; it cannot be missing
	}
	return page
}

//go:embed README.md shaveet.toml
//go:embed page/*.html page/*.css page/*.js page/vendor/README.md
//go:embed go/*.go go/livegraphapp/livegraphapp.go go/livegraphapp/shaveet.go
//go:embed go/producer/producer.go go/producer/conn.go go/produce/main.go
//go:embed python/*.py
var source embed.FS

// Source is what this example is made of, to be read.
func Source() fs.FS { return source }
