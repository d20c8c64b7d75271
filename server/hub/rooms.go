package hub

import (
	"fmt"
	"strings"
)

// A room is a channel as Socket.IO sees it: it belongs to a namespace, and who
// is connected to another one does not hear it. The channel's name tells both:
//
//	"lobby"        the room "lobby" of the namespace "/"
//	"/chat#lobby"  the room "lobby" of "/chat"
//	"/chat#"       everybody who is connected to "/chat"
//	"@/chat#ID"    the client or the socket ID, as far as it is in "/chat"
//
// The last two are quiet: they are not announced, and nobody is told who joins
// or leaves.

// Root is the namespace of all channels whose names tell of no other.
const Root = "/"

// SplitRoom returns the namespace a channel belongs to, and what the room is
// called in it.
func SplitRoom(channel string) (namespace, room string) {
	name := strings.TrimPrefix(channel, "@")
	if name == "" || name[0] != '/' {
		return Root, channel
	}
	namespace, room, ok := strings.Cut(name, "#")
	if !ok {
		return Root, channel
	}
	return namespace, room
}

// RoomChannel returns the channel that is the room of a namespace. The room ""
// is everybody.
func RoomChannel(namespace, room string) string {
	if namespace == Root && room != "" {
		if _, plain := SplitRoom(room); plain == room {
			return room
		}
	}
	return namespace + "#" + room
}

// directChannel returns the channel of one client, or one socket, in a
// namespace.
func directChannel(namespace, id string) string { return "@" + namespace + "#" + id }

// belongs reports whether the channel belongs to the namespace.
func belongs(channel, namespace string) bool {
	if c := channel[0]; c != '/' && c != '@' {
		return namespace == Root
	}
	ns, _ := SplitRoom(channel)
	return ns == namespace
}

// notQuiet says that the channel is for nobody to change, if so: what is on a
// quiet one is said by [Hub.Emit], and who is on it is not asked for.
func notQuiet(channel string) error {
	if channel == "" || !quiet(channel) {
		return nil
	}
	return &Error{Kind: Invalid, Name: channel, Text: fmt.Sprintf("the channel %q belongs to the sockets of Socket.IO: use emit", channel)}
}

// Quiet reports whether nobody is told who is on the channel, nor that it begins.
func Quiet(channel string) bool { return quiet(channel) }

func quiet(channel string) bool {
	switch {
	case channel[0] == '@':
		return len(channel) > 1 && channel[1] == '/' && strings.Contains(channel, "#")
	case channel[0] == '/':
		return strings.IndexByte(channel, '#') == len(channel)-1
	}
	return false
}
