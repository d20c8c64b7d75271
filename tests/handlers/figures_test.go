package handlers_test

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkEvents is what a handler can be asked: the events a second of a hundred
// sockets that say twenty at once, and how long an answer takes for one that says
// one after the other, by a webhook and by the backend's own WebSocket.
func BenchmarkEvents(b *testing.B) {
	h := newHook(b)
	s := start(b, webhookTable("hook", h.url())+rpcSetup)
	serve(b, s, newLedger(), "only")
	for name, namespace := range map[string]string{"webhook": "/hook", "rpc": "/ws"} {
		b.Run(name, func(b *testing.B) {
			const sockets, events = 100, 20
			c := gather(b, s, namespace, sockets)
			said := 0
			began := time.Now()
			for b.Loop() {
				c.say(b, events, c.sockets)
				c.settle(b)
				said += sockets * events
			}
			rate := float64(said) / time.Since(began).Seconds()
			took := alone(b, c)
			b.ReportMetric(rate, "events/s")
			b.ReportMetric(float64(middle(took).Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// alone is how long answers take for one socket, in the order of that.
func alone(b *testing.B, c *crowd) (took []time.Duration) {
	one, err := c.join()
	if err != nil {
		b.Fatal(err)
	}
	defer one.conn.Close()
	for range 1000 {
		if err := one.utter(0); err != nil {
			b.Fatal(err)
		}
		text, err := one.hear()
		if err != nil {
			b.Fatal(err)
		}
		if err := one.noteAck(text[len("43"+c.namespace+","):]); err != nil {
			b.Fatal(err)
		}
	}
	for _, a := range one.acks {
		took = append(took, a.took)
	}
	slices.Sort(took)
	return took
}
