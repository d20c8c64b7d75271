// Package stream holds the pages that the back ends of this example share, and
// its sources to be shown.
package stream

import (
	"embed"
	"io/fs"
)

//go:embed README.md shaveet.toml embed.go
//go:embed page/index.html page/websocket.html page/stream.css page/reader.js page/stream.js page/websocket.js
//go:embed go/main.go go/streamapp/streamapp.go go/streamapp/producer.go go/streamapp/shaveet.go
//go:embed python/stream.py
var files embed.FS

// Page is the folder page: both pages, their style and their scripts.
func Page() fs.FS {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the folder is compiled in; it cannot be missing
	}
	return page
}

// Source is all of this example but its tests.
func Source() fs.FS { return files }
