package rpcapi

import (
	"context"
	"strconv"
)

// direct answers a call that is made so often that what gorilla does for it, by
// reflection, would cost more than the call: it appends the result to b.
// Parameters, results and errors are those of the Go method that gorilla would
// call; a test holds them to it.
type direct func(a *admin, d *desk, c *call, b []byte) ([]byte, error)

var directly = map[string]direct{
	"publish":      (*admin).publishDirectly,
	"publish_many": (*admin).publishManyDirectly,
	"new_message":  (*admin).newMessageDirectly,
}

// shortcut has the calls that are made most go a shorter way.
func (a *API) shortcut() {
	for name, f := range directly {
		a.methods[name].direct = f
	}
}

func (a *API) runDirectly(d *desk, c *call) {
	result, err := c.target.direct(a.admin, d, c, d.result[:0])
	if err != nil {
		c.err = tell(d.ctx, a.log, c.method, err)
		return
	}
	c.result, d.result = result, result
}

func (a *admin) publishDirectly(d *desk, c *call, b []byte) ([]byte, error) {
	p := &d.one
	*p = publishParams{}
	if err := c.target.bindTo((*publishTargets)(p), &c.params, a.bounds()); err != nil {
		return nil, err
	}
	to, err := a.hub.Publish(d.ctx, p.publication(string(p.Channel)))
	if err != nil {
		return nil, err
	}
	return (*published)(&to).appendJSON(b), nil
}

func (a *admin) newMessageDirectly(d *desk, c *call, b []byte) ([]byte, error) {
	p := &d.old
	*p = messageParams{}
	if err := c.target.bindTo((*messageTargets)(p), &c.params, a.bounds()); err != nil {
		return nil, err
	}
	if err := a.newMessage(d.ctx, p); err != nil {
		return nil, err
	}
	return strconv.AppendInt(b, done, 10), nil
}

func (a *admin) publishManyDirectly(d *desk, c *call, b []byte) ([]byte, error) {
	d.many.empty()
	if err := c.target.bindTo(manyTarget{&d.many}, &c.params, a.bounds()); err != nil {
		return nil, err
	}
	if err := a.checkMany(&d.many); err != nil {
		return nil, err
	}
	b = append(b, '[')
	a.publishEach(d.ctx, &d.many, func(o outcome) {
		if b[len(b)-1] != '[' {
			b = append(b, ',')
		}
		b = o.appendJSON(b)
	})
	return append(b, ']'), nil
}

// What the parameter structs have at which place.
type (
	publishTargets publishParams
	messageTargets messageParams
	manyTarget     struct{ *publications }
)

func (p *publishTargets) target(i int) any {
	switch i {
	case 0:
		return &p.Channel
	case 1:
		return &p.Data
	case 2:
		return &p.Sender
	case 3:
		return &p.PublishID
	case 4:
		return &p.Exclude
	case 5:
		return &p.TTL
	}
	return &p.System
}

func (p *messageTargets) target(i int) any {
	switch i {
	case 0:
		return &p.Sender
	case 1:
		return &p.Message
	case 2:
		return &p.Channel
	}
	return &p.System
}

func (m manyTarget) target(int) any { return m.publications }

// newMessage says what p has.
func (a *admin) newMessage(ctx context.Context, p *messageParams) error {
	said := words{Data: p.Message, Sender: p.Sender, System: p.System}
	_, err := a.hub.Publish(ctx, said.publication(string(p.Channel)))
	return err
}
