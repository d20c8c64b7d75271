// Package cluster tortures several nodes that share one Redis, behind a balancer
// that sends every request and every connection to another of them. Readers of all
// transports check every message, publishers number them, and a director lets
// happen what its seed has in store: nodes are paused, killed and cut off, Redis is
// stopped, emptied and replaced, connections break. At the end nothing that had to
// arrive may be missing, come twice or out of order without a word; each hole that
// was announced must have its reason; and nothing of the readers may remain.
package cluster
