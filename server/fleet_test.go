package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// ask calls a method with an object of parameters.
func (r *running) ask(method, params string) string {
	r.t.Helper()
	req, _ := http.NewRequest("POST", "http://"+r.adm+"/rpc", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+params+`}`))
	status, body := do(r.t, req)
	var answer struct{ Result, Error json.RawMessage }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
		r.t.Fatalf("%s%s: %d %s", method, params, status, body)
	}
	return string(append(answer.Result, answer.Error...))
}

func (r *running) wantCall(want, method, params string) {
	r.t.Helper()
	if got := r.ask(method, params); got != want {
		r.t.Errorf("%s%s: %s, want %s", method, params, got, want)
	}
}

// A fetchedSocket is a socket as fetch_sockets has it.
type fetchedSocket struct {
	SID       string
	ClientID  *string `json:"client_id"`
	Rooms     []string
	Transport string
	Address   string
	Connected int64
	Data      json.RawMessage
}

// fetched are all sockets of a namespace, by their sids.
func (r *running) fetched(namespace string) map[string]fetchedSocket {
	r.t.Helper()
	var page struct{ Sockets []fetchedSocket }
	if err := json.Unmarshal([]byte(r.ask("fetch_sockets", `{"namespace":"`+namespace+`"}`)), &page); err != nil {
		r.t.Fatal(err)
	}
	all := make(map[string]fetchedSocket)
	for _, s := range page.Sockets {
		all[s.SID] = s
	}
	return all
}

// What the backend wants of sockets is done with those that are meant, whatever
// they are connected by.
func TestSocketCalls(t *testing.T) {
	t.Parallel()
	r := start(t)
	alice := joined(t, r, "/", `{"token":"alice_!!_`+r.client("alice", "room")+`"}`)
	bob := joined(t, r, "/", `{"token":"bob_!!_`+r.client("bob", "room")+`"}`)
	bob.goOver()
	began := time.Now()

	r.wantCall(`{"sockets":1}`, "sockets_join", `{"rooms":["red","blue"],"to":"client:bob"}`)
	r.wantCall(`{"sockets":2}`, "sockets_leave", `{"rooms":"blue"}`)
	r.wantCall("null", "set_socket_data", `{"sid":"`+bob.id+`","data":{"level":3}}`)
	all := r.fetched("/")
	if b := all[bob.id]; len(all) != 2 || *b.ClientID != "bob" || !slices.Equal(b.Rooms, []string{"red", "room"}) || string(b.Data) != `{"level":3}` ||
		b.Transport != "websocket" || !strings.HasPrefix(b.Address, "127.0.0.1:") || began.Sub(time.UnixMilli(b.Connected)).Abs() > time.Minute {
		t.Errorf("%+v", all)
	}
	if a := all[alice.id]; a.Transport != "polling" || !slices.Equal(a.Rooms, []string{"room"}) || string(a.Data) != "null" {
		t.Errorf("%+v", a)
	}
	r.wantCall(`{"sockets":1}`, "disconnect_sockets", `{"to":"red"}`)
	bob.hear("41")
	r.wantCall(`{"sockets":1}`, "disconnect_sockets", `{"close":true}`)
	alice.hear("41")
	if all := r.fetched("/"); len(all) > 0 {
		t.Errorf("%+v", all)
	}
	r.wantCall("null", "declare_namespace", `{"name":"/quiz-*","open":true,"relay":{"hint":"*"}}`)
	joined(t, r, "/quiz-7")
	for _, sid := range []string{alice.id, "alice"} {
		if got := r.ask("set_socket_data", `{"sid":"`+sid+`","data":1}`); !strings.Contains(got, "unknown socket") {
			t.Errorf("%s: %s", sid, got)
		}
	}
}

// A question is answered when all have answered or left, or its time is over, also
// if that is longer than answers may take otherwise.
func TestEmitWithAck(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.BodyTimeout, c.WriteTimeout = 400*time.Millisecond, 400*time.Millisecond })
	alice, bob, carol := joined(t, r, "/", r.shown("alice")), joined(t, r, "/", r.shown("bob")), joined(t, r, "/", r.shown("carol"))
	bob.goOver()
	asked := make(chan string, 1)
	go func() { asked <- r.ask("emit_with_ack", `{"event":"ready","args":[7],"timeout_ms":1500}`) }()
	for c, answer := range map[*visitor]string{alice: `["yes",{"in":2}]`, bob: `[]`} {
		var id int
		if _, err := fmt.Sscanf(c.hear("42"), `42%d["ready",7`, &id); err != nil {
			t.Error(err)
		}
		c.say(fmt.Sprintf("43%d%s", id, answer))
	}
	var got struct {
		Answers []struct {
			SID  string
			Args json.RawMessage
		}
		Missing []struct{ SID, Reason string }
	}
	if err := json.Unmarshal([]byte(<-asked), &got); err != nil {
		t.Fatal(err)
	}
	answers := make(map[string]string)
	for _, a := range got.Answers {
		answers[a.SID] = string(a.Args)
	}
	if len(answers) != 2 || answers[alice.id] != `["yes",{"in":2}]` || answers[bob.id] != "[]" {
		t.Errorf("%+v", got)
	}
	if len(got.Missing) != 1 || got.Missing[0].SID != carol.id || got.Missing[0].Reason != "timeout" {
		t.Errorf("%+v", got)
	}
}

// shown is what a page of a client shows.
func (r *running) shown(client string) string {
	return `{"token":"` + client + `_!!_` + r.client(client) + `"}`
}

// Without Socket.IO these methods say so.
func TestSocketCallsWithoutSocketIO(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.Socketio = false })
	for _, method := range []string{"fetch_sockets", "disconnect_sockets"} {
		if got := r.ask(method, "{}"); !strings.Contains(got, "switched off") {
			t.Errorf("%s: %s", method, got)
		}
	}
}
