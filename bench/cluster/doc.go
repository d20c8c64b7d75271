// Package cluster measures what it costs to have several nodes on one Redis: it
// has only benchmarks. Each starts a Redis and nodes of its own, as processes,
// and loads them as `shaveet bench` does; what it finds is told beside what one
// node with its log in memory takes for the same work. docs/scaling.md has the
// figures and what follows from them.
//
//	go test -run '^$' -bench . -benchtime 1x ./bench/cluster
package cluster
