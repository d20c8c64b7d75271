package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shaveet/shaveet/server/broker/brokertest"
	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

func isLimit(err error, name string) bool {
	var e *hub.Error
	return errors.As(err, &e) && e.Kind == hub.LimitReached && e.Name == name && strings.Contains(e.Text, name)
}

func skips(b hub.Batch) (ids []uint64) {
	for _, s := range b.Signals {
		if s.Type == hub.SignalSkip {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

func TestPublishIDMakesRetriesHarmless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{PublishIDAge: time.Minute})
		once := publication("room", "x")
		once.PublishID = "1"
		first, err := h.Publish(t.Context(), once)
		if err != nil || first.Repeated {
			t.Fatalf("%+v, %v", first, err)
		}
		publish(t, h, "room", "between")
		again, err := h.Publish(t.Context(), once)
		if err != nil || !again.Repeated || again.Position != first.Position || again.ID != first.ID || again.Channel != "room" {
			t.Errorf("again: %+v, %v; want %+v", again, err, first)
		}
		for what, change := range map[string]func(*hub.Publication){
			"data":    func(p *hub.Publication) { p.Data = json.RawMessage(`"y"`) },
			"sender":  func(p *hub.Publication) { p.Sender = json.RawMessage(`"y"`) },
			"system":  func(p *hub.Publication) { p.System = true },
			"exclude": func(p *hub.Publication) { p.Exclude = []string{"a"} },
			"ttl":     func(p *hub.Publication) { p.TTL = time.Second },
		} {
			other := once
			change(&other)
			if _, err := h.Publish(t.Context(), other); !errors.Is(err, hub.ErrConflict) {
				t.Errorf("another %s: %v, want a conflict", what, err)
			}
		}
		elsewhere := once
		elsewhere.Channel = "other"
		if p, err := h.Publish(t.Context(), elsewhere); err != nil || p.Repeated {
			t.Errorf("the same id on another channel: %+v, %v", p, err)
		}
		if all, err := h.Broadcast(t.Context(), []string{"room"}, once); err != nil || all[0].Repeated {
			t.Errorf("the same id for a broadcast: %+v, %v", all, err)
		}
		time.Sleep(time.Minute + time.Second)
		if p, err := h.Publish(t.Context(), once); err != nil || p.Repeated {
			t.Errorf("when it is too old: %+v, %v", p, err)
		}
		if got := keeps(t, h, "room"); got != 4 {
			t.Errorf("%d messages, want 4", got)
		}
	})
}

// A full table refuses publishes with new ids, and no other; Tidy empties it.
func TestPublishIDsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{PublishIDs: 3, PublishIDAge: time.Minute})
		with := func(id string) error {
			p := publication("room", "x")
			p.PublishID = id
			_, err := h.Publish(t.Context(), p)
			return err
		}
		for i := range 3 {
			if err := with(fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := with("new"); !isLimit(err, "publish_ids") {
			t.Errorf("a fourth id: %v", err)
		}
		if err := with("1"); err != nil {
			t.Errorf("a retry: %v", err)
		}
		publish(t, h, "room", "without an id")
		time.Sleep(time.Minute + time.Second)
		if err := h.Tidy(t.Context()); err != nil || h.Stats().PublishIDs != 0 {
			t.Errorf("%d ids are remembered, %v", h.Stats().PublishIDs, err)
		}
		if err := with("new"); err != nil {
			t.Errorf("when there is room again: %v", err)
		}
	})
}

// Four connections that all retry publish everything once.
func TestConcurrentRetries(t *testing.T) {
	h := newHub(t, hub.Limits{})
	const messages = 200
	var wg sync.WaitGroup
	answers := make([][messages]hub.Published, 4)
	for w := range answers {
		wg.Go(func() {
			for i := range messages {
				p := publication("room", fmt.Sprint(i))
				p.PublishID = fmt.Sprint(i)
				var err error
				if answers[w][i], err = h.Publish(context.Background(), p); err != nil {
					t.Error(err)
				}
				answers[w][i].Repeated = false
			}
		})
	}
	wg.Wait()
	if got := keeps(t, h, "room"); got != messages {
		t.Errorf("%d messages, want %d", got, messages)
	}
	for w := range answers {
		if answers[w] != answers[0] {
			t.Errorf("connection %d was answered otherwise", w)
		}
	}
	if s := h.Stats(); s.Published != messages || s.Repeated != 3*messages {
		t.Errorf("%d published, %d repeated", s.Published, s.Repeated)
	}
}

func TestBroadcast(t *testing.T) {
	h := newHub(t, hub.Limits{ChannelsPerCall: 3, Channels: 5})
	s := attach(t, h, hub.Start{}, create(t, h, "a", "one", "two"))
	p := publication("", "hello")
	p.PublishID = "1"
	all, err := h.Broadcast(t.Context(), []string{"one", "three", "one", "two"}, p)
	if err != nil || len(all) != 3 || all[0].Channel != "one" || all[1].Channel != "three" || all[2].Channel != "two" {
		t.Fatalf("%+v, %v", all, err)
	}
	if all[1].Position.Seq != all[0].Position.Seq+1 || all[2].Position.Seq != all[1].Position.Seq+1 {
		t.Errorf("the copies do not follow each other: %+v", all)
	}
	again, err := h.Broadcast(t.Context(), []string{"one", "three", "two"}, p)
	for i := range again {
		if !again[i].Repeated || again[i].Position != all[i].Position {
			t.Errorf("again: %+v, %v", again[i], err)
		}
	}
	want(t, "heard", said(s.Collect().Messages), []string{"hello", "hello"})
	if _, err := h.Broadcast(t.Context(), []string{"1", "2", "3", "4"}, p); !isLimit(err, "channels_per_call") {
		t.Errorf("too many: %v", err)
	}
	top := h.Position()
	if _, err := h.Broadcast(t.Context(), []string{"one", "4", "5"}, publication("", "x")); !isLimit(err, "channels") {
		t.Errorf("no room for all channels: %v", err)
	}
	if h.Position() != top {
		t.Error("a refused broadcast has happened in part")
	}
	if none, err := h.Broadcast(t.Context(), nil, p); err != nil || len(none) != 0 {
		t.Errorf("to nobody: %v, %v", none, err)
	}
}

// Each of many messages fares by itself, in its turn: on a log of one's own, and
// on a shared one, where they do not go there one by one.
func TestPublishAll(t *testing.T) {
	for name, broker := range map[string]hub.Broker{"own": memory.New(), "shared": brokertest.NewLog(7).Node(false)} {
		t.Run(name, func(t *testing.T) {
			h := newHubOn(t, broker, hub.Limits{Channels: 3, MessageBytes: 10})
			s := attach(t, h, hub.Start{}, create(t, h, "a", "one", "two"))
			once := publication("one", "3")
			once.PublishID = "x"
			all := []hub.Publication{publication("one", "1"), publication("two", "2"), once, once,
				publication("one", strings.Repeat("long", 9)), publication("", "nowhere"),
				publication("one", "4"), publication("three", "x"), publication("two", "5")}
			var ids []uint64
			var faults []error
			var at hub.Position
			h.PublishAll(t.Context(), all, func(p hub.Published, err error) {
				ids = append(ids, p.ID)
				if err != nil {
					faults = append(faults, err)
					return
				}
				if p.Repeated != (len(ids) == 4) || !p.Repeated && p.Position.Seq <= at.Seq {
					t.Errorf("message %d: %+v, after %v", len(ids), p, at)
				}
				at = p.Position
			})
			first := ids[0]
			if want := []uint64{first, first, first + 1, first + 1, 0, 0, first + 2, 0, first + 1}; !slices.Equal(ids, want) {
				t.Errorf("ids %d, want %d", ids, want)
			}
			if len(faults) != 3 || !errors.Is(faults[0], hub.ErrTooLarge) || !errors.Is(faults[1], hub.ErrInvalid) || !isLimit(faults[2], "channels") {
				t.Errorf("refused: %v", faults)
			}
			if got := h.Stats().Refused; got != 2 {
				t.Errorf("%d refusals are counted, want 2", got)
			}
			want(t, "heard", said(s.Collect().Messages), []string{"1", "2", "3", "4", "5"})
		})
	}
}

// Of what may be in the log nobody is told that it is not.
func TestPublishAllIsNotRepeated(t *testing.T) {
	log := &lost{Node: brokertest.NewLog(7).Node(false)}
	h := newHubOn(t, log, hub.Limits{})
	create(t, h, "a", "room")
	var told []error
	log.after = true
	h.PublishAll(t.Context(), []hub.Publication{publication("room", "1"), publication("room", "2")},
		func(_ hub.Published, err error) { told = append(told, err) })
	if len(told) != 2 || !errors.Is(told[0], hub.ErrUnavailable) || !errors.Is(told[1], hub.ErrUnavailable) {
		t.Errorf("told %v", told)
	}
	if got := keeps(t, h, "room"); got != 2 {
		t.Errorf("the channel has %d messages, want 2", got)
	}
}

// lost is a log whose answers get lost.
type lost struct {
	*brokertest.Node
	after bool
}

func (l *lost) Append(ctx context.Context, cmd hub.Command) (hub.Result, error) {
	r, err := l.Node.Append(ctx, cmd)
	if l.after {
		return hub.Result{}, hub.ErrUnavailable
	}
	return r, err
}

func TestExclude(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{ExcludePerMessage: 2})
		a, b := create(t, h, "a", "room"), create(t, h, "b", "room")
		p := publication("room", "not for a")
		p.Exclude = []string{"nobody", "a"}
		sa, sb := attach(t, h, hub.Start{Now: true}, a), attach(t, h, hub.Start{Now: true}, b)
		both := attach(t, h, hub.Start{Now: true}, a, b)
		poll, err := h.AttachPoll(t.Context(), []hub.Credentials{a}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer poll.Close()
		if first, err := poll.Next(t.Context()); err != nil || len(first) != 2 {
			t.Fatalf("%v, %v; want two notices", first, err)
		}
		poll.Done(true)
		hidden, err := h.Publish(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		batch := sa.Collect()
		want(t, "a", said(batch.Messages), nil)
		if got := skips(batch); !slices.Equal(got, []uint64{hidden.ID}) || batch.Position != hidden.Position {
			t.Errorf("a hears %+v; want that %d is not for it", batch, hidden.ID)
		}
		want(t, "b", said(sb.Collect().Messages), []string{"not for a"})
		want(t, "a session for both", said(both.Collect().Messages), []string{"not for a"})

		time.AfterFunc(time.Second, func() { publish(t, h, "room", "for all") })
		got, err := poll.Next(t.Context())
		want(t, fmt.Sprint("an old page ", err), said(got), []string{"for all"})

		p.Exclude = []string{"a", "b", "c"}
		if _, err := h.Publish(t.Context(), p); !isLimit(err, "exclude_per_message") {
			t.Errorf("too many: %v", err)
		}
		p.Exclude = []string{"a_!!_b"}
		if _, err := h.Publish(t.Context(), p); !errors.Is(err, hub.ErrInvalid) {
			t.Errorf("no client id: %v", err)
		}
	})
}

func TestTimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{})
		a := create(t, h, "a", "room")
		p := publication("room", "now or never")
		p.TTL = 10 * time.Second
		late, err := h.Publish(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		publish(t, h, "room", "for good")
		want(t, "in time", said(attach(t, h, hub.Start{}, a).Collect().Messages), []string{"now or never", "for good"})
		time.Sleep(11 * time.Second)
		b := attach(t, h, hub.Start{}, a).Collect()
		want(t, "late", said(b.Messages), []string{"for good"})
		if got := skips(b); !slices.Equal(got, []uint64{late.ID}) {
			t.Errorf("skips %v, want %d", got, late.ID)
		}
		if got := keeps(t, h, "room"); got != 1 {
			t.Errorf("history has %d messages, want 1", got)
		}
		p.TTL = -1
		if _, err := h.Publish(t.Context(), p); !errors.Is(err, hub.ErrInvalid) {
			t.Errorf("a negative one: %v", err)
		}
	})
}

// Who reads for several clients does not hear for one what only another one,
// who was not there yet, could have heard.
func TestExcludeAndALaterMember(t *testing.T) {
	h := newHub(t, hub.Limits{})
	a, b := create(t, h, "a", "room"), create(t, h, "b")
	p := publication("room", "secret")
	p.Exclude = []string{"a"}
	if _, err := h.Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	subscribe(t, h, "b", "room")
	want(t, "a session", said(attach(t, h, hub.Start{}, a, b).Collect().Messages), nil)
	poll, err := h.AttachPoll(t.Context(), []hub.Credentials{a, b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer poll.Close()
	got, err := poll.Next(t.Context())
	want(t, fmt.Sprint("a poll ", err), said(got), nil)
}

// The caller's list stays as it is, and what the hub keeps of it is charged.
func TestExcludeIsCopiedAndCharged(t *testing.T) {
	h := newHub(t, hub.Limits{})
	p := publication("room", "x")
	publish(t, h, "room", "x")
	before := h.Stats().Bytes
	if _, err := h.Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	plain := h.Stats().Bytes - before
	p.Exclude = []string{"zoe", "alice"}
	if _, err := h.Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if p.Exclude[0] != "zoe" {
		t.Error("the caller's list has been put in order")
	}
	if got, want := h.Stats().Bytes-before-plain, plain+int64(len("zoealice")+2*16); got != want {
		t.Errorf("charged %d, want %d", got, want)
	}
}

// A broadcast takes as much room among the publish ids as it has channels.
func TestPublishIDsOfBroadcasts(t *testing.T) {
	h := newHub(t, hub.Limits{PublishIDs: 5})
	p := publication("", "x")
	p.PublishID = "1"
	if _, err := h.Broadcast(t.Context(), []string{"a", "b", "c"}, p); err != nil || h.Stats().PublishIDs != 3 {
		t.Fatalf("%d places, %v", h.Stats().PublishIDs, err)
	}
	p.PublishID = "2"
	if _, err := h.Broadcast(t.Context(), []string{"a", "b", "c"}, p); !isLimit(err, "publish_ids") {
		t.Errorf("no room for three: %v", err)
	}
	if _, err := h.Broadcast(t.Context(), []string{"a", "b"}, p); err != nil {
		t.Errorf("room for two: %v", err)
	}
}

// Counts tell what was handed over, once.
func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, hub.Limits{ChannelMessages: 2, Clients: 2})
		a, b := create(t, h, "a", "room"), create(t, h, "b", "room")
		at := h.Position()
		s := attach(t, h, hub.Start{At: at}, a, b)
		for range 3 {
			publish(t, h, "room", "x")
		}
		s.Collect()
		s.Commit()
		key, _, err := h.RotateKey(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		s.Collect() // gone
		s.Commit()
		if st := h.Stats(); st.Delivered != 2 || st.Gaps != 1 || st.Batches != 2 || st.Resets != 0 {
			t.Errorf("%+v", st)
		}
		foreign := attach(t, h, hub.Start{At: hub.Position{Epoch: at.Epoch + 1, Seq: 1}}, b)
		foreign.Collect()
		foreign.Commit()
		if st := h.Stats(); st.Resets != 1 {
			t.Errorf("%d resets", st.Resets)
		}

		before := h.Stats()
		p := publication("room", "x")
		p.Exclude = []string{"a"}
		if _, err := h.Publish(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		poll, err := h.AttachPoll(t.Context(), []hub.Credentials{{ID: "a", Key: key}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := poll.Next(t.Context()); len(got) == 0 {
			t.Fatal("nothing of what was before")
		}
		poll.Done(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Publish(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if got, _ := poll.Next(ctx); len(got) != 0 {
			t.Fatalf("%d messages for others", len(got))
		}
		if st := h.Stats(); st.Batches != before.Batches+1 || st.Delivered <= before.Delivered {
			t.Errorf("%+v", st)
		}
		poll.Close()

		s.Close()
		foreign.Close()
		time.Sleep(2 * time.Minute)
		if n, _, err := h.Expire(t.Context(), idle, 10); n != 2 {
			t.Fatalf("%d let go, %v", n, err)
		}
		create(t, h, "c")
		create(t, h, "d")
		before = h.Stats()
		if _, err := h.Attach(t.Context(), []hub.Credentials{b}, hub.Start{}); !isLimit(err, "clients") {
			t.Fatal(err)
		}
		if st := h.Stats(); st.Refused != before.Refused+1 {
			t.Errorf("%d refused, want 1", st.Refused-before.Refused)
		}
	})
}
