package rpcapi

import (
	"github.com/shaveet/shaveet/server/hub"
)

// reader is a type of parameter that reads itself: read says what is wrong
// with raw, which is valid JSON, if something is.
type reader interface {
	read(raw []byte, b bounds) (fault string)
}

// ClientID is a parameter that must be a well-formed client id.
type ClientID string

func (id *ClientID) read(raw []byte, b bounds) (fault string) {
	return decodeName((*string)(id), raw, hub.CheckClientID, b.nameBytes)
}

// ChannelName is a parameter that must be a well-formed channel name.
type ChannelName string

func (n *ChannelName) read(raw []byte, b bounds) (fault string) {
	return decodeName((*string)(n), raw, hub.CheckChannelName, b.nameBytes)
}

// clientIDs are any number of them.
type clientIDs []string

func (ids *clientIDs) read(raw []byte, b bounds) (fault string) {
	return decodeEach((*[]string)(ids), raw, func(id *string, element []byte) string {
		return about("a client id", decodeName(id, element, hub.CheckClientID, b.nameBytes))
	})
}

// channelNames are any number of them.
type channelNames []string

func (names *channelNames) read(raw []byte, b bounds) (fault string) {
	return decodeEach((*[]string)(names), raw, func(name *string, element []byte) string {
		return about("a channel name", decodeName(name, element, hub.CheckChannelName, b.nameBytes))
	})
}

// cursor is a position, or none.
type cursor hub.Position

func (c *cursor) read(raw []byte, _ bounds) (fault string) {
	var text string
	if fault := decodeString(&text, raw); fault != "" {
		return fault
	}
	at, err := hub.ParsePosition(text)
	if err != nil {
		return err.Error()
	}
	*c = cursor(at)
	return ""
}

// MarshalText is part of encoding.TextMarshaler.
func (c cursor) MarshalText() ([]byte, error) { return hub.Position(c).Append(nil), nil }

// memberships is the parameter of subscribe_many and unsubscribe_many, an
// object {channel: [client, …], …}, flattened in the order given.
type memberships []hub.Pair

func (t *memberships) read(raw []byte, b bounds) (fault string) {
	const shape = "must be an object of arrays of client ids, one for each channel"
	if raw[0] != '{' {
		return shape
	}
	s := again(raw)
	seen := make(map[string]bool)
	_ = s.object(func(quoted []byte) *Error {
		clients, _ := s.value()
		var channel string
		switch f := decodeName(&channel, quoted, hub.CheckChannelName, b.nameBytes); {
		case fault != "": // the first fault is told
		case f != "":
			fault = about("a channel name", f)
		case seen[channel]:
			fault = "duplicate channel: " + clip(channel)
		case clients[0] != '[':
			fault = shape
		default:
			fault = t.decodeClients(channel, clients, b)
		}
		seen[channel] = true
		return nil
	})
	return fault
}

func (t *memberships) decodeClients(channel string, raw []byte, b bounds) (fault string) {
	s := again(raw)
	_ = s.array(func() *Error {
		element, _ := s.value()
		var client string
		if f := decodeName(&client, element, hub.CheckClientID, b.nameBytes); f != "" && fault == "" {
			fault = "in channel " + clip(channel) + ": " + about("a client id", f)
		}
		*t = append(*t, hub.Pair{Client: client, Channel: channel})
		return nil
	})
	return fault
}
