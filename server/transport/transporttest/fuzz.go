package transporttest

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
)

// Fuzz has all kinds of texts be said on channels of all kinds of names. check
// gets what a reader collects, and what was said: the last message of the batch,
// by a sender who is a text as well.
func Fuzz(f *testing.F, check func(t *testing.T, b *hub.Batch, said Message)) {
	for _, text := range strangeTexts {
		f.Add(text, text)
	}
	h := hub.New(hub.Config{NewKey: func() string { return "key" }}, memory.New())
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	f.Cleanup(func() { stop(); running.Wait() })
	<-h.Ready()
	f.Fuzz(func(t *testing.T, channel, text string) {
		if !utf8.ValidString(text) {
			return // the admin API takes none
		}
		data, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.CreateClient(ctx, "reader"); err != nil {
			t.Fatal(err)
		}
		defer h.KillClient(ctx, "reader")
		if _, err := h.Subscribe(ctx, []hub.Pair{{Client: "reader", Channel: channel}}); err != nil {
			return // not a name
		}
		to, err := h.Publish(ctx, hub.Publication{Channel: channel, Sender: data, Data: data})
		if err != nil {
			return // too large
		}
		session, err := h.Attach(ctx, []hub.Credentials{{ID: "reader", Key: "key"}}, hub.Start{})
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		b := session.Collect()
		check(t, &b, Message{Channel: channel, ID: to.ID, Text: text, Sender: string(data),
			Position: to.Position.String(), Time: b.Messages[len(b.Messages)-1].Time})
	})
}
