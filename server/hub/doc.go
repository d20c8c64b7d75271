// Package hub is the core of the push server: clients, channels, messages and
// the readers who follow them. It knows nothing of connections or wire forms.
//
// # One log
//
// Every message, and everything that changes who hears what, is an entry of
// one ordered log and has a number in it, its seq. A [Broker] is the log: it
// numbers a [Command] and hands the [Entry] to every [State]; the [Hub] is the
// fold over these entries. In one process the log is a mutex; over several
// machines it is a shared stream; the fold is the same.
//
// # Rings and cursors, no queues
//
// A channel is a bounded ring of messages and its members. A reader is one
// number: the seq up to which it has everything. [Session.Collect] reads the
// top of the log, then the memberships, then the rings, in this order, and
// returns what lies between the reader's number and the top, merged by seq.
// Nothing is queued for anyone: a slow or absent reader costs no memory, and
// when a ring has dropped something it had not read, it is told so by a
// [Signal].
//
// What a message says is not always for everybody: a [Publication] can exclude
// clients and can have a time to live. Who does not get it hears of a skip, so
// that a reader that counts can tell it from a loss.
//
// Two kinds of readers exist. A [Session] belongs to a reader that holds its
// own [Position] and says where it was when it comes back. A [Poll] serves the
// pages of 2010, which hold none: what they have taken is kept by the client
// they read for.
//
// # What channels differ in
//
// [Hub.Configure] replaces the limits and the [ChannelRule]s while the hub
// runs: how long and how much channels keep, how many members they have, and
// what members are told of each other.
//
// # Locks
//
// Order: the log's lock (the broker's), then a client's, then a channel's; the
// registries, the ages, the wheel, the let-go list, the publish ids and the
// dispatcher's queue are leaves. Who holds one of them appends nothing, does no I/O and calls no
// function from outside. Under the log's lock a command is checked, numbered
// and applied; waking readers is left to the dispatcher, a goroutine of
// [Hub.Run].
package hub
