// Package bench loads a push server and measures what that costs it. It is
// what `shaveet bench` runs; docs/benchmarks.md says what the figures mean.
//
// A run has three sides. Readers are many connections in one loop, each with a
// dialect, which makes messages of what comes; a tally checks that each reader
// has each message once, in order, and on the right channel. Publishers send
// messages, at a rate or with only so many under way. A Target is the server:
// how readers come to it, and how it is told what to say. Yardsticks are the
// least that any server could do, as servers of their own, to be measured in
// turn with the real one.
package bench
