package stream

import (
	"bytes"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/transporttest"
)

// Whatever is said is on one line, which encoding/json reads as exactly that,
// alone or among others.
func FuzzLines(f *testing.F) {
	transporttest.Fuzz(f, func(t *testing.T, b *hub.Batch, said transporttest.Message) {
		alone := hub.Batch{Position: b.Position, Messages: b.Messages[len(b.Messages)-1:]}
		for _, batch := range []*hub.Batch{b, &alone} {
			text := line(nil, batch, 0, false)
			if bytes.Count(text, []byte("\n")) != 1 || text[len(text)-1] != '\n' {
				t.Fatalf("not a line: %q", text)
			}
			news, err := transporttest.ParseBatch(text[:len(text)-1])
			if err != nil || len(news.Messages) != 1 || news.Messages[0] != said || news.Cursor != said.Position {
				t.Errorf("%+v, %v; want %+v", news, err, said)
			}
		}
	})
}
