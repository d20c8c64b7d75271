package transport

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/server/broker/memory"
	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
)

// A drain is told also to who has, at that moment, the same news as many others.
func TestDrainWithNewsInCommon(t *testing.T) {
	h := hub.New(hub.Config{NewKey: func() string { return "key" }}, memory.New())
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); h.Run(ctx) }()
	defer func() { cancel(); <-over }()
	<-h.Ready()
	key, _, err := h.CreateClient(ctx, "reader")
	if err == nil {
		_, err = h.Subscribe(ctx, []hub.Pair{{Client: "reader", Channel: "room"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	session, err := h.Attach(ctx, []hub.Credentials{{ID: "reader", Key: key}}, hub.Start{Now: true})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	session.Collect() // of a session that has just come nothing is common
	session.Commit()
	if _, err := h.Publish(ctx, hub.Publication{Channel: "room", Data: []byte(`"news"`)}); err != nil {
		t.Fatal(err)
	}
	if session.Collect().Common == nil {
		t.Error("the news are not in common")
	}
	encode := func(dst []byte, b *hub.Batch, retry time.Duration, _ bool) []byte {
		return AppendSharedBatch(dst, b, retry)
	}
	f := &Feed{host: NewHost(h, Options{}), session: session, begun: true, encode: encode}
	out, end := f.Next(nil, park.Drain)
	if text := string(out); !end || !strings.Contains(text, `"drain"`) || !strings.Contains(text, `"news"`) {
		t.Errorf("end %v: %s", end, text)
	}
}
