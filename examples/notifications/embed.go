// Package notifications holds the page that the three back ends of this
// example share.
package notifications

import (
	"embed"
	"io/fs"
)

//go:embed page
var files embed.FS

// Page is the folder page: index.html, notifications.css and notifications.js.
func Page() fs.FS {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the folder is compiled in; it cannot be missing
	}
	return page
}
