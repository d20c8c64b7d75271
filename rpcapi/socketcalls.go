package rpcapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// Which says which sockets are meant.
type Which struct {
	To        rooms  `param:"to,optional" help:"which sockets: those in a room or several; without: everybody in the namespace"`
	Except    rooms  `param:"except,optional" help:"which not: those in a room or several"`
	Namespace string `param:"namespace,optional" default:"\"/\"" help:"where the rooms are; begins with a /"`
}

type (
	emitWithAckParams = struct {
		Event     string    `param:"event" help:"what it is called"`
		Args      eventArgs `param:"args,optional" default:"[]" help:"its arguments: any values"`
		To        rooms     `param:"to,optional" help:"who is asked: a room or several; without: everybody in the namespace"`
		Except    rooms     `param:"except,optional" help:"who is not: a room or several"`
		Namespace string    `param:"namespace,optional" default:"\"/\"" help:"where the rooms are; begins with a /"`
		Timeout   int64     `param:"timeout_ms,optional" min:"1" max:"60000" default:"5000" help:"how long to wait for the answers, in ms"`
	}
	moveParams = struct {
		Into rooms `param:"rooms" help:"which rooms: one or several"`
		Which
	}
	disconnectSocketsParams = struct {
		Which
		Close bool `param:"close,optional" default:"false" help:"whether to close their connections, too"`
	}
	fetchParams = struct {
		Which
		Limit int    `param:"limit,optional" min:"1" max:"1000" default:"100" help:"sockets at most"`
		After string `param:"after,optional" help:"sockets that come after this one: next of the page before"`
	}
	socketDataParams = struct {
		SID  string          `param:"sid" min:"1" max:"256" help:"which socket"`
		Data json.RawMessage `param:"data" help:"what to keep: any value, null too"`
	}
	declareParams = struct {
		Name    string `param:"name" help:"its name, or a pattern; begins with a /"`
		Open    bool   `param:"open,optional" default:"false" help:"whether everybody may connect, without a client"`
		Handler string `param:"handler,optional" help:"who is asked about what is said there: a webhook of the configuration, or rpc; without: nobody"`
		Events  events `param:"events,optional" help:"what may be said there: names of events; without: all"`
		Relay   relay  `param:"relay,optional" help:"events that are handed on, each with its room"`
		Remove  bool   `param:"remove,optional" default:"false" help:"whether there is no such one any more; nothing but the name goes with it"`
	}

	emitWithAckReply = struct {
		Answers   []answerEntry  `json:"answers" help:"who has answered, in the order of their sids"`
		Missing   []missingEntry `json:"missing" help:"who has not, in the order of their sids"`
		Unreached []string       `json:"unreached,omitempty" help:"there when other nodes have not answered: which; of their sockets nothing is known"`
	}
	countReply = struct {
		Sockets   int      `json:"sockets" help:"how many they are"`
		Unreached []string `json:"unreached,omitempty" help:"there when other nodes have not answered: which; of their sockets nothing is known"`
	}
	fetchReply = struct {
		Sockets   []socketEntry `json:"sockets" help:"the page"`
		Next      string        `json:"next,omitempty" help:"there when more follow: the after of the next page"`
		Unreached []string      `json:"unreached,omitempty" help:"there when other nodes have not answered: which; of their sockets nothing is known"`
	}
)

type answerEntry struct {
	SID    string    `json:"sid" help:"of the socket"`
	Client ownerID   `json:"client_id" help:"whose it is; null: nobody's"`
	Args   eventArgs `json:"args" help:"what it has answered"`
}

type missingEntry struct {
	SID    string  `json:"sid" help:"of the socket"`
	Client ownerID `json:"client_id" help:"whose it is; null: nobody's"`
	Reason Missing `json:"reason" enum:"timeout left busy too_large" help:"why there is no answer"`
}

type socketEntry struct {
	SID       string          `json:"sid" help:"its id, as the page knows it by socket.id"`
	Client    ownerID         `json:"client_id" help:"whose it is; null: nobody's"`
	Namespace string          `json:"namespace" help:"what it is connected to"`
	Rooms     []string        `json:"rooms" help:"what it is in, by itself or with its client, in alphabetical order"`
	Transport string          `json:"transport" help:"how: polling or websocket"`
	Address   string          `json:"address" help:"of the peer, which may be a proxy: host and port; empty if it is not known now"`
	Connected int64           `json:"connected" help:"Unix ms: since when"`
	Data      json.RawMessage `json:"data" help:"what set_socket_data has kept with it; null: nothing"`
}

// sockets answers socketMethods.
type sockets struct {
	hub  *hub.Hub
	opts Options
}

// audience is who is meant by the parameters. The hub knows which names are good.
func (s *sockets) audience(to, except rooms, namespace string) (a hub.Audience, err error) {
	if err := to.notEmpty(); err != nil {
		return a, err
	}
	if err := s.fewRooms(len(to) + len(except)); err != nil {
		return a, err
	}
	return hub.Audience{Namespace: namespace, Rooms: to, Except: except}, s.enabled()
}

func (s *sockets) enabled() error {
	if s.opts.Sockets == nil {
		return errSocketsOff
	}
	return nil
}

func (s *sockets) fewRooms(n int) error {
	if limit := s.hub.Limits().RoomsPerEmit; n > limit {
		return &Error{Code: CodeLimitReached, Message: fmt.Sprintf("limit reached: rooms_per_emit = %d", limit)}
	}
	return nil
}

// EmitWithAck is emit_with_ack(event, args, to, …).
func (s *sockets) EmitWithAck(r *http.Request, p *emitWithAckParams, reply *emitWithAckReply) error {
	if err := hub.CheckEvent(p.Event, s.hub.Limits().NameBytes); err != nil {
		return err
	}
	a, err := s.audience(p.To, p.Except, p.Namespace)
	if err != nil {
		return err
	}
	ctx, done, err := waiting(r.Context(), time.Duration(p.Timeout)*time.Millisecond)
	if err != nil {
		return err
	}
	defer done()
	answers, err := s.opts.Sockets.Ask(ctx, a, p.Event, bytes.Clone(p.Args))
	if reply.Unreached, err = reached(err); err != nil {
		return err
	}
	reply.Answers, reply.Missing = sortAnswers(answers, s.opts.MaxAnswer)
	return nil
}

// sortAnswers tells who has answered from who has not. Pages may answer as much
// as they like, so there is room for so many bytes alone.
func sortAnswers(all []SocketAnswer, maxBytes int) (answers []answerEntry, missing []missingEntry) {
	answers, missing = []answerEntry{}, []missingEntry{}
	slices.SortFunc(all, func(a, b SocketAnswer) int { return strings.Compare(a.SID, b.SID) })
	size := 0
	for _, one := range all {
		if one.Missing == "" && size+len(one.Args) > maxBytes {
			one.Missing = MissingRoom
		}
		if one.Missing != "" {
			missing = append(missing, missingEntry{one.SID, ownerID(one.Client), one.Missing})
			continue
		}
		size += len(one.Args)
		answers = append(answers, answerEntry{one.SID, ownerID(one.Client), eventArgs(one.Args)})
	}
	return answers, missing
}

// SocketsJoin is sockets_join(rooms, to, except, namespace).
func (s *sockets) SocketsJoin(r *http.Request, p *moveParams, reply *countReply) (err error) {
	a, err := s.movement(p)
	if err == nil {
		reply.Sockets, err = s.opts.Sockets.Join(r.Context(), a, p.Into)
	}
	reply.Unreached, err = reached(err)
	return err
}

// SocketsLeave is sockets_leave(rooms, to, except, namespace).
func (s *sockets) SocketsLeave(r *http.Request, p *moveParams, reply *countReply) (err error) {
	a, err := s.movement(p)
	if err == nil {
		reply.Sockets, err = s.opts.Sockets.Leave(r.Context(), a, p.Into)
	}
	reply.Unreached, err = reached(err)
	return err
}

func (s *sockets) movement(p *moveParams) (a hub.Audience, err error) {
	if len(p.Into) == 0 {
		return a, invalidParams("rooms: must not be an empty array")
	}
	if err := s.fewRooms(len(p.Into)); err != nil {
		return a, err
	}
	return s.audience(p.To, p.Except, p.Namespace)
}

// DisconnectSockets is disconnect_sockets(to, except, namespace, close).
func (s *sockets) DisconnectSockets(r *http.Request, p *disconnectSocketsParams, reply *countReply) error {
	a, err := s.audience(p.To, p.Except, p.Namespace)
	if err == nil {
		reply.Sockets, err = s.opts.Sockets.Disconnect(r.Context(), a, p.Close)
	}
	reply.Unreached, err = reached(err)
	return err
}

// FetchSockets is fetch_sockets(to, except, namespace, limit, after).
func (s *sockets) FetchSockets(r *http.Request, p *fetchParams, reply *fetchReply) error {
	a, err := s.audience(p.To, p.Except, p.Namespace)
	if err != nil {
		return err
	}
	all, err := s.opts.Sockets.Fetch(r.Context(), a, p.After, p.Limit+1)
	if reply.Unreached, err = reached(err); err != nil {
		return err
	}
	page := all[:min(p.Limit, len(all))]
	reply.Sockets = make([]socketEntry, 0, len(page))
	for size, i := 0, 0; i < len(page) && size <= s.opts.MaxAnswer; i++ {
		e, bytes := newSocketEntry(&page[i])
		size += bytes
		reply.Sockets = append(reply.Sockets, e)
	}
	if n := len(reply.Sockets); n < len(all) {
		reply.Next = all[n-1].SID
	}
	return nil
}

// newSocketEntry returns also how many bytes it is about.
func newSocketEntry(one *Socket) (e socketEntry, size int) {
	e = socketEntry{
		SID: one.SID, Client: ownerID(one.Client), Namespace: one.Namespace, Rooms: orEmpty(slices.Sorted(slices.Values(one.Rooms))),
		Transport: one.Transport, Address: one.Address, Connected: unixMilli(one.Connected), Data: one.Data,
	}
	size = 200 + len(one.Client) + len(one.Namespace) + len(one.Data)
	for _, room := range one.Rooms {
		size += len(room)
	}
	return e, size
}

// SetSocketData is set_socket_data(sid, data).
func (s *sockets) SetSocketData(r *http.Request, p *socketDataParams, _ *noReply) error {
	if err := s.enabled(); err != nil {
		return err
	}
	return s.opts.Sockets.SetData(r.Context(), p.SID, bytes.Clone(p.Data))
}

// DeclareNamespace is declare_namespace(name, open, handler, events, relay, remove).
func (s *sockets) DeclareNamespace(r *http.Request, p *declareParams, _ *noReply) error {
	if p.Events != nil && len(p.Events) == 0 {
		return invalidParams("events: must not be an empty array: leave it out for all")
	}
	if p.Remove && (p.Open || p.Handler != "" || p.Events != nil || p.Relay != nil) {
		return invalidParams("remove: nothing but the name goes with it")
	}
	if err := s.enabled(); err != nil {
		return err
	}
	return s.opts.Sockets.Declare(r.Context(), hub.Namespace{
		Pattern: p.Name, Open: p.Open, Handler: p.Handler, Events: p.Events, Relay: p.Relay, Remove: p.Remove,
	})
}

// ownerID is the id of a client, or "", which is null.
type ownerID string

// MarshalJSON is part of [json.Marshaler].
func (id ownerID) MarshalJSON() ([]byte, error) {
	if id == "" {
		return []byte("null"), nil
	}
	return appendString(nil, string(id)), nil
}

func (*ownerID) schema() *schema {
	return &schema{OneOf: []*schema{nameSchema("ClientId"), {Type: "null"}}}
}

// events are names of events. The hub knows which are good.
type events []string

func (e *events) read(raw []byte, _ bounds) (fault string) {
	return decodeStrings((*[]string)(e), raw)
}

func (*events) schema() *schema { return &schema{Type: "array", Items: nameSchema("Event")} }

// relay has a room for each of some events. The hub knows which names are good.
type relay map[string]string

func (m *relay) read(raw []byte, _ bounds) (fault string) {
	const shape = "must be an object of rooms, one for each event"
	if raw[0] != '{' {
		return shape
	}
	*m = make(relay)
	s := again(raw)
	_ = s.object(func(quoted []byte) *Error {
		value, _ := s.value()
		var event, room string
		switch f := decodeString(&event, quoted); {
		case fault != "": // the first fault is told
		case f != "":
			fault = "an event's name " + f
		case value[0] != '"':
			fault = shape
		default:
			if f = decodeString(&room, value); f != "" {
				fault = "a room's name " + f
			}
		}
		if _, twice := (*m)[event]; twice && fault == "" {
			fault = "duplicate event: " + clip(event)
		}
		(*m)[event] = room
		return nil
	})
	return fault
}

func (*relay) schema() *schema {
	return &schema{Title: "Relay", Type: "object", AdditionalProperties: nameSchema("Room")}
}
