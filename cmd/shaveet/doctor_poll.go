package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// makeClient makes the client that the following checks read as.
func (d *doctor) makeClient(ctx context.Context) finding {
	if d.api == nil {
		return skip("say by --admin-url where the admin API is, to have polls checked")
	}
	t := patient{id: temporaryID(), session: randomName()}
	t.channel = t.id
	d.patient = t // also if the answer is lost, there may be a client
	var made struct{ Key, Position string }
	err := d.api.get(ctx, "create_client", map[string]any{"client_id": t.id, "position": true}, &made)
	if unasked := (*net.OpError)(nil); errors.As(err, &unasked) && unasked.Op == "dial" {
		d.patient = patient{}
	}
	if err == nil {
		_, err = d.api.call(ctx, "subscribe", map[string]any{"client_id": t.id, "channel_name": t.channel})
	}
	if err != nil {
		return fail(adviceAdminURL, "the admin API at %s: %v", d.api.address, plainError(err))
	}
	d.patient.key, d.patient.cursor = made.Key, made.Position
	return good("%s, made by %s", t.id, d.api.address)
}

// removeClient removes what makeClient made.
func (d *doctor) removeClient(ctx context.Context) finding {
	ctx, cancel := context.WithTimeout(ctx, d.times.answer)
	defer cancel()
	_, err := d.api.call(ctx, "kill_client", []string{d.patient.id})
	if err != nil && !hasCode(err, rpcUnknownClient) {
		return warn(nil, "the client %s could not be removed, and will be let go: %v", d.patient.id, plainError(err))
	}
	_, err = d.api.call(ctx, "delete_channel", []string{d.patient.channel})
	if err != nil && !hasCode(err, rpcUnknownChannel) {
		return warn(nil, "the channel %s could not be deleted, and ends with its messages: %v", d.patient.channel, plainError(err))
	}
	return good("the client and its channel are removed")
}

// endpoint: is /longpoll there, and do its errors come through?
func (d *doctor) endpoint(ctx context.Context) finding {
	r, err := d.ask(ctx, stranger())
	if err != nil {
		return fail(adviceReach, "/longpoll: %v", err)
	}
	_, isBatch := r.batch()
	switch {
	case r.status == http.StatusNotFound && isBatch:
		return good("/longpoll answers in %s", milliseconds(r.took))
	case r.status/100 == 3:
		return fail(nil, "/longpoll is redirected to %s: pages must use, and doctor be given, the address at the end", r.header.Get("Location"))
	case r.gateway():
		return fail(adviceReach, "/longpoll is answered %s: a proxy does not reach what is behind it", r.text)
	case d.reads(ctx):
		return fail(adviceErrors, "answers come through, but that a client is gone does not: instead there is %s", r.described())
	}
	return fail(advicePath, "what answers for /longpoll is not Shaveet: %s", r.described())
}

// reads reports whether the patient can poll.
func (d *doctor) reads(ctx context.Context) bool {
	return d.patient.key != "" && d.catchUp(ctx) == nil
}

// oldEndpoint: can pages of 2010 poll?
func (d *doctor) oldEndpoint(ctx context.Context) finding {
	q := stranger()
	q.path = strings.Replace(q.path, "/longpoll?", "/message_updates?v=2&callback=doctor&", 1)
	r, err := d.ask(ctx, q)
	switch {
	case err != nil:
		return fail(adviceReach, "/message_updates: %v", err)
	case r.has(`/**/doctor(`) && r.has(`"gone"`):
		return good("/message_updates answers")
	}
	return warn(advicePath, "/message_updates is not passed on (%s): pages with shaveet.js cannot poll here", r.described())
}

// credentials: do they come through in all three ways?
func (d *doctor) credentials(ctx context.Context) finding {
	var lost []string
	for _, way := range []struct {
		name string
		way  int
	}{{"the body of a POST", inBody}, {"the Authorization header", inHeader}, {"the query", inQuery}} {
		r, err := d.ask(ctx, d.patient.pollQuestion(way.way, 0))
		if err != nil {
			return fail(adviceReach, "in %s: %v", way.name, err)
		}
		if b, ok := r.batch(); r.status != http.StatusOK || !ok || b.Cursor == "" {
			lost = append(lost, way.name+" ("+r.text+")")
		}
	}
	d.polls = d.reads(ctx)
	switch len(lost) {
	case 0:
		return good("they come through in body, header and query")
	case 3:
		return fail(adviceOther, "the client that %s has made is not known at %s, in no way: %s",
			d.api.address, d.base, strings.Join(lost, ", "))
	}
	return fail(adviceHeaders, "they do not come through in %s", strings.Join(lost, " and "))
}

// caching: is the same question asked twice answered anew?
func (d *doctor) caching(ctx context.Context) finding {
	if err := d.catchUp(ctx); err != nil {
		return fail(adviceReach, "%v", err)
	}
	q := d.patient.pollQuestion(inQuery, 0)
	first, err := d.ask(ctx, q)
	if err != nil {
		return fail(adviceReach, "%v", err)
	}
	word := randomName()
	if err := d.publish(ctx, word); err != nil {
		return fail(adviceAdminURL, "%v", plainError(err))
	}
	second, err := d.ask(ctx, q)
	switch {
	case err != nil:
		return fail(adviceReach, "%v", err)
	case !second.has(word) && bytes.Equal(first.body, second.body):
		return fail(adviceCache, "a poll was answered with what the poll before had: something caches answers")
	case !second.has(word):
		return fail(adviceCache, "a poll did not bring what had been published before it, but %s", second.described())
	case !lists(second.header.Values("Cache-Control"), "no-store"):
		return warn(adviceCache, "answers have lost their Cache-Control: no-store, and browsers may keep them")
	}
	return good("every poll is answered anew")
}

// compression: are answers left as they are?
func (d *doctor) compression(ctx context.Context) finding {
	if err := d.catchUp(ctx); err != nil {
		return fail(adviceReach, "%v", err)
	}
	word := strings.Repeat(randomName(), 256) // 8 KiB: enough for anybody who compresses
	if err := d.publish(ctx, word); err != nil {
		return fail(adviceAdminURL, "%v", plainError(err))
	}
	q := d.patient.pollQuestion(inBody, 0)
	q.header = map[string]string{"Accept-Encoding": "gzip"}
	r, err := d.ask(ctx, q)
	if err != nil {
		return fail(adviceReach, "%v", err)
	}
	switch coding := r.header.Get("Content-Encoding"); {
	case coding == "" && r.has(word):
		return good("answers are not compressed")
	case coding == "":
		return fail(adviceCompression, "a long message does not come whole: %s", r.described())
	case coding != "gzip" || !strings.Contains(gunzip(r.body), word):
		return fail(adviceCompression, "answers are said to be %q and cannot be read", coding)
	}
	return warn(adviceCompression, "answers are compressed: messages may be delayed, and their length tells of their content")
}

func gunzip(body []byte) string {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return ""
	}
	text, _ := io.ReadAll(io.LimitReader(z, mostBytes))
	return string(text)
}

// A polled is how a poll ended.
type polled struct {
	r    *reply
	err  error
	took time.Duration
	at   time.Time
}

func (p polled) described() string {
	if p.err != nil {
		return p.err.Error()
	}
	return p.r.described()
}

// isAnswer reports whether the poll brought a batch.
func (p polled) isAnswer() bool {
	if p.err != nil || p.r.status != http.StatusOK {
		return false
	}
	_, ok := p.r.batch()
	return ok
}

// hold polls beside what else is done.
func (d *doctor) hold(ctx context.Context, wait, within time.Duration) <-chan polled {
	q := d.patient.pollQuestion(inBody, wait)
	q.within = within
	done := make(chan polled, 1)
	go func() {
		begun := time.Now()
		r, err := d.ask(ctx, q)
		ended := time.Now()
		done <- polled{r, err, ended.Sub(begun), ended}
	}()
	return done
}

// heldPoll: is a poll held, and answered as soon as there is something?
func (d *doctor) heldPoll(ctx context.Context) finding {
	if err := d.catchUp(ctx); err != nil {
		return fail(adviceReach, "%v", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also ends the poll
	held := d.hold(ctx, d.times.pause+d.times.answer, d.times.pause+d.times.answer)
	select {
	case p := <-held:
		return fail(adviceIdle, "a poll is not held, but answered after %s: %s", milliseconds(p.took), p.described())
	case <-time.After(d.times.pause):
	}
	word, said := randomName(), time.Now()
	if err := d.publish(ctx, word); err != nil {
		return fail(adviceAdminURL, "%v", plainError(err))
	}
	known := time.Now()
	p := <-held
	// The message was said somewhere between said and known. What the admin API
	// took for its own answer is no fault of who stands before the polls.
	delay := max(0, p.at.Sub(known))
	switch {
	case p.err != nil && delay >= d.times.answer/2:
		return fail(adviceBuffering, "a held poll was not answered within %s of a message: %v", milliseconds(delay), p.err)
	case !p.isAnswer() || !p.r.has(word):
		return fail(adviceBuffering, "a held poll did not bring the message, but ended after %s with %s", milliseconds(p.took), p.described())
	case delay > d.times.tooSlow:
		return fail(adviceBuffering, "a message came %s or more after it was published", milliseconds(delay))
	case delay > d.times.slow:
		return warn(adviceBuffering, "a message came %s or more after it was published", milliseconds(delay))
	}
	return good("held, and answered within %s of a publish", milliseconds(p.at.Sub(said)))
}

// idleTimeout: is a poll without news held to its end? The streams are held
// meanwhile.
func (d *doctor) idleTimeout(ctx context.Context) finding {
	if err := d.catchUp(ctx); err != nil {
		return fail(adviceReach, "%v", err)
	}
	d.beginIdle(ctx)
	wait := d.times.hold
	if wait == 0 {
		wait = -1
	}
	p := <-d.hold(ctx, wait, d.times.longest)
	switch {
	case p.err != nil && p.took >= d.times.longest:
		return good("a poll was still held after %s", d.times.longest)
	case !p.isAnswer():
		return fail(adviceIdle, "a poll without news was cut after %s: %s", seconds(p.took), p.described())
	}
	return good("a poll without news was held for %s and then answered", seconds(p.took))
}

func seconds(t time.Duration) string { return t.Round(10 * time.Millisecond).String() }
