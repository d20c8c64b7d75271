package storm

import (
	"math/rand/v2"
	"time"
)

// A stage is what a reader does next.
type stage uint8

const (
	told       stage = iota // hears from its node, to which it is still connected
	asking                  // asks the page's backend
	connecting              // comes to a node
	back                    // has come
)

type reader struct {
	cut    int64 // when it heard its last message
	first  int64 // when its first attempt began; -1: not yet
	memory Memory
	try    uint16
	node   uint16
	stage  stage
}

// theBackend is the node that a reader who asks it is at.
const theBackend = 1<<16 - 1

type simulation struct {
	*Scenario
	dice    *rand.Rand
	agenda  agenda
	now     int64
	readers []reader
	nodes   []node
	backend node
	result  *Result
	step    int
}

// Run simulates a scenario. Its error says what makes no sense in it.
func Run(s Scenario) (*Result, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	m := &simulation{
		Scenario: &s,
		dice:     rand.New(rand.NewPCG(s.Seed, 0x5eed)),
		readers:  make([]reader, s.Displaced()),
		nodes:    make([]node, s.Left()),
		result:   newResult(&s),
	}
	m.strike()
	m.run()
	m.result.seal()
	return m.result, nil
}

// strike is the moment in which it happens.
func (m *simulation) strike() {
	stay := m.Readers - m.Displaced()
	for i := range m.nodes {
		m.nodes[i].attached = (stay + i) / len(m.nodes)
	}
	m.agenda = make(agenda, 0, 2*len(m.readers))
	for i := range m.readers {
		m.readers[i].first = -1
		m.lose(int32(i))
	}
}

// lose has one reader hear, or not hear, that it has lost something.
func (m *simulation) lose(who int32) {
	r := &m.readers[who]
	switch m.Cause {
	case Reset, Gone: // it is still attached, and the line is of those to be told
		r.stage = told
		r.node = uint16(int(who) % len(m.nodes))
		m.nodes[r.node].attached++
		m.agenda.push(event{who: who, what: begins})
		return
	case Drain:
		r.cut = int64(upTo(m.Stagger, m.dice))
	}
	r.stage = connecting
	told := time.Duration(0)
	if m.Cause == Drain && m.Retry > 0 {
		told = m.Retry + upTo(m.Retry, m.dice)
	}
	m.wake(who, r.cut+int64(m.Habit.Lost(&r.memory, told, m.dice)))
}

func (m *simulation) wake(who int32, at int64) {
	m.agenda.push(event{at: at, who: who, try: m.readers[who].try, what: begins})
}

func (m *simulation) run() {
	for len(m.agenda) > 0 && m.result.Back < len(m.readers) {
		e := m.agenda.pop()
		if e.at > int64(m.Horizon) {
			break
		}
		m.now = e.at
		m.turn()
		m.happen(e)
	}
}

// turn begins another step of the result, if it is time.
func (m *simulation) turn() {
	step := int(m.now / int64(Step))
	if step == m.step {
		return
	}
	m.step = step
	for i := range m.nodes {
		m.nodes[i].seen = 0
	}
}

func (m *simulation) happen(e event) {
	if e.what == done {
		m.served(m.at(uint16(e.who)), uint16(e.who))
		return
	}
	r := &m.readers[e.who]
	if e.try != r.try || r.stage == back {
		return // of an attempt that is over
	}
	switch e.what {
	case begins:
		m.begin(e.who, r)
	case knocks:
		m.knock(e.who, r, e.nth)
	case givesUp:
		m.result.GivenUp++
		m.fail(e.who, r)
	}
}

func (m *simulation) at(node uint16) *node {
	if node == theBackend {
		return &m.backend
	}
	return &m.nodes[node]
}

// begin begins what the reader does in its stage.
func (m *simulation) begin(who int32, r *reader) {
	r.try++
	switch r.stage {
	case told:
		m.enter(who, r)
		return
	case asking:
		r.node = theBackend
		if m.Cause == Gone { // otherwise it is the page that asks, and a fetch has no end
			m.expect(who, r, askPatience)
		}
		m.enter(who, r)
		return
	}
	m.result.Attempts++
	if r.first < 0 {
		r.first = m.now
	}
	if m.now < int64(m.Outage) {
		m.result.Refused++
		m.fail(who, r)
		return
	}
	r.node = uint16(m.dice.IntN(len(m.nodes)))
	m.expect(who, r, m.Habit.Patience(&r.memory))
	m.knock(who, r, 0)
}

func (m *simulation) expect(who int32, r *reader, patience time.Duration) {
	if patience > 0 {
		m.agenda.push(event{at: m.now + int64(patience), who: who, try: r.try, what: givesUp})
	}
}

// maxSYNs is how many SYNs are sent for one attempt, on Linux.
const maxSYNs = 7

// knock is a SYN that comes to a node: the first of an attempt, or one again.
func (m *simulation) knock(who int32, r *reader, nth uint8) {
	n := &m.nodes[r.node]
	n.seen++
	m.result.arrived(m.now, n.seen)
	if !n.full(m.Scenario) {
		if m.HeaderTimeout > 0 {
			m.expect(who, r, m.HeaderTimeout)
		}
		m.enter(who, r)
		return
	}
	m.result.Dropped++
	if nth+1 < maxSYNs {
		again := m.now + int64(time.Second)<<nth
		m.agenda.push(event{at: again, who: who, try: r.try, what: knocks, nth: nth + 1})
	}
}

// enter puts a reader into the line of the node it is at.
func (m *simulation) enter(who int32, r *reader) {
	n := m.at(r.node)
	n.join(ticket{who, r.try})
	if r.node != theBackend {
		m.result.waited(m.now, n.waiting())
	}
	m.serve(n, r.node)
}

// serve begins to serve the first of a line.
func (m *simulation) serve(n *node, which uint16) {
	if n.busy || n.waiting() == 0 {
		return
	}
	first := n.line[n.head]
	if which != theBackend && m.readers[first.who].stage != told && n.shut(m.Scenario) {
		return
	}
	n.busy = true
	m.agenda.push(event{at: m.now + m.takes(n, which, first), who: int32(which), what: done})
}

// takes is how long a node is busy with who has come first.
func (m *simulation) takes(n *node, which uint16, first ticket) int64 {
	if which == theBackend {
		return int64(1e9 / m.Backend)
	}
	r := &m.readers[first.who]
	cost := float64(m.Costs.Handshake) + m.missed(r)*float64(m.Costs.Joined)
	switch {
	case first.try != r.try || r.stage == back:
		cost = float64(m.Costs.Vain)
	case r.stage == told:
		cost = float64(m.Costs.Delivery)
	case m.Cause == Gone: // a client is made, and subscribed
		cost += 2 * float64(m.Costs.Call)
	}
	return int64(cost / m.spare(float64(n.attached)))
}

// missed is how many messages a reader has to catch up with now.
func (m *simulation) missed(r *reader) float64 {
	return m.Rate * float64(m.now-r.cut) / 1e9
}

// served is when a node has done with the first of its line, who may have given
// up meanwhile.
func (m *simulation) served(n *node, which uint16) {
	n.busy = false
	t := n.leave()
	r := &m.readers[t.who]
	switch {
	case r.try != t.try || r.stage == back:
		m.result.Vain++
	case which != theBackend && r.stage == connecting && !n.admits(m.PerAddress, m.now):
		m.result.Refused++
		m.fail(t.who, r)
	default:
		m.advance(t.who, r, n)
	}
	m.serve(n, which)
}

// advance takes a reader to its next stage.
func (m *simulation) advance(who int32, r *reader, n *node) {
	r.try++
	switch {
	case r.stage == told && m.Cause == Gone:
		n.attached--
		r.cut = m.now
		r.stage = connecting
		if m.Backend > 0 {
			r.stage = asking
		}
		m.wake(who, m.now+int64(m.Habit.Denied(&r.memory, m.dice)))
	case r.stage == told && m.Backend > 0:
		r.stage = asking
		m.wake(who, m.now)
	case r.stage == asking && m.Cause == Gone:
		r.stage = connecting
		m.wake(who, m.now)
	default:
		m.arrive(r, n)
	}
}

// arrive is the end: the reader is back, and has what it had missed.
func (m *simulation) arrive(r *reader, n *node) {
	bytes := 0.0
	if r.stage == connecting {
		n.attached++
		bytes = m.missed(r) * float64(m.Bytes)
	}
	r.stage = back
	m.result.returned(m.now, r, bytes)
}

// fail is the end of an attempt that has come to nothing.
func (m *simulation) fail(who int32, r *reader) {
	r.try++
	wait := m.Habit.Denied
	if r.stage == connecting {
		m.result.Wasted++
		wait = m.Habit.Failed
	}
	m.wake(who, m.now+int64(wait(&r.memory, m.dice)))
}
