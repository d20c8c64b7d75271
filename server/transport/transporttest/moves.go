package transporttest

import (
	"fmt"

	"github.com/shaveet/shaveet/server/hub"
)

// movedOn: who goes to and fro with its cursor hears each message once.
func movedOn(here, there *world) {
	alice := []hub.Credentials{here.client("alice", "room")}
	cursor := ""
	for i := 0; i < 40; i += 2 {
		here.publish("room", fmt.Sprint(i))
		here.publish("room", fmt.Sprint(i+1))
		w := []*world{here, there}[i/2%2]
		r := w.begins(Start{Clients: alice, Cursor: cursor, Session: "tab"})
		var texts []string
		for len(texts) < 2 {
			got := w.read(r)
			texts = append(texts, got.texts("room")...)
			cursor = got.Cursor
		}
		r.Close()
		if len(texts) != 2 || texts[0] != fmt.Sprint(i) || texts[1] != fmt.Sprint(i+1) {
			w.t.Fatalf("got %q, want %d and the next", texts, i)
		}
	}
}

// tookOver: the session is the same whatever it comes by.
func tookOver(here, there *world) {
	start := Start{Clients: []hub.Credentials{here.client("alice", "room")}, Session: "tab"}
	older := here.begins(start)
	start.Cursor = here.read(older).Cursor
	c := here.wait(older)
	newer := there.waitOn(there.begins(start))
	if !c.ended() || c.err != nil || len(c.got.signals("superseded")) != 1 {
		here.t.Errorf("the older self: ended %t with %+v, %v", c.ended(), c.got, c.err)
	}
	here.publish("room", "hello")
	if !newer.ended() || newer.err != nil || len(newer.got.texts("room")) != 1 {
		here.t.Errorf("the newer self: ended %t with %+v, %v", newer.ended(), newer.got, newer.err)
	}
}
