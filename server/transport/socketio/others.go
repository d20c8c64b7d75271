package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// Others are the other nodes that follow the same log. What they do for a node is
// in [Server.Questions]. Its methods may be called by many goroutines at once.
type Others interface {
	// Ask asks all of them the question of a name, at once, and returns what each
	// has answered when all have, or ctx ends.
	Ask(ctx context.Context, question string, params any) []Reply
}

// A Reply is what one node has answered, or the error that it has not.
type Reply struct {
	Node   string // for people
	Result json.RawMessage
	Err    error
}

// Unreached is the error of what was to be done by all nodes, and was done, as far
// as anybody knows, only by the others.
type Unreached struct{ Nodes []string }

func (u *Unreached) Error() string {
	return "nodes that have not answered: " + strings.Join(u.Nodes, ", ")
}

// The questions.
const (
	questionJoin       = "socketio.join"
	questionLeave      = "socketio.leave"
	questionDisconnect = "socketio.disconnect"
	questionFetch      = "socketio.fetch"
	questionAsk        = "socketio.ask"
	questionRelease    = "socketio.release"
)

// Questions are what other nodes may ask this one, by their names. The answers are
// made JSON.
func (sv *Server) Questions() map[string]func(context.Context, json.RawMessage) (any, error) {
	return map[string]func(context.Context, json.RawMessage) (any, error){
		questionJoin: question1(func(ctx context.Context, p moved) (int, error) { return sv.joinHere(ctx, p.Audience, p.Rooms) }),
		questionLeave: question1(func(ctx context.Context, p moved) (int, error) {
			return sv.leaveHere(ctx, p.Audience, p.Rooms)
		}),
		questionDisconnect: question1(func(_ context.Context, p sentAway) (int, error) { return sv.disconnectHere(p.Audience, p.Whole) }),
		questionFetch:      question1(func(_ context.Context, p fetched) ([]Info, error) { return sv.fetchHere(p.Audience, p.After, p.Limit) }),
		questionAsk:        question1(sv.askFor),
		questionRelease:    question1(func(ctx context.Context, p released) (bool, error) { return sv.release(ctx, p.ID, p.Namespace), nil }),
	}
}

type (
	moved struct {
		Audience hub.Audience
		Rooms    []string
	}
	sentAway struct {
		Audience hub.Audience
		Whole    bool
	}
	fetched struct {
		Audience hub.Audience
		After    string
		Limit    int
	}
	asked struct {
		Audience hub.Audience
		Event    string
		Args     json.RawMessage
		Within   time.Duration
	}
	released struct{ ID, Namespace string }
)

// askedReply is what a node's sockets have answered.
type askedReply struct {
	TooMany bool // sockets: none was asked
	Answers []askedAnswer
}

type askedAnswer struct {
	Socket, Client string
	Args           json.RawMessage `json:",omitempty"`
	Missing        string          `json:",omitempty"` // one of missings
}

// missings are the errors of answers by what nodes call them.
var missings = map[string]error{"timeout": ErrNoAnswer, "left": ErrLeft, "busy": ErrBusy, "too_large": ErrTooLarge}

func missingOf(err error) string {
	for name, one := range missings {
		if errors.Is(err, one) {
			return name
		}
	}
	return "left"
}

// question1 reads what is asked for.
func question1[P, R any](f func(context.Context, P) (R, error)) func(context.Context, json.RawMessage) (any, error) {
	return func(ctx context.Context, params json.RawMessage) (any, error) {
		var p P
		if err := json.Unmarshal(params, &p); err != nil {
			return nil, err
		}
		return f(ctx, p)
	}
}

// others asks all other nodes, and calls take with each answer. The error is an
// [Unreached].
func others[R any](ctx context.Context, sv *Server, name string, params any, take func(R)) error {
	o := sv.settings.Load().Others
	if o == nil {
		return nil
	}
	var lost Unreached
	for _, reply := range o.Ask(ctx, name, params) {
		var r R
		if reply.Err == nil {
			reply.Err = json.Unmarshal(reply.Result, &r)
		}
		if reply.Err != nil {
			lost.Nodes = append(lost.Nodes, reply.Node)
			continue
		}
		take(r)
	}
	if len(lost.Nodes) == 0 {
		return nil
	}
	return &lost
}

// everywhere has something be done here and by all other nodes at once, and returns
// for how many sockets it was.
func (sv *Server) everywhere(ctx context.Context, name string, params any, here func() (int, error)) (n int, err error) {
	if sv.settings.Load().Others == nil {
		return here()
	}
	lost := make(chan error, 1)
	there := 0
	go func() { lost <- others(ctx, sv, name, params, func(k int) { there += k }) }()
	n, err = here()
	unreached := <-lost
	if err == nil {
		err = unreached
	}
	return n + there, err
}

// fetchThere is Fetch by all other nodes.
func (sv *Server) fetchThere(ctx context.Context, a hub.Audience, after string, limit int) (all []Info, err error) {
	err = others(ctx, sv, questionFetch, fetched{a, after, limit}, func(more []Info) { all = append(all, more...) })
	return all, err
}

// lateAnswer is how long other nodes may take to say that the time is over.
const lateAnswer = time.Second

// maxAsk is how long answers are waited for where ctx has no end.
const maxAsk = time.Minute

// askThere is AskAll by all other nodes.
func (sv *Server) askThere(ctx context.Context, a hub.Audience, event string, args json.RawMessage) (all []Answer, err error) {
	within := maxAsk
	if end, ends := ctx.Deadline(); ends {
		within = max(time.Until(end), 0)
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), within+lateAnswer)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) { // nobody wants the answers any more
			cancel()
		}
	})()
	tooMany := false
	err = others(late, sv, questionAsk, asked{a, event, args, within}, func(r askedReply) {
		tooMany = tooMany || r.TooMany
		for _, one := range r.Answers {
			k := Answer{Socket: one.Socket, Client: one.Client, Args: one.Args}
			if one.Missing != "" {
				if k.Err = missings[one.Missing]; k.Err == nil {
					k.Err = ErrLeft
				}
			}
			all = append(all, k)
		}
	})
	if most := sv.settings.Load().MaxAsked; tooMany || len(all) > most {
		return nil, limitReached("socketio_max_asked", most)
	}
	return all, err
}

// askFor asks the sockets that are here for another node.
func (sv *Server) askFor(ctx context.Context, p asked) (r askedReply, err error) {
	ctx, cancel := context.WithTimeout(ctx, min(p.Within, maxAsk))
	defer cancel()
	all, err := sv.askHere(ctx, p.Audience, p.Event, p.Args)
	if limit := (*hub.Error)(nil); errors.As(err, &limit) && limit.Kind == hub.LimitReached {
		return askedReply{TooMany: true}, nil
	}
	for _, one := range all {
		k := askedAnswer{Socket: one.Socket, Client: one.Client, Args: one.Args}
		if one.Err != nil {
			k.Missing = missingOf(one.Err)
		}
		r.Answers = append(r.Answers, k)
	}
	return r, err
}

// How long it may take until another node has let go of a socket, and how much of
// that its handler has to hear that the socket has left.
const (
	releaseTime = 4 * time.Second
	toldTime    = 3 * time.Second
)

// releaseElsewhere has all other nodes let go of a socket that has come back here.
// It reports false if one of them cannot: then the socket does not come back. One
// that does not answer is passed over: it may have died, and what it has of the
// socket with it.
func (sv *Server) releaseElsewhere(ctx context.Context, id, namespace string) bool {
	ctx, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	free := true
	_ = others(ctx, sv, questionRelease, released{id, namespace}, func(ok bool) { free = free && ok })
	return free
}

// release lets go of a socket that has come back to another node: its connection,
// if there is one still, ends, its handler is told, and it is not forgotten here. It
// reports false if the socket cannot come back, or does so here.
func (sv *Server) release(ctx context.Context, id, namespace string) bool {
	if sv.doomed.is(id) || sv.coming.is(id) {
		return false
	}
	for _, one := range sv.formers(id, namespace) {
		one.supersede()
	}
	ctx, cancel := context.WithTimeout(ctx, toldTime)
	defer cancel()
	if sv.going.wait(ctx, id) != nil || sv.doomed.is(id) {
		return false
	}
	sv.leavers.keep(id)
	return true
}

// merged puts the infos in order, and returns the first of them.
func merged(all []Info, limit int) []Info {
	slices.SortFunc(all, func(a, b Info) int { return strings.Compare(a.ID, b.ID) })
	return all[:min(len(all), limit)]
}
