// Package edges looks at the real program where holding many connections comes
// to an edge: no descriptors left, peers that do not read, half a connection,
// half a request, a process that stands still, and the end. Beside that it
// soaks: ten thousand readers that come and go for as long as one likes.
//
// SHAVEET_LONG=1 makes the numbers larger. SHAVEET_SOAK=30m has the soak last so
// long, without it there is none; SHAVEET_SOAK_RESULT names the file in which it
// writes what it has seen. All of it needs Linux.
package edges
