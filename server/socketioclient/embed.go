// Package socketioclient holds the browser client of Socket.IO as the server
// hands it out: files of the npm package socket.io-client, as they are there.
// dist/LICENSE has the terms, and the versions of all that is in them; fetch.sh
// puts those of another version in their place.
package socketioclient

import "embed"

// Version is the version of socket.io-client.
const Version = "4.8.4"

// Files has dist/socket.io.js and dist/socket.io.min.js, scripts that make the
// global io, and dist/socket.io.esm.min.js, the same client as a module.
//
//go:embed dist/socket.io.js dist/socket.io.min.js dist/socket.io.esm.min.js
var Files embed.FS
