// Package chat holds the page that the three back ends of this example share,
// and its sources for who wants to show them.
package chat

import (
	"embed"
	"io/fs"
)

//go:embed page
var files embed.FS

//go:embed README.md page go/main.go go/chatapp/chatapp.go go/chatapp/people.go go/chatapp/shaveet.go
//go:embed python/chat.py php/index.php php/people.php php/shaveet.php
var source embed.FS

// Page is the folder page: index.html, chat.css and chat.js.
func Page() fs.FS {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the folder is compiled in; it cannot be missing
	}
	return page
}

// Source has the files of this example as they are in its folder.
func Source() fs.FS { return source }
