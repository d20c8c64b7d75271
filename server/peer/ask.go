package peer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Method answers a question of another node. What it returns is made JSON. An
// error is told as its text, and as its kind if it has a method Kind.
type Method func(ctx context.Context, params json.RawMessage) (any, error)

// Handle has a method answer the questions of a name. It is called before there
// are any.
func (p *Peers) Handle(name string, m Method) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.methods[name] = m
}

func (p *Peers) method(name string) Method {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.methods[name]
}

// An Answer is what one node has answered.
type Answer struct {
	Node   Node
	Result json.RawMessage
	Err    error // why there is no result: a [Refusal], if the node has answered
}

// A Refusal is the error that another node's method has returned.
type Refusal struct{ Text, Type string }

func (r *Refusal) Error() string { return r.Text }

// Kind returns what kind of error it is, "" if it has not said.
func (r *Refusal) Kind() string { return r.Type }

// said is an answer as it goes over the wire.
type said struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
	Kind   string          `json:"kind,omitempty"`
}

// Ask asks all other nodes at once, and returns what each has answered, in the
// order of their ids, when all have or ctx ends, or AskTimeout is over where ctx
// has no end. One that does not answer is among them, with the error.
func (p *Peers) Ask(ctx context.Context, method string, params any) []Answer {
	nodes := p.nodes()
	if len(nodes) == 0 {
		return nil
	}
	answers := make([]Answer, len(nodes))
	body, err := json.Marshal(params)
	if _, ends := ctx.Deadline(); !ends {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.opts.AskTimeout)
		defer cancel()
	}
	var all sync.WaitGroup
	for i, n := range nodes {
		answers[i] = Answer{Node: n, Err: err}
		if err == nil {
			all.Go(func() { answers[i].Result, answers[i].Err = p.askOne(ctx, n, method, body) })
		}
	}
	all.Wait()
	return answers
}

// nodes are the others.
func (p *Peers) nodes() []Node {
	own := p.opts.Directory.NodeID()
	nodes := slices.DeleteFunc(slices.Clone(p.opts.Directory.Peers()), func(n Node) bool { return n.ID == own })
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	return nodes
}

var errNowhere = errors.New("it has said nowhere where it can be reached")

func (p *Peers) askOne(ctx context.Context, n Node, method string, body []byte) (json.RawMessage, error) {
	p.counts.questions.Add(1)
	result, err := p.post(ctx, n, method, body)
	if err != nil && !errors.As(err, new(*Refusal)) {
		p.counts.unheard.Add(1)
		p.opts.Logger.Debug("another node has not answered", "node", n.ID, "name", n.Name, "method", method, "err", err)
	}
	return result, err
}

// askPath begins the path of a question.
const askPath = "/ask/"

func (p *Peers) post(ctx context.Context, n Node, method string, body []byte) (json.RawMessage, error) {
	if n.Addr == "" {
		return nil, errNowhere
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.Addr+askPath+method, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	p.show(req.Header, n.ID)
	req.Header.Set("Content-Type", "application/json")
	if end, ends := ctx.Deadline(); ends {
		req.Header.Set(timeHeader, strconv.FormatInt(time.Until(end).Milliseconds(), 10))
	}
	resp, err := p.ask.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.Header.Get(byHeader) != n.ID {
		return nil, fmt.Errorf("%w (status %d)", errStranger, resp.StatusCode)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, p.opts.MaxAnswer+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > p.opts.MaxAnswer {
		return nil, errors.New("its answer is too large")
	}
	var s said
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	if s.Error != "" {
		return nil, &Refusal{s.Error, s.Kind}
	}
	return s.Result, nil
}

// serveQuestion answers a question of another node.
func (p *Peers) serveQuestion(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, askPath)
	m := p.method(name)
	if !ok || m == nil || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	select {
	case p.asked <- struct{}{}:
		defer func() { <-p.asked }()
	default:
		http.Error(w, "too many questions", http.StatusServiceUnavailable)
		return
	}
	p.counts.answered.Add(1)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, p.opts.MaxAnswer))
	if err != nil {
		http.Error(w, "the question could not be read", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), p.timeOf(r))
	defer cancel()
	rc := http.NewResponseController(w)
	rc.SetWriteDeadline(time.Time{}) // the answer may have to wait
	var s said
	if result, err := m(ctx, body); err != nil {
		s.Error = cmp.Or(err.Error(), "it has failed")
		if k := interface{ Kind() string }(nil); errors.As(err, &k) {
			s.Kind = k.Kind()
		}
	} else if s.Result, err = json.Marshal(result); err != nil {
		s.Error = err.Error()
	}
	text, _ := json.Marshal(s) // which was JSON before
	rc.SetWriteDeadline(time.Now().Add(p.opts.WriteTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.Write(text)
}

// maxTime is how long a question may take.
const maxTime = 2 * time.Minute

// timeOf returns how long the answer is waited for. What is too late is of no use.
func (p *Peers) timeOf(r *http.Request) time.Duration {
	ms, err := strconv.ParseInt(r.Header.Get(timeHeader), 10, 64)
	if err != nil || ms <= 0 {
		return p.opts.AskTimeout
	}
	return min(time.Duration(min(ms, maxTime.Milliseconds()))*time.Millisecond, maxTime)
}
