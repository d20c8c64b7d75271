package zeromq

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/zmtp"
)

// A Config is one socket's. Its fields' names in snake_case are the keys of a
// table [[zeromq]] of the configuration file.
type Config struct {
	Name        string   `help:"what log and metrics call the socket; by default its type and where it is"`
	Type        string   `help:"sub or pull: what comes is published; pub: what is said on channels is sent; rep: calls of the admin API are answered"`
	Bind        string   `help:"endpoint that peers connect to, such as tcp://127.0.0.1:5555 or ipc:///run/shaveet.zmq"`
	Connect     []string `help:"endpoints of peers to connect to"`
	AllowRemote bool     `help:"bind where other machines can reach the socket, whose peers show no credentials; never for rep"`

	Topics  []string `of:"sub" help:"beginnings of the topics to subscribe to; none: all"`
	Channel string   `of:"sub pull" help:"channel to publish to; in it, {topic} stands for the first frame of two, and {data.NAME} for a string in the JSON object that came"`
	Allow   []string `of:"sub pull" help:"patterns of the channels that messages may choose; none: all"`
	Format  string   `of:"sub pull" help:"what the last frame is: json, text, or base64, which takes any bytes and publishes them so"`
	Sender  string   `of:"sub pull" help:"name that what comes is published in"`

	Channels []string `of:"pub" help:"patterns of the channels to be sent"`

	MaxMessageBytes  int `help:"bytes of a message, all frames together; larger ones are passed over; 0: message_bytes and 4096 for the topic; rep: max_body_bytes and 4096; pub, where only subscriptions come: 8192"`
	MaxFrames        int `help:"frames of a message; those with more are passed over"`
	MaxPeers         int `help:"peers connected to a bound socket; others are refused"`
	MaxSubscriptions int `of:"pub" help:"subscriptions of a peer; one with more is disconnected"`
	BacklogBytes     int `of:"pub" help:"bytes of messages kept for peers that are behind; what they cannot have any more is counted"`
}

// Concerns reports whether a field of a [Config] with this tag is of sockets of
// a type.
func Concerns(tag reflect.StructTag, kind string) bool {
	of, some := tag.Lookup("of")
	return !some || slices.Contains(strings.Fields(of), kind)
}

// DefaultConfig returns what a socket is that was told nothing.
func DefaultConfig() Config {
	return Config{
		Format:           "json",
		Sender:           "zeromq",
		MaxFrames:        16,
		MaxPeers:         100,
		MaxSubscriptions: 1000,
		BacklogBytes:     4 << 20,
	}
}

// topicRoom is what a message may have beside its data, if it is not said.
const topicRoom = 4 << 10

// name is what the socket is called.
func (c Config) name() string {
	where := append([]string{c.Bind}, c.Connect...)
	return cmp.Or(c.Name, c.Type+" "+strings.TrimSpace(strings.Join(where, " ")))
}

// Check says all that is wrong with sockets, each named by its place.
func Check(all []Config) error {
	var faults []error
	named := make(map[string]bool)
	for i, c := range all {
		if name := c.name(); named[name] {
			faults = append(faults, fmt.Errorf("zeromq %d: name: there is a socket %q already", i+1, name))
		}
		named[c.name()] = true
		for _, fault := range c.faults() {
			faults = append(faults, fmt.Errorf("zeromq %d: %s", i+1, fault))
		}
	}
	return errors.Join(faults...)
}

func (c Config) faults() (faults []string) {
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	in := c.Type == "sub" || c.Type == "pull"
	check(in || c.Type == "pub" || c.Type == "rep", "type: must be sub, pull, pub or rep, not %q", c.Type)
	check(c.Bind != "" || len(c.Connect) > 0, "bind, connect: one of them must be given")
	if c.Bind != "" {
		faults = append(faults, c.bindFaults()...)
	}
	for _, endpoint := range c.Connect {
		at, err := zmtp.ParseEndpoint(endpoint)
		check(err == nil, "connect: %v", err)
		check(err != nil || !strings.HasPrefix(at.Address, ":"), "connect: %q: must name a host", endpoint)
		check(err != nil || c.Type != "rep" || at.Local(), "connect: %q: a rep socket works with this machine alone", endpoint)
	}
	if in {
		to, err := parseTarget(c.Channel)
		check(err == nil, "channel: %v", err)
		if err == nil {
			err := to.check()
			check(err == nil, "channel: %v", err)
			check(to.chosen() || len(c.Allow) == 0, "allow: is for channels that messages choose, and %q is fixed", c.Channel)
		}
		check(slices.Contains([]string{"json", "text", "base64"}, c.Format), "format: must be json, text or base64")
		check(c.Format == "json" || !strings.Contains(c.Channel, "{data."), "channel: {data.NAME} needs the format json")
	}
	check(c.Type != "pub" || len(c.Channels) > 0, `channels: must be given, as ["*"] for all`)
	check(utf8.ValidString(c.name()), "name: must be valid UTF-8")
	check(c.MaxMessageBytes >= 0, "max_message_bytes: must not be negative")
	check(c.MaxFrames > 0, "max_frames: must be more than 0")
	check(c.MaxPeers > 0, "max_peers: must be more than 0")
	check(c.MaxSubscriptions > 0, "max_subscriptions: must be more than 0")
	check(c.BacklogBytes > 0, "backlog_bytes: must be more than 0")
	return faults
}

func (c Config) bindFaults() (faults []string) {
	at, err := zmtp.ParseEndpoint(c.Bind)
	switch {
	case err != nil:
		faults = append(faults, fmt.Sprintf("bind: %v", err))
	case at.Local():
	case c.Type == "rep":
		faults = append(faults, fmt.Sprintf("bind: %q can be reached from other machines, and a rep socket never may", c.Bind))
	case !c.AllowRemote:
		faults = append(faults, fmt.Sprintf("bind: %q can be reached from other machines, whose peers show no credentials; if that is meant, set allow_remote = true", c.Bind))
	}
	return faults
}
