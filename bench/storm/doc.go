// Package storm simulates reconnect storms: what happens when many readers
// lose their connections at once and come back to the nodes that are left.
//
// Nothing is measured and nothing sleeps. A [Scenario] says how many readers
// there are, what cuts them off, how they come back (a [Habit]), and what the
// nodes can do: [Costs] are those that docs/performance.md has measured. [Run]
// goes from event to event and returns a [Result]. The same scenario with the
// same seed has the same result.
//
// A node is one line of who waits for its processors. First come first served;
// each costs processor time, for its handshake and for what it has missed, and
// what the node says meanwhile to those it has costs some of it too. What does
// not fit into the line is dropped as a kernel drops a SYN, and comes again
// after 1, 3, 7 … s. Who has waited for too long gives up and tries again
// later, but its connection is still in the line and costs what it costs.
package storm
