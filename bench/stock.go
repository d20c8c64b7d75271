package bench

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// A stock is a stock Socket.IO server on Node that joins each socket to the
// rooms that it names in auth.rooms, and says the body of POST /pub?room=NAME
// to a room as the event "message".
type stock struct {
	publish, public string
	plan            *Plan
	stem            string
}

func (s *stock) prepare(_ context.Context, p *Plan) error {
	s.plan, s.stem = p, stem()
	if p.Publish != ByCall {
		return errOnlyCalls
	}
	if p.Transport != "socketio" && p.Transport != "socketio-polling" {
		return fmt.Errorf("the transport %s is none of Socket.IO's: there are socketio and socketio-polling", p.Transport)
	}
	return nil
}

func (s *stock) tidy(context.Context) {}

func (s *stock) readersAt() string {
	u, err := url.Parse(s.public)
	if err != nil {
		return s.public
	}
	return hostPort(u)
}

func (s *stock) dialect(r int) dialect {
	var rooms []string
	spread := s.plan.spread()
	for j := range s.plan.Each {
		rooms = append(rooms, strconv.Quote(s.stem+strconv.Itoa(spread.channel(r, j))))
	}
	connect := `40{"rooms":[` + strings.Join(rooms, ",") + `]}`
	host := "Host: " + s.readersAt() + "\r\n"
	if s.plan.Transport == "socketio" {
		return socketIO("/socket.io/", host, connect)
	}
	return &enginePoller{path: "/socket.io/?EIO=4&transport=polling", fields: host, connect: connect}
}

func (s *stock) says() (call, error) {
	path := "/pub?room=" + s.stem
	return call{url: strings.TrimSuffix(s.publish, "/"), batch: 1, answer: goodStatus, request: func(dst, body []byte, notes []note) (_, _ []byte) {
		return strconv.AppendInt(append(dst, path...), int64(notes[0].channel), 10), appendMessage(body, notes[0], s.plan.Size)
	}}, nil
}
