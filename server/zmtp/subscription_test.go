package zmtp_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/shaveet/shaveet/server/zmtp"
)

// What a subscriber says, by the commands of 3.1 and the messages of 3.0, which
// a peer of either version may use.
func TestReceiveSubscription(t *testing.T) {
	const longest = 8<<10 - 1 - len("SUBSCRIBE")
	for name, tt := range map[string]struct {
		said string
		want []string // + or - and the prefix
		ends string   // "": as it should
	}{
		"commands":             {command("SUBSCRIBE", "a") + command("SUBSCRIBE", "") + command("CANCEL", "a"), []string{"+a", "+", "-a"}, ""},
		"messages":             {message("\x01a") + message("\x01") + message("\x00a"), []string{"+a", "+", "-a"}, ""},
		"both":                 {message("\x01a") + command("CANCEL", "a") + command("SUBSCRIBE", "b") + message("\x00b"), []string{"+a", "-a", "+b", "-b"}, ""},
		"twice the same":       {command("SUBSCRIBE", "a") + command("SUBSCRIBE", "a") + message("\x01a"), []string{"+a", "+a", "+a"}, ""},
		"any bytes":            {command("SUBSCRIBE", "\x00\xff\n") + message("\x01\x01\x00\xff"), []string{"+\x00\xff\n", "+\x01\x00\xff"}, ""},
		"long frames":          {announce(isCommand, 10) + "\x09SUBSCRIBE" + announce(0, 2) + "\x01b", []string{"+", "+b"}, ""},
		"nothing of it":        {message("") + message("hello") + message("\x02a") + message("\xff"), nil, ""},
		"several frames":       {message("\x01a", "") + message("", "\x01a") + message("\x01a", "\x01b") + message("\x01c"), []string{"+c"}, ""},
		"other commands":       {command("PING", "\x00\x00") + command("JOIN", "a") + command("subscribe", "a") + message("\x01c"), []string{"+c"}, ""},
		"the longest":          {command("SUBSCRIBE", repeat(longest)) + message("\x01"+repeat(8<<10-1)), []string{"+" + repeat(longest), "+" + repeat(8<<10-1)}, ""},
		"a longer command":     {command("SUBSCRIBE", repeat(longest+1)), nil, "zmtp: a command has 8193 bytes, and 8192 are allowed"},
		"a longer message":     {message("\x01" + repeat(8<<10)), nil, "zmtp: a subscription has 8193 bytes, and 8192 are allowed"},
		"a longer unsubscribe": {message("\x00" + repeat(8<<10)), nil, "zmtp: a subscription has 8193 bytes, and 8192 are allowed"},
		"long, but none":       {message("\x02"+repeat(8<<10)) + message("\x01c"), []string{"+c"}, ""},
	} {
		for _, version := range []byte{0, 1} {
			c, _ := scripted(t, zmtp.Options{Type: zmtp.PUB}, greeting(3, version, "NULL")+ready("SUB"), tt.said)
			got, err := subscriptions(c)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s: %.100q, want %.100q", name, got, tt.want)
			}
			if tt.ends == "" && err != io.EOF || tt.ends != "" && (!zmtp.Broken(err) || err.Error() != tt.ends) {
				t.Errorf("%s ends with %v", name, err)
			}
		}
	}
}

// subscriptions are all of them to the error at the end.
func subscriptions(c *zmtp.Conn) (all []string, err error) {
	for {
		prefix, on, err := c.ReceiveSubscription()
		if err != nil {
			return all, err
		}
		all = append(all, map[bool]string{true: "+", false: "-"}[on]+string(prefix))
	}
}

// Pings are answered while subscriptions are read, and what is too large is
// told and no end.
func TestReceiveSubscriptionGoesOn(t *testing.T) {
	opts := zmtp.Options{Type: zmtp.XPUB, MaxMessageBytes: 100}
	said := command("PING", "\x00\x00hi") + message("\x01"+repeat(100)) + message("\x01a")
	c, s := scripted(t, opts, hello("XSUB"), said)
	if _, _, err := c.ReceiveSubscription(); !isLimit(err) {
		t.Error(err)
	}
	if prefix, on, err := c.ReceiveSubscription(); string(prefix) != "a" || !on || err != nil {
		t.Errorf("%q, %v, %v", prefix, on, err)
	}
	if s.heard.String() != command("PONG", "hi") {
		t.Errorf("the peer hears %q", s.heard.String())
	}
}

func isLimit(err error) bool {
	_, ok := errors.AsType[*zmtp.LimitError](err)
	return ok
}

// We subscribe as the peer's version has it.
func TestSubscribe(t *testing.T) {
	for version, want := range map[[2]byte]string{
		{3, 0}: "\x00\x03\x01ab" + "\x00\x01\x01" + announce(0, 301) + "\x01" + repeat(300),
		{3, 1}: "\x04\x0c\x09SUBSCRIBEab" + "\x04\x0a\x09SUBSCRIBE" + announce(isCommand, 310) + "\x09SUBSCRIBE" + repeat(300),
		{3, 2}: "\x04\x0c\x09SUBSCRIBEab" + "\x04\x0a\x09SUBSCRIBE" + announce(isCommand, 310) + "\x09SUBSCRIBE" + repeat(300),
		{4, 0}: "\x04\x0c\x09SUBSCRIBEab" + "\x04\x0a\x09SUBSCRIBE" + announce(isCommand, 310) + "\x09SUBSCRIBE" + repeat(300),
	} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			c, s := scripted(t, zmtp.Options{Type: zmtp.SUB}, greeting(version[0], version[1], "NULL")+ready("PUB"))
			for _, prefix := range []string{"ab", "", repeat(300)} {
				if err := c.Subscribe([]byte(prefix)); err != nil {
					t.Error(err)
				}
			}
			if s.heard.String() != want {
				t.Errorf("the peer hears %.50q, want %.50q", s.heard.String(), want)
			}
		})
	}
}
