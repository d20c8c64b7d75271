package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/shaveet/shaveet/server/hub"
)

// A listener prints what is said in channels. It reads as a client of its own,
// which it makes by the admin API and removes at the end.
type listener struct {
	stdout, stderr io.Writer
	api            *adminAPI
	follower       *follower
	channels       []string

	asJSON   bool
	presence bool
	left     int // messages still to print, if endless is not true
	endless  bool

	client  string // the temporary client's id
	printed map[string]hub.Position
}

// listen prints what is said in channels.
func (p *program) listen(ctx context.Context, args []string) error {
	defer outliveReader()()
	l := &listener{stdout: p.stdout, stderr: p.stderr, client: temporaryID(), printed: make(map[string]hub.Position)}
	fs := p.flagSet("listen")
	admin := p.adminFlags(fs)
	public := p.publicFlag(fs)
	since := fs.String("since", "", "first print what came after this `position`; all: everything that is kept")
	fs.IntVar(&l.left, "n", 0, "end after this `number` of messages")
	fs.BoolVar(&l.asJSON, "json", false, "print the messages as they came, one JSON object a line")
	fs.BoolVar(&l.presence, "presence", false, "print who joins and who leaves")
	by := choice{auto, append([]string{auto}, transportNames()...)}
	fs.Var(&by, "transport", "how to read: "+by.list()+"; auto: the first of them that works (default auto)")
	var err error
	if l.channels, err = p.parseMixed(fs, args); err != nil {
		return err
	}
	l.channels = unique(l.channels)
	switch {
	case len(l.channels) == 0:
		return p.misuse(fs, "which CHANNEL?")
	case l.left < 0:
		return p.misuse(fs, "-n must not be negative")
	}
	if l.api, err = admin(); err != nil {
		return err
	}
	if *public, err = publicURL(*public, l.api.address); err != nil {
		return err
	}
	start, err := startOf(*since)
	if err != nil {
		return err
	}
	l.endless, l.follower = l.left == 0, newFollower(newSite(*public, nil), by.transports(), l.say)
	err = l.run(ctx, start)
	if ctx.Err() != nil { // interrupted: that is how this ends
		return nil
	}
	return err
}

func unique(names []string) (once []string) {
	for _, name := range names {
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once
}

// auto stands for whatever transport works.
const auto = "auto"

func (p *program) publicFlag(fs *flag.FlagSet) *string {
	return fs.String("public-url", p.getenv("SHAVEET_PUBLIC"), "`address` where browsers find the server, if not at the same one (SHAVEET_PUBLIC)")
}

// publicURL is where readers are served: as said, or beside the admin API.
func publicURL(said, admin string) (string, error) {
	if said == "" && strings.HasPrefix(admin, "unix:") {
		return "", errors.New("the admin API has a socket to itself: say by --public-url where browsers find the server")
	}
	if said == "" {
		said = strings.TrimSuffix(admin, "/rpc")
	}
	return strings.TrimSuffix(said, "/"), nil
}

// A start is where listening begins: now, or where the kept messages are
// asked for.
type start struct {
	kept  bool
	since string // a position; "": the oldest that is kept
}

func startOf(since string) (start, error) {
	switch since {
	case "":
		return start{}, nil
	case "all":
		return start{kept: true}, nil
	}
	_, err := hub.ParsePosition(since)
	return start{kept: true, since: since}, err
}

// errEnough ends the listening well: as much has been printed as was asked for,
// or as anybody reads.
var errEnough = errors.New("enough")

// run listens until ctx ends, until it is enough, or until the server cannot be
// asked.
func (l *listener) run(ctx context.Context, from start) error {
	defer func() {
		l.follower.close()
		l.leave(context.WithoutCancel(ctx))
	}()
	err := l.join(ctx, from)
	for err == nil {
		err = l.turn(ctx)
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// turn reads once and prints what came.
func (l *listener) turn(ctx context.Context) error {
	var b *batch
	err := l.patiently(ctx, "cannot hear the server", func() (err error) {
		b, err = l.follower.next(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return l.take(ctx, b)
}

// patiently does what f does, again and again while it fails in a way that may
// pass, and says so.
func (l *listener) patiently(ctx context.Context, trouble string, f func() error) error {
	var waits backoff
	for {
		err := f()
		switch {
		case err == nil && waits.failures > 0:
			l.say("the server is back")
			return nil
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !mayPass(err):
			return err
		case waits.failures == 0:
			l.say("%s: %v; trying again", trouble, err)
		}
		if err := pause(ctx, waits.next(err)); err != nil {
			return err
		}
	}
}

// join makes the client and subscribes it, then prints what was kept. What is
// said in between is told by both, and printed once.
func (l *listener) join(ctx context.Context, from start) error {
	var made struct{ Key, Position string }
	if err := l.api.get(ctx, "create_client", map[string]any{"client_id": l.client, "position": true}, &made); err != nil {
		return err
	}
	for _, channel := range l.channels {
		if err := l.subscribe(ctx, channel); err != nil {
			return err
		}
	}
	l.follower.begin(l.client, made.Key, made.Position)
	if from.kept {
		return l.catchUp(ctx, from.since)
	}
	return nil
}

func (l *listener) subscribe(ctx context.Context, channel string) error {
	_, err := l.api.call(ctx, "subscribe", map[string]any{"client_id": l.client, "channel_name": channel})
	return err
}

// rejoin is for when the server knows our client no more. What was said
// meanwhile is printed, as far as it is kept.
func (l *listener) rejoin(ctx context.Context) error {
	since := l.follower.hello.Cursor
	l.say("the server does not know %s any more (a restart?); making it again", l.client)
	return l.patiently(ctx, "cannot call the admin API", func() error {
		return l.join(ctx, start{kept: true, since: since})
	})
}

// temporaryID is the id of a client that a command makes for itself.
func temporaryID() string { return "cli-" + randomName()[:16] }

func randomName() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }

// leaveTime is how long the end of the program may take to remove the client.
const leaveTime = 3 * time.Second

// leave removes the client. If the server is away, there is no client.
func (l *listener) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	_, err := l.api.call(ctx, "kill_client", []string{l.client})
	if err != nil && !hasCode(err, rpcUnknownClient) && !isNetwork(err) {
		l.say("the client %s could not be removed, and will be let go: %v", l.client, err)
	}
}

// historyPage is how many messages are asked for at once.
const historyPage = 1000

type history struct {
	Messages []json.RawMessage
	Position string
	More     bool
	Gap      *struct{ From, To, Reason string }
	Reset    bool
}

// catchUp prints what the channels keep from after since, in its order.
func (l *listener) catchUp(ctx context.Context, since string) error {
	var all []message
	anew := false
	for _, channel := range l.channels {
		kept, reset, err := l.kept(ctx, channel, since)
		if err != nil {
			return err
		}
		all, anew = append(all, kept...), anew || reset
	}
	if anew {
		l.say("reset: the server's log has begun anew since %s; what was said there after that is lost", since)
	}
	slices.SortStableFunc(all, func(a, b message) int { return cmp.Compare(a.at.Seq, b.at.Seq) })
	for _, m := range all {
		if err := l.print(m); err != nil {
			return err
		}
	}
	return nil
}

// kept asks for what one channel keeps, and notes up to where that goes.
// reset tells that since is of another life of the log.
func (l *listener) kept(ctx context.Context, channel, since string) (all []message, reset bool, err error) {
	for more := true; more; {
		params := map[string]any{"channel": channel, "limit": historyPage}
		if since != "" {
			params["since"] = since
		}
		var h history
		err := l.api.get(ctx, "history", params, &h)
		if hasCode(err, rpcUnknownChannel) {
			return all, reset, nil
		}
		if err != nil {
			return nil, false, err
		}
		reset = reset || h.Reset
		if h.Gap != nil {
			l.sayGap(channel, h.Gap.From, h.Gap.To, h.Gap.Reason)
		}
		for _, raw := range h.Messages {
			m, err := parseMessage(raw)
			if err != nil {
				return nil, false, err
			}
			all, since = append(all, m), m.Pos
		}
		if l.printed[channel], err = hub.ParsePosition(h.Position); err != nil {
			return nil, false, err
		}
		more = h.More && len(h.Messages) > 0
	}
	return all, reset, nil
}

// say tells the user something that is no message.
func (l *listener) say(format string, args ...any) {
	fmt.Fprintf(l.stderr, "shaveet: %s\n", printable(fmt.Sprintf(format, args...)))
}

func (l *listener) sayGap(channel, from, to, reason string) {
	l.say("gap in %s: what was said between %s and %s is not kept any more (%s)", channel, from, to, reason)
}
