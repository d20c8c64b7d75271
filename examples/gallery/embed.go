package gallery

import (
	"embed"
	"io/fs"
)

//go:embed page
var files embed.FS

func page() fs.FS {
	sub, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the folder is compiled in; it cannot be missing
	}
	return sub
}
