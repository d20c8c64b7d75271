package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
)

// A publisher says messages in one channel.
type publisher struct {
	p       *program
	api     *adminAPI
	channel string
	sender  json.RawMessage
	exclude []string
	ttl     time.Duration
	id      string        // publish id, or the stem of those of lines
	retry   time.Duration // how long a message is tried again
	batch   int
	quiet   bool
	read    func(text string) (json.RawMessage, error) // makes a message of what was given
}

// A publication is one message, as publish and publish_many take it.
type publication struct {
	Channel   string          `json:"channel"`
	Data      json.RawMessage `json:"data"`
	Sender    json.RawMessage `json:"sender,omitempty"`
	PublishID string          `json:"publish_id,omitempty"`
	Exclude   []string        `json:"exclude,omitempty"`
	TTL       int64           `json:"ttl_ms,omitempty"`

	line int // where it came from; 0: not from a line
}

// A published is the server's answer to one.
type published struct {
	Position string    `json:"position"`
	ID       uint64    `json:"id"`
	Repeated bool      `json:"repeated"`
	Error    *rpcError `json:"error"`
}

// publish says one message, or each line of standard input.
func (p *program) publish(ctx context.Context, args []string) error {
	pub := &publisher{p: p}
	fs := p.flagSet("publish")
	admin := p.adminFlags(fs)
	asString := fs.Bool("string", false, "take DATA as a string, even if it is JSON")
	asJSON := fs.Bool("json", false, "refuse DATA that is not JSON")
	sender := fs.String("sender", "", "whose message it is: any `name`")
	fs.StringVar(&pub.id, "id", "", "publish `id`: a repeat with the same one says nothing twice; lines get ID-1, ID-2 …")
	fs.Var((*listFlag)(&pub.exclude), "exclude", "`client` that is not to hear it; more with commas or by another --exclude")
	fs.DurationVar(&pub.ttl, "ttl", 0, "`time` after which it is not told any more, as in 30s")
	fs.IntVar(&pub.batch, "batch", 1, "say up to `n` lines that are waiting in one call")
	fs.BoolVar(&pub.quiet, "quiet", false, "do not print position and id")
	fs.DurationVar(&pub.retry, "retry", 30*time.Second, "how long to try again while the server is away (default 30s)")
	rest, err := p.parseMixed(fs, args)
	if err != nil {
		return err
	}
	switch {
	case len(rest) == 0:
		return p.misuse(fs, "which CHANNEL?")
	case len(rest) > 2:
		return p.misuse(fs, "more than CHANNEL and DATA; DATA with spaces must be quoted")
	case *asString && *asJSON:
		return p.misuse(fs, "--string and --json exclude each other")
	case pub.batch < 1:
		return p.misuse(fs, "--batch must be 1 or more")
	case pub.ttl < 0:
		return p.misuse(fs, "--ttl must not be negative")
	}
	if pub.api, err = admin(); err != nil {
		return err
	}
	if *sender != "" {
		pub.sender = jsonString(*sender)
	}
	pub.channel, pub.read = rest[0], reading(*asString, *asJSON)
	if len(rest) == 2 && rest[1] != "-" {
		return pub.one(ctx, rest[1])
	}
	return pub.lines(ctx, p.stdin)
}

// reading is how what was given becomes a message.
func reading(asString, asJSON bool) func(string) (json.RawMessage, error) {
	switch {
	case asString:
		return func(text string) (json.RawMessage, error) { return jsonString(text), nil }
	case asJSON:
		return func(text string) (json.RawMessage, error) {
			if !json.Valid([]byte(text)) {
				return nil, errors.New("this is not JSON")
			}
			return json.RawMessage(text), nil
		}
	}
	return func(text string) (json.RawMessage, error) { return jsonOrString(text), nil }
}

func (pub *publisher) one(ctx context.Context, text string) error {
	m, err := pub.publication(text, 0)
	if err != nil {
		return err
	}
	return pub.say(ctx, []publication{m})
}

// publication makes a message. It always has a publish id, so that it can be
// said again when nobody knows whether it has been heard.
func (pub *publisher) publication(text string, line int) (publication, error) {
	data, err := pub.read(text)
	if err != nil {
		return publication{}, err
	}
	id := pub.id
	switch {
	case id == "":
		id = uuid.NewString()
	case line > 0:
		id = fmt.Sprintf("%s-%d", id, line)
	}
	return publication{
		Channel: pub.channel, Data: data, Sender: pub.sender, PublishID: id,
		Exclude: pub.exclude, TTL: pub.ttl.Milliseconds(), line: line,
	}, nil
}

// What ends the program: what was refused has been printed.
var (
	errRefused     = errors.New("not everything was said")
	errInterrupted = errors.New("interrupted")
)

// lines says every line of in. A line that the server refuses does not keep
// the others from being said; a server that stays away does.
func (pub *publisher) lines(ctx context.Context, in io.Reader) error {
	if in == nil {
		return nil
	}
	lines, readErr := readLines(ctx, in, pub.batch)
	var failed error
	for {
		batch := gather(ctx, lines, pub.batch)
		if len(batch) == 0 {
			break
		}
		err := pub.sayLines(ctx, batch)
		if err != nil && !errors.Is(err, errRefused) {
			return err
		}
		failed = errors.Join(failed, err)
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err := <-readErr; err != nil {
		return err
	}
	if failed != nil {
		return errRefused
	}
	return nil
}

func (pub *publisher) sayLines(ctx context.Context, batch []line) error {
	var failed error
	var messages []publication
	for _, l := range batch {
		m, err := pub.publication(l.text, l.number)
		if err != nil {
			pub.complain(l.number, err)
			failed = errRefused
			continue
		}
		messages = append(messages, m)
	}
	if len(messages) == 0 {
		return failed
	}
	if err := pub.say(ctx, messages); err != nil {
		return err
	}
	return failed
}

// say publishes messages, in their order, and prints where they stand. While
// the server is away it tries again, which is safe because of their ids.
func (pub *publisher) say(ctx context.Context, messages []publication) error {
	var waits backoff
	var failed error
	began := time.Now()
	for len(messages) > 0 {
		answers, err := pub.send(ctx, messages)
		done := 0
		for err == nil && done < len(messages) {
			if a := answers[done]; a.Error != nil && mayPass(a.Error) {
				err = a.Error
				break
			}
			if !pub.report(messages[done], answers[done]) {
				failed = errRefused
			}
			done++
		}
		if done > 0 {
			waits.reset()
			began = time.Now()
		}
		if messages = messages[done:]; len(messages) == 0 {
			break
		}
		if ctx.Err() != nil {
			return errInterrupted
		}
		wait := waits.next(err)
		if !mayPass(err) || time.Since(began)+wait > pub.retry {
			return pub.notSaid(messages[0], err)
		}
		if pause(ctx, wait) != nil {
			return errInterrupted
		}
	}
	return failed
}

// send asks the server once. One message is a publish, whose error is the
// call's; several are a publish_many, in which each has its own.
func (pub *publisher) send(ctx context.Context, messages []publication) ([]published, error) {
	if len(messages) > 1 {
		var answers []published
		err := pub.api.get(ctx, "publish_many", map[string]any{"messages": messages}, &answers)
		if err == nil && len(answers) != len(messages) {
			err = fmt.Errorf("the server answered %d of %d messages", len(answers), len(messages))
		}
		return answers, err
	}
	var a published
	err := pub.api.get(ctx, "publish", messages[0], &a)
	if refusal := (*rpcError)(nil); messages[0].line > 0 && errors.As(err, &refusal) {
		a.Error, err = refusal, nil
	}
	return []published{a}, err
}

// report prints what became of a message, and whether it was said.
func (pub *publisher) report(m publication, a published) bool {
	if a.Error != nil {
		pub.complain(m.line, a.Error)
		return false
	}
	if !pub.quiet {
		fmt.Fprintf(pub.p.stdout, "%s %d\n", a.Position, a.ID)
	}
	return true
}

func (pub *publisher) complain(line int, err error) {
	fmt.Fprintf(pub.p.stderr, "shaveet: line %d: %v\n", line, err)
}

// notSaid is the error that ends the program. It names the first line that may
// not have been heard.
func (pub *publisher) notSaid(m publication, err error) error {
	if m.line == 0 {
		return err
	}
	return fmt.Errorf("line %d and what follows: %w", m.line, err)
}

// A line of the input; the first is number 1.
type line struct {
	number int
	text   string
}

// readLines reads in, a few lines ahead of who takes them, to its end or that
// of ctx. The error is there when the lines have ended. The goroutine may
// outlive ctx while it waits for in, which is the program's own input.
func readLines(ctx context.Context, in io.Reader, ahead int) (<-chan line, <-chan error) {
	lines, failed := make(chan line, ahead), make(chan error, 1)
	go func() {
		defer close(lines)
		r := bufio.NewReader(in)
		for n := 1; ; n++ {
			text, err := r.ReadBytes('\n')
			text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
			if len(bytes.TrimSpace(text)) > 0 {
				select {
				case lines <- line{n, string(text)}:
				case <-ctx.Done():
					failed <- nil
					return
				}
			}
			if err == io.EOF {
				err = nil
				failed <- err
				return
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	return lines, failed
}

// gather waits for a line, and takes up to n that are there without waiting.
// There is none when the lines have ended, or ctx.
func gather(ctx context.Context, lines <-chan line, n int) (batch []line) {
	select {
	case <-ctx.Done():
		return nil
	case l, ok := <-lines:
		if !ok {
			return nil
		}
		batch = append(batch, l)
	}
	for len(batch) < n {
		select {
		case l, ok := <-lines:
			if !ok {
				return batch
			}
			batch = append(batch, l)
		default:
			return batch
		}
	}
	return batch
}
