// Package rooms holds the pages that the two back ends of this example share,
// and its sources for who wants to show them.
package rooms

import (
	"embed"
	"io/fs"
)

//go:embed page
var files embed.FS

//go:embed README.md shaveet.toml page go/main.go go/roomsapp/rooms.go go/roomsapp/roomsapp.go go/roomsapp/shaveet.go python/rooms.py
var source embed.FS

// Page is the folder page: three pages with their styles and scripts.
func Page() fs.FS {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the folder is compiled in; it cannot be missing
	}
	return page
}

// Source has the files of this example as they are in its folder.
func Source() fs.FS { return source }
