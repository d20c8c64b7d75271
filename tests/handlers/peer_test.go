package handlers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// A peer is a backend by its own WebSocket: it serves, and publishes by the way.
type peer struct {
	*wire
	*ledger
	name    string
	ill     atomic.Bool  // it does not answer
	asked   atomic.Int64 // calls that it has heard
	results atomic.Int64 // answers to what it has published
	serving sync.WaitGroup
	ended   chan struct{}

	unanswered chan struct{} // has one for each that is missing
}

// serve connects a backend.
func serve(t testing.TB, s *server, l *ledger, name string) *peer {
	t.Helper()
	w, err := dial(s.addr, "/rpc")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{wire: w, ledger: l, name: name, ended: make(chan struct{}), unanswered: make(chan struct{}, 100)}
	s.t.Cleanup(p.die) // it may outlive a part of the test
	if err := p.say(`{"jsonrpc":"2.0","id":"serve","method":"serve"}`); err != nil {
		t.Fatal(err)
	}
	if text, err := p.hear(); err != nil || string(text) != `{"jsonrpc":"2.0","result":true,"id":"serve"}` {
		t.Fatalf("serve: %s, %v", text, err)
	}
	p.serving.Go(func() {
		defer close(p.ended)
		for {
			text, err := p.hear()
			if err == nil {
				err = p.take(text)
			}
			if err != nil {
				return
			}
		}
	})
	return p
}

// die ends it as a crash does.
func (p *peer) die() {
	p.cut()
	p.serving.Wait()
}

// take takes a message: a call, or the answer to one of its own. Those come in
// order.
func (p *peer) take(text []byte) error {
	var m struct {
		ID     json.RawMessage
		Method string
		Result json.RawMessage
	}
	if err := json.Unmarshal(text, &m); err != nil {
		p.fault("%s: it hears %.200q: %v", p.name, text, err)
	}
	if m.Method == "" {
		if n := p.results.Add(1); m.Result == nil || string(m.ID) != fmt.Sprint(n) {
			p.fault("%s: it hears %s as its %d. answer", p.name, text, n)
		}
		<-p.unanswered
		return nil
	}
	c, err := readCall(text)
	if err != nil {
		p.fault("%s: %v", p.name, err)
		return nil
	}
	c.by = p.name
	p.note(c)
	defer p.asked.Add(1)
	if p.ill.Load() {
		return nil
	}
	p.answered(c)
	return p.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"result":%s}`, c.ID, c.result()))
}

// publish has it say numbers on a channel, and not wait for the answers but for
// those to all but the last hundred. It says when that is done.
func (p *peer) publish(channel string, numbers int) <-chan error {
	done := make(chan error, 1)
	p.serving.Go(func() {
		for n := 1; n <= numbers; n++ {
			select {
			case p.unanswered <- struct{}{}:
			case <-p.ended:
				done <- errors.New("its connection has ended")
				return
			}
			if err := p.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"new_message","params":["bob",%d,%q,false]}`, n, n, channel)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	})
	return done
}

// rpcSetup is the configuration of a namespace that is answered by /rpc.
const rpcSetup = "[namespace.\"/ws\"]\nopen = true\nhandler = \"rpc\"\n"
