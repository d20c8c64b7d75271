// Package notifications holds the page that the three back ends of this
// example share, and its sources for who wants to show them.
package notifications

import (
	"embed"
	"io/fs"
)

//go:embed page
var files embed.FS

//go:embed README.md shaveet.toml page
//go:embed go/main.go go/notifyapp/notifyapp.go go/notifyapp/shaveet.go go/notifyapp/store.go
//go:embed python/notifications.py php/index.php php/shaveet.php php/store.php
var source embed.FS

// Page is the folder page: index.html, notifications.css and notifications.js.
func Page() fs.FS {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the folder is compiled in; it cannot be missing
	}
	return page
}

// Source has the files of this example as they are in its folder.
func Source() fs.FS { return source }
