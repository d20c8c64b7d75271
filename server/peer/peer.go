// Package peer has the nodes of one log speak to each other, over HTTP/1.1 at an
// address that is for them alone: a request of a browser is handed on to the node
// that has what it asks for, and all others are asked a question.
//
// Who is a node is told by a [Directory]. Nobody else is spoken to, whatever a
// request names; and who does not show the secret of all nodes finds nothing at
// the address. What nodes say to each other is not encrypted.
package peer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Node is one of the processes that follow the log.
type Node struct {
	ID   string
	Name string // for people
	Addr string // where it answers nodes; "": nowhere
}

// A Directory knows who the nodes are. Its methods may be called by many
// goroutines at once, and do not wait for anything.
type Directory interface {
	// NodeID returns the id of this node.
	NodeID() string
	// Peers returns all nodes that are alive, this one may be among them.
	Peers() []Node
	// Secret returns what all nodes know and nobody else; "": not known yet.
	Secret() string
}

// Options are what [Peers] can be told. Zero fields mean the defaults.
type Options struct {
	Directory Directory // must not be nil
	// Forwarded serves the requests that other nodes have handed on. nil: none
	// is served.
	Forwarded http.Handler
	// Drain, when it ends, lets go of the requests that were handed on. nil: never.
	Drain context.Context

	DialTimeout  time.Duration // to reach another node; default 2 s
	AskTimeout   time.Duration // for an answer, where the caller gives no less; default 5 s
	WriteTimeout time.Duration // to write a browser's answer; default 10 s
	MaxForwards  int           // requests handed on to one node at once; default 20,000
	MaxUnderWay  int           // requests handed on to all nodes at once, each of which needs a descriptor; 0: no limit but MaxForwards
	MaxAsked     int           // questions of others answered at once; default 1000
	MaxAnswer    int64         // bytes of a question, and of an answer; default 64 MiB

	Logger *slog.Logger // default slog.Default()
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&o.DialTimeout, 2 * time.Second}, {&o.AskTimeout, 5 * time.Second}, {&o.WriteTimeout, 10 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	if o.MaxForwards == 0 {
		o.MaxForwards = 20_000
	}
	if o.MaxAsked == 0 {
		o.MaxAsked = 1000
	}
	if o.MaxAnswer == 0 {
		o.MaxAnswer = 64 << 20
	}
	if o.Drain == nil {
		o.Drain = context.Background()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Peers are the other nodes. Its methods may be called by many goroutines at
// once.
type Peers struct {
	opts    Options
	forward *http.Transport // of requests, each of which may last
	ask     *http.Client    // of questions, which are not to wait for those
	asked   chan struct{}   // has a token for each question of others that is answered now
	proxy   *httputil.ReverseProxy
	counts  counts

	mu      sync.Mutex // guards all below
	methods map[string]Method
	others  map[string]*other // by id; those that something was handed on to
}

// An other is a node that requests are handed on to.
type other struct {
	Node
	ctx    context.Context // ends when it is in the directory no more
	cancel context.CancelFunc
	under  atomic.Int64 // requests handed on to it
}

// New returns the other nodes of a directory.
func New(o Options) *Peers {
	o = o.withDefaults()
	p := &Peers{opts: o, methods: make(map[string]Method), others: make(map[string]*other), asked: make(chan struct{}, o.MaxAsked)}
	p.forward = newTransport(&o)
	p.ask = &http.Client{Transport: newTransport(&o), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p.proxy = p.newProxy()
	return p
}

// idleTime is how long a connection to another node is kept for the next request:
// less than that node keeps it, so that none is written to one that is about to be
// closed.
const idleTime = 30 * time.Second

func newTransport(o *Options) *http.Transport {
	dialer := net.Dialer{Timeout: o.DialTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3}}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 256,
		MaxIdleConns:        512,
		IdleConnTimeout:     idleTime,
		WriteBufferSize:     4 << 10,
		ReadBufferSize:      4 << 10,
	}
}

// CloseIdle closes the connections to other nodes that are kept for the next
// request.
func (p *Peers) CloseIdle() {
	p.ask.CloseIdleConnections()
	p.forward.CloseIdleConnections()
}

// lookStep is how often the directory is looked at for nodes that have gone.
const lookStep = time.Second

// Run lets go of the requests that were handed on to nodes which have gone, until
// ctx ends.
func (p *Peers) Run(ctx context.Context) error {
	defer p.CloseIdle()
	tick := time.NewTicker(lookStep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			p.look()
		}
	}
}

func (p *Peers) look() {
	nodes := p.opts.Directory.Peers()
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, o := range p.others {
		if !slices.Contains(nodes, o.Node) {
			o.cancel()
			delete(p.others, id)
		}
	}
}

// other returns the node with an id, nil if it is none, or this one.
func (p *Peers) other(id string) *other {
	nodes := p.opts.Directory.Peers()
	i := slices.IndexFunc(nodes, func(n Node) bool { return n.ID == id })
	if i < 0 || nodes[i].Addr == "" || id == p.opts.Directory.NodeID() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.others[id]
	if o == nil || o.Node != nodes[i] {
		if o != nil {
			o.cancel()
		}
		o = &other{Node: nodes[i]}
		o.ctx, o.cancel = context.WithCancel(p.opts.Drain)
		p.others[id] = o
	}
	return o
}

// The headers that nodes show each other.
const (
	secretHeader = "Shaveet-Node-Secret"
	toHeader     = "Shaveet-Node-To"  // the id of the node that is meant
	byHeader     = "Shaveet-Node"     // the id of the node that answers
	peerHeader   = "Shaveet-Node-For" // the address of the browser whose request it is
	timeHeader   = "Shaveet-Node-Time"

	// methodHeader has the method of a request that is handed on. One that is not to
	// become another kind of connection is sent as a POST: of a GET net/http would
	// make another one by itself when the first is not answered.
	methodHeader = "Shaveet-Node-Method"
)

// show has a request show that it comes from a node, and for whom it is.
func (p *Peers) show(h http.Header, to string) {
	h.Set(secretHeader, p.opts.Directory.Secret())
	h.Set(toHeader, to)
}

// trusted reports whether a request comes from a node, and is for this one: the
// address may have been that of another.
func (p *Peers) trusted(r *http.Request) bool {
	secret, shown := p.opts.Directory.Secret(), r.Header.Get(secretHeader)
	return secret != "" && sameSecret(secret, shown) && r.Header.Get(toHeader) == p.opts.Directory.NodeID()
}

// sameSecret compares in a time that tells nothing of either.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// ServeHTTP answers other nodes. To all others there is nothing here.
func (p *Peers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.trusted(r) {
		p.counts.strangers.Add(1)
		w.Header().Set("Connection", "close")
		http.NotFound(w, r)
		return
	}
	w.Header().Set(byHeader, p.opts.Directory.NodeID())
	if r.Header.Get(peerHeader) != "" {
		p.serveForwarded(w, r)
		return
	}
	p.serveQuestion(w, r)
}

// Stats are numbers about peers. Those that are not said to be of now are since
// they were made.
type Stats struct {
	Under     int    // requests handed on that have not ended, now
	Forwarded uint64 // requests that were handed on
	Failed    uint64 // and those of them that the other node did not answer
	Served    uint64 // requests that others have handed on
	Asked     uint64 // questions, one for each node that was asked
	Unheard   uint64 // and those that were not answered
	Answered  uint64 // questions of others
	Strangers uint64 // requests without the secret
}

type counts struct {
	under                                                              atomic.Int64
	forwarded, failed, served, questions, unheard, answered, strangers atomic.Uint64
}

// Stats returns the numbers as they are now.
func (p *Peers) Stats() Stats {
	n := &p.counts
	return Stats{
		Under: int(n.under.Load()), Forwarded: n.forwarded.Load(), Failed: n.failed.Load(), Served: n.served.Load(),
		Asked: n.questions.Load(), Unheard: n.unheard.Load(), Answered: n.answered.Load(), Strangers: n.strangers.Load(),
	}
}
