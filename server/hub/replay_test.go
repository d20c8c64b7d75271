package hub

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"time"
)

// A handLog is a shared log that a test feeds by hand.
type handLog struct {
	stale bool
	asked int // how often it has refused something
}

func (l *handLog) Append(context.Context, Command) (Result, error) {
	l.asked++
	return Result{}, ErrUnavailable
}
func (l *handLog) Run(ctx context.Context, _ State) error { <-ctx.Done(); return ctx.Err() }
func (l *handLog) Sync(context.Context) error             { return nil }
func (l *handLog) InTouch(time.Duration) bool             { return true }
func (l *handLog) Stale() bool                            { return l.stale }
func (l *handLog) Keeper() bool                           { return true }

// byHand returns a hub whose entries a test applies itself.
func byHand(t *testing.T) (*Hub, *handLog, fold) {
	t.Helper()
	l := new(handLog)
	h := New(Config{NewKey: func() string { return "k" }}, l)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return h, l, fold{h}
}

func entryAt(first, last uint64, c Command) Entry {
	return Entry{Epoch: 7, First: first, Last: last, Time: time.Now(), Foreign: true, Command: c}
}

func messageAt(ch string, seq, id uint64) *Message {
	m := MessageOn(ch)
	m.Sender, m.Data, m.Seq, m.ID, m.Time = json.RawMessage(`"x"`), json.RawMessage(`1`), seq, id, time.Now().UnixMilli()
	return m
}

func bobOn(subs ...SubImage) ClientImage {
	return ClientImage{ID: "bob", Key: "k", Since: time.Now(), Born: 5, Version: 20, Changed: 20, Subs: subs}
}

func adminAsOf(asOf uint64) ChannelImage { return ChannelImage{Name: "admin", Began: 1, AsOf: asOf} }

// imageAt is as of 100; its channels may be of later.
func imageAt(clients []ClientImage, channels ...ChannelImage) *Image {
	return &Image{Epoch: 7, Began: 1, Seq: 100, Clients: clients, Channels: channels}
}

func members(h *Hub, channel string) int {
	ch := h.channels.get(channel)
	if ch == nil {
		return -1
	}
	return ch.memberCount()
}

// The parts of an image are of different moments, and the entries since the first
// of them are applied over it. In the end the state is that of who has followed all
// the time.
func TestEntriesOverAnImage(t *testing.T) {
	pair := []Pair{{"bob", "room"}}
	join := Command{Op: OpSubscribe, Pairs: pair, Told: []bool{false}}
	joinNew := Command{Op: OpSubscribe, Creates: []string{"room"}, Pairs: pair, Told: []bool{false}}
	leave := Command{Op: OpUnsubscribe, Pairs: pair, Told: []bool{false}}
	drop := Command{Op: OpDrop, Channels: []string{"room"}}
	remove := Command{Op: OpDelete, Channels: []string{"room"}}
	sayNew := func() Command {
		return Command{Op: OpPublish, Creates: []string{"room"}, Message: messageAt("room", 0, 0)}
	}
	later := bobOn(SubImage{"room", 101, 0, 0})
	later.Version = 102
	for _, test := range []struct {
		name    string
		image   *Image
		entries []Entry
		members int    // of the room; -1: there is none
		admin   uint64 // the last id of the admin channel
	}{
		{"left a channel that was dropped and begun anew",
			imageAt([]ClientImage{bobOn(SubImage{"room", 19, 0, 0})}, adminAsOf(110), ChannelImage{Name: "room", Began: 103, AsOf: 110, LastID: 1, Messages: []*Message{messageAt("room", 104, 1)}}),
			[]Entry{entryAt(101, 101, leave), entryAt(102, 102, drop), entryAt(103, 104, sayNew())}, 0, 0},
		{"joined, left, dropped: seen between the first two",
			imageAt([]ClientImage{later}, adminAsOf(110)),
			[]Entry{entryAt(101, 102, joinNew), entryAt(103, 103, leave), entryAt(104, 104, drop)}, -1, 0},
		{"was on a former channel of the name",
			imageAt([]ClientImage{bobOn()}, adminAsOf(100), ChannelImage{Name: "room", Began: 105, AsOf: 110}),
			[]Entry{entryAt(101, 102, joinNew), entryAt(104, 104, remove), entryAt(105, 106, sayNew())}, 0, 2},
		{"killed where others had it on a channel",
			imageAt([]ClientImage{bobOn()}, adminAsOf(110), ChannelImage{Name: "room", Began: 90, AsOf: 100}),
			[]Entry{entryAt(111, 111, Command{Op: OpKill, Client: "bob", Pairs: pair, Told: []bool{false}})}, 0, 0},
		{"is on it, as the image has it already",
			imageAt([]ClientImage{later}, adminAsOf(110), ChannelImage{Name: "room", Began: 101, AsOf: 110, Joined: 102}),
			[]Entry{entryAt(101, 102, joinNew), entryAt(111, 112, Command{Op: OpSubscribe, Creates: []string{"other"}, Pairs: []Pair{{"bob", "other"}}, Told: []bool{false}})}, 1, 1},
		{"joined after the image",
			imageAt([]ClientImage{bobOn()}, adminAsOf(100), ChannelImage{Name: "room", Began: 90, AsOf: 110, Joined: 101}),
			[]Entry{entryAt(101, 101, join)}, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, _, f := byHand(t)
			f.Restore(test.image)
			for _, e := range test.entries {
				f.Apply(e)
			}
			if n := members(h, "room"); n != test.members {
				t.Errorf("the room has %d members, want %d", n, test.members)
			}
			if id := h.channels.get(AdminChannel).lastID; id != test.admin {
				t.Errorf("the admin channel's last id is %d, want %d", id, test.admin)
			}
		})
	}
}

// Who looked before the top had come to a message hears it when it has.
func TestWokenForWhatCameWithAnImage(t *testing.T) {
	h, _, f := byHand(t)
	f.Restore(imageAt([]ClientImage{bobOn(SubImage{"room", 19, 0, 0})}, adminAsOf(110),
		ChannelImage{Name: "room", Began: 10, AsOf: 110, LastID: 1, Messages: []*Message{messageAt("room", 105, 1)}}))
	woken := make(chan bool, 1)
	s, err := h.Attach(t.Context(), []Credentials{{"bob", "k"}}, Start{At: Position{7, 100}, Unlisted: true, Ready: func() {
		select {
		case woken <- true:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if b := s.Collect(); len(b.Messages) > 0 {
		t.Fatal("it is too early")
	}
	s.Commit()
	f.Apply(entryAt(105, 105, Command{Op: OpPublish, Message: messageAt("room", 0, 0)}))
	select {
	case <-woken:
		if b := s.Collect(); len(b.Messages) != 1 {
			t.Errorf("it finds %d messages", len(b.Messages))
		}
	case <-time.After(5 * time.Second):
		t.Errorf("not woken; a look finds %d messages", len(s.Collect().Messages))
	}
}

// A count that is told again over an image hides nothing that was said since.
func TestCountedOverAnImage(t *testing.T) {
	h, _, f := byHand(t)
	f.Restore(imageAt([]ClientImage{bobOn(SubImage{"room", 19, 0, 0})}, adminAsOf(110),
		ChannelImage{Name: "room", Began: 10, AsOf: 110, LastID: 1, Messages: []*Message{messageAt("room", 105, 1)}}))
	f.Apply(entryAt(102, 102, Command{Op: OpCount, Channels: []string{"room"}}))
	f.Apply(entryAt(111, 111, Command{Op: OpTake, Takes: []Take{{Client: "bob"}}}))
	s, err := h.Attach(t.Context(), []Credentials{{"bob", "k"}}, Start{At: Position{7, 103}, Unlisted: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if b := s.Collect(); len(b.Messages) != 1 {
		t.Errorf("from 103 on there are %d messages, want that at 105", len(b.Messages))
	}
}

// Who publishes what has come with an image already is told where it is, and so is
// a retry; where that is not known any more, the log itself is asked.
func TestPublishedOverAnImage(t *testing.T) {
	for _, rooms := range [][]ChannelImage{
		{adminAsOf(110), {Name: "room", Began: 10, AsOf: 110, LastID: 1, Messages: []*Message{messageAt("room", 105, 1)}}},
		{adminAsOf(110), {Name: "room", Began: 10, AsOf: 110, LastID: 1, Lost: 105}},
		{adminAsOf(110)}, // it was deleted since
	} {
		_, _, f := byHand(t)
		kept := len(rooms) == 2 && rooms[1].Lost == 0
		f.Restore(imageAt([]ClientImage{bobOn()}, rooms...))
		p := Publication{Channel: "room", Sender: json.RawMessage(`"x"`), Data: json.RawMessage(`1`), PublishID: "once"}
		key := &PublishKey{Scope: "room", ID: "once", Hash: digest(&p, nil)}
		said := messageAt("room", 0, 0)
		id := f.Apply(entryAt(105, 105, Command{Op: OpPublish, Message: said, Retry: key}))
		again := Command{Op: OpPublish, Message: newMessage(&p, "room"), Retry: key}
		r, err := f.Check(&again)
		switch {
		case err != nil:
			t.Error(err)
		case said.Seq != 105:
			t.Errorf("it is said to be at %d", said.Seq)
		case kept && (id != 1 || len(r.Earlier) != 1 || r.Earlier[0].Position != Position{7, 105} || r.Earlier[0].ID != 1):
			t.Errorf("who has published it is told id %d, and its retry %+v", id, r.Earlier)
		case !kept && len(r.Earlier) != 0:
			t.Errorf("its retry is told %+v, of which nothing is known", r.Earlier[0])
		}
	}
}

// Where the log takes nothing, that is found out once in a while, and not of each
// channel by itself.
func TestTidyGivesUp(t *testing.T) {
	h, l, f := byHand(t)
	rooms := []ChannelImage{adminAsOf(100)}
	for n := range 1000 {
		rooms = append(rooms, ChannelImage{Name: "room" + strconv.Itoa(n), Began: 10, AsOf: 100})
	}
	f.Restore(imageAt(nil, rooms...))
	for range 2 {
		l.asked = 0
		if err := h.Tidy(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		if l.asked == 0 || l.asked > 50 {
			t.Errorf("the log was asked %d times", l.asked)
		}
	}
}

// Who joined last is who did so by the highest number: else a channel would be
// dropped never, or too early.
func TestJoinedOverAnImage(t *testing.T) {
	h, _, f := byHand(t)
	carol := ClientImage{ID: "carol", Key: "k", Since: time.Now(), Version: 108, Subs: []SubImage{{"room", 107, 0, 0}}}
	f.Restore(imageAt([]ClientImage{bobOn(), carol}, adminAsOf(110), ChannelImage{Name: "room", Began: 10, AsOf: 110, Joined: 108}))
	f.Apply(entryAt(105, 105, Command{Op: OpSubscribe, Pairs: []Pair{{"bob", "room"}}, Told: []bool{false}}))
	f.Apply(entryAt(108, 108, Command{Op: OpSubscribe, Pairs: []Pair{{"carol", "room"}}, Told: []bool{false}}))
	if g := h.channels.get("room").joined; g != 108 {
		t.Errorf("somebody joined last at %d, want 108", g)
	}
}

// What was taken of a former client is nothing that the next of its name has.
func TestTakenOverAnImage(t *testing.T) {
	h, _, f := byHand(t)
	bob := bobOn()
	bob.Version = 103
	f.Restore(imageAt([]ClientImage{bob}, adminAsOf(110)))
	f.Apply(entryAt(101, 101, Command{Op: OpTake, Takes: []Take{{"bob", 50, 90}}}))
	f.Apply(entryAt(102, 102, Command{Op: OpKill, Client: "bob"}))
	f.Apply(entryAt(103, 103, Command{Op: OpCreate, Client: "bob", Key: "k"}))
	if g := h.clients.get("bob").takenUpTo(); g != 0 {
		t.Errorf("bob has taken everything up to %d", g)
	}
}

// Nor does it have what was kept with that one.
func TestDataOverAnImage(t *testing.T) {
	h, _, f := byHand(t)
	f.Restore(imageAt([]ClientImage{{ID: "~s", Key: "k", Socket: true, Since: time.Now(), Born: 103, Version: 103}}, adminAsOf(110)))
	f.Apply(entryAt(101, 101, Command{Op: OpData, Client: "~s", Data: []byte("1")}))
	if d := h.SocketData("~s"); d != nil {
		t.Errorf("it has what was kept with a former one: %s", d)
	}
	f.Apply(entryAt(104, 104, Command{Op: OpData, Client: "~s", Data: []byte("2")}))
	if d := h.SocketData("~s"); string(d) != "2" {
		t.Errorf("it has %q, want 2", d)
	}
}

// A claim made in one epoch says nothing of the next, whose numbers may be lower.
func TestClaimOfAFormerEpoch(t *testing.T) {
	_, _, f := byHand(t)
	f.Restore(imageAt([]ClientImage{bobOn(SubImage{"room", 19, 0, 0})}, adminAsOf(110), ChannelImage{Name: "room", Began: 10, AsOf: 110}))
	next := imageAt([]ClientImage{bobOn(SubImage{"room", 19, 0, 0})}, adminAsOf(101), ChannelImage{Name: "room", Began: 10, AsOf: 101})
	next.Epoch, next.Began, next.Seq, next.Ends = 8, 101, 101, map[uint64]uint64{7: 100}
	f.Restore(next)
	for epoch, want := range map[uint64]bool{7: false, 8: true} {
		cmd := Command{Op: OpTake, Within: epoch, Takes: []Take{{Client: "bob", From: 0, UpTo: 101}}}
		if _, err := f.Check(&cmd); (err == nil) != want {
			t.Errorf("a claim of epoch %d in epoch 8: %v", epoch, err)
		}
	}
}

// Nobody is let in where the log has not been heard of for too long, in whatever way
// they come.
func TestRenewWhereTheLogIsStale(t *testing.T) {
	h, l, f := byHand(t)
	f.Restore(imageAt([]ClientImage{bobOn()}, adminAsOf(110)))
	s, err := h.Attach(t.Context(), []Credentials{{"bob", "k"}}, Start{At: Position{7, 100}})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if again, ok := s.Renew(Position{7, 100}); !ok {
		t.Error("it cannot be renewed")
	} else {
		again.Close()
	}
	l.stale = true
	if _, err := h.Attach(t.Context(), []Credentials{{"bob", "k"}}, Start{}); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if again, ok := s.Renew(Position{7, 100}); ok {
		again.Close()
		t.Error("a stale node lets somebody in who comes again")
	}
}

// A socket of a client that was killed is nobody's, and nobody comes back to it,
// also where the state was read anew.
func TestSocketOfTheKilledInAnImage(t *testing.T) {
	everybody := RoomChannel("/", "")
	socket := ClientImage{ID: "~s", Key: "s", Socket: true, Owner: "bob", OwnedBy: 5, Since: time.Now(), Version: 30, Subs: []SubImage{{everybody, 29, 0, 0}}}
	other := bobOn()
	other.Key, other.Born, other.Version = "new", 90, 90
	for _, test := range []struct {
		name    string
		clients []ClientImage
		owner   string
		back    bool
	}{
		{"as it was", []ClientImage{socket, bobOn()}, "bob", true},
		{"asked for by nobody", []ClientImage{socket, bobOn()}, "", false},
		{"killed", []ClientImage{socket}, "", false},
		{"killed and created again", []ClientImage{socket, other}, "bob", false},
	} {
		h, _, f := byHand(t)
		f.Restore(imageAt(test.clients, adminAsOf(100), ChannelImage{Name: everybody, Began: 10, AsOf: 100}))
		if _, ok := h.SocketSince("~s", "/", test.owner); ok != test.back {
			t.Errorf("%s: it comes back to %q: %v", test.name, test.owner, ok)
		}
	}
}

// An image may have a socket, and of its owner only who had that name before.
func TestSocketOfSomebodyNewerThanAnImage(t *testing.T) {
	everybody := RoomChannel("/", "")
	socket := ClientImage{ID: "~s", Key: "s", Socket: true, Born: 103, Owner: "bob", OwnedBy: 102, Since: time.Now(), Version: 104, Subs: []SubImage{{everybody, 103, 0, 0}}}
	for name, clients := range map[string][]ClientImage{"who had the name before": {socket, bobOn()}, "nobody": {socket}} {
		h, _, f := byHand(t)
		f.Restore(imageAt(clients, adminAsOf(110), ChannelImage{Name: everybody, Began: 10, AsOf: 110}))
		f.Apply(entryAt(101, 101, Command{Op: OpKill, Client: "bob"}))
		f.Apply(entryAt(102, 102, Command{Op: OpCreate, Client: "bob", Key: "new"}))
		f.Apply(entryAt(103, 104, Command{Op: OpSocket, Client: "~s", Key: "s", Owner: "bob", Pairs: []Pair{{"~s", everybody}}, Told: []bool{false}}))
		if _, ok := h.SocketSince("~s", "/", "bob"); !ok {
			t.Errorf("with %s in the image: the socket is not bob's", name)
		}
	}
}

// Who has got another key meanwhile is the same: readers that have shown the old one
// are gone, and its sockets may come back.
func TestAnotherKeyInAnImage(t *testing.T) {
	everybody := RoomChannel("/", "")
	image := func(key string) *Image {
		bob := bobOn()
		bob.Key = key
		socket := ClientImage{ID: "~s", Key: "s", Socket: true, Owner: "bob", OwnedBy: 5, Since: time.Now(), Version: 30, Subs: []SubImage{{everybody, 29, 0, 0}}}
		return imageAt([]ClientImage{socket, bob}, adminAsOf(100), ChannelImage{Name: everybody, Began: 10, AsOf: 100})
	}
	h, _, f := byHand(t)
	f.Restore(image("k"))
	s, err := h.Attach(t.Context(), []Credentials{{"bob", "k"}}, Start{At: Position{7, 100}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f.Restore(image("new"))
	if b, err := s.Next(t.Context()); err != nil || len(b.Signals) != 1 || b.Signals[0].Type != SignalGone {
		t.Errorf("who has shown the old key hears %+v, %v, want gone", b.Signals, err)
	}
	if h.Opens(Credentials{"bob", "k"}) || !h.Opens(Credentials{"bob", "new"}) {
		t.Error("the old key opens, or the new one does not")
	}
	if _, ok := h.SocketSince("~s", "/", "bob"); !ok {
		t.Error("its socket cannot come back")
	}
	if n := h.Stats().Clients; n != 1 {
		t.Errorf("there are %d clients, want 1", n)
	}
}

// Whose a socket is can be asked while the state is replaced.
func TestOwnersWhileTheStateIsReplaced(t *testing.T) {
	h, _, f := byHand(t)
	image := func() *Image {
		return imageAt([]ClientImage{bobOn(), {ID: "~s", Key: "k", Socket: true, Owner: "bob", OwnedBy: 5, Since: time.Now(), Version: 30}}, adminAsOf(100))
	}
	f.Restore(image())
	done := make(chan bool)
	go func() {
		defer close(done)
		for range 1000 {
			h.SocketSince("~s", "/", "bob")
		}
	}()
	for range 100 {
		f.Restore(image())
	}
	<-done
}

// Memberships whose channels have ended are forgotten by the log when their client
// joins the next.
func TestEndedMemberships(t *testing.T) {
	_, _, f := byHand(t)
	f.Restore(imageAt([]ClientImage{bobOn(SubImage{"gone", 19, 0, 0}, SubImage{"room", 19, 0, 0})}, adminAsOf(100),
		ChannelImage{Name: "room", Began: 10, AsOf: 100}, ChannelImage{Name: "other", Began: 11, AsOf: 100}, ChannelImage{Name: "third", Began: 12, AsOf: 100}))
	f.Apply(entryAt(101, 101, Command{Op: OpDelete, Channels: []string{"room"}}))
	ended := func(channel string) int {
		cmd := Command{Op: OpSubscribe, Pairs: []Pair{{"bob", channel}}}
		if _, err := f.Check(&cmd); err != nil {
			t.Fatal(err)
		}
		return len(cmd.Ended)
	}
	if n := ended("other"); n != 2 {
		t.Errorf("%d have ended, want 2", n)
	}
	f.Apply(entryAt(102, 102, Command{Op: OpSubscribe, Pairs: []Pair{{"bob", "other"}}, Told: []bool{false}}))
	if n := ended("third"); n != 0 {
		t.Errorf("%d have ended since, want none", n)
	}
}
