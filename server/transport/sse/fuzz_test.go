package sse

import (
	"bytes"
	"testing"
	"time"

	gosse "github.com/tmaxmax/go-sse"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/transporttest"
)

// Whatever is said, by whatever name, another program's parser reads exactly
// one message of it, which has exactly that.
func FuzzEvents(f *testing.F) {
	transporttest.Fuzz(f, func(t *testing.T, b *hub.Batch, said transporttest.Message) {
		e := events{retry: time.Second}
		stream := e.encode(nil, b, 0, true)
		last, messages := "", 0
		for event, err := range gosse.Read(bytes.NewReader(stream), &gosse.ReadConfig{MaxEventSize: 1 << 20}) {
			if err != nil {
				t.Fatalf("%v: %q", err, stream)
			}
			if event.Type != "" {
				last = event.Type
				continue
			}
			messages++
			got, err := transporttest.ParseMessage([]byte(event.Data))
			if err != nil || got != said || event.LastEventID != said.Position {
				t.Errorf("%+v, %v, at %q; want %+v", got, err, event.LastEventID, said)
			}
		}
		if messages != 1 || last != "tick" {
			t.Errorf("%d messages, and at last %q: %q", messages, last, stream)
		}
	})
}
