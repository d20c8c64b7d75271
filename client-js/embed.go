// Package clientjs holds the browser client as the server hands it out: the
// files of dist, built from the TypeScript in src by "npm run build" and
// committed, so that building the server takes no Node.
package clientjs

import "embed"

// Files has dist/shaveet.js, the script a page includes, which makes the
// global Shaveet, dist/shaveet.mjs, the same client as a module, and
// dist/tabs.mjs, by which tabs share one connection.
//
//go:embed dist/shaveet.js dist/shaveet.mjs dist/tabs.mjs
var Files embed.FS
