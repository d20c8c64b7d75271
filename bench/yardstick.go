package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// YardstickCommand is what the program is told behind "bench" to be a
// yardstick.
const YardstickCommand = "serve-yardstick"

// yardstickReady is the line by which a yardstick tells where it is.
const yardstickReady = "yardstick publish=%s readers=%s\n"

// The yardsticks.
const (
	yardWrite = "write(2)"        // frames, each encoded once, and one write(2) for each reader
	yardPoll  = "epoll long-poll" // one loop, and one read(2) and one write(2) for each delivery
)

// yardstickFor is what a plan's server is compared with.
func yardstickFor(p *Plan) string {
	switch p.Transport {
	case "longpoll", "socketio-polling":
		return yardPoll
	}
	return yardWrite
}

// A yardTarget is a yardstick. What it serves of a transport is the framing.
type yardTarget struct {
	publish, readers string
	plan             *Plan
}

func (y *yardTarget) prepare(_ context.Context, p *Plan) error {
	y.plan = p
	return nil
}

func (y *yardTarget) tidy(context.Context) {}

func (y *yardTarget) readersAt() string { return y.readers }

func (y *yardTarget) dialect(r int) dialect {
	var channels []string
	spread := y.plan.spread()
	for j := range y.plan.Each {
		channels = append(channels, strconv.Itoa(spread.channel(r, j)))
	}
	get := func(path, fields string) string {
		return "GET " + path + "?channels=" + strings.Join(channels, ",") + " HTTP/1.1\r\nHost: " + y.readers + "\r\n" + fields + "\r\n"
	}
	switch y.plan.Transport {
	case "sse":
		return &lineReader{request: get("/sse", ""), ready: eventBegun}
	case "stream":
		return &lineReader{request: get("/stream", ""), ready: anything}
	case "longpoll", "socketio-polling":
		after := " HTTP/1.1\r\nHost: " + y.readers + "\r\n\r\n"
		return &poller{before: "GET /longpoll?channels=" + strings.Join(channels, ",") + "&cursor=", position: []byte("0"), after: after, first: "&wait=0" + after}
	}
	return &socketReader{request: get("/websocket", upgradeFields), ready: anything}
}

func (y *yardTarget) says() (call, error) {
	return call{url: "http://" + y.publish, batch: 1, answer: goodStatus, request: func(path, body []byte, notes []note) (_, _ []byte) {
		path = strconv.AppendInt(append(path, "/pub?channel="...), int64(notes[0].channel), 10)
		return path, appendMessage(body, notes[0], y.plan.Size)
	}}, nil
}

// goodStatus checks the answer of a server that says by its status alone
// whether a message was said.
func goodStatus(status int, body []byte) error {
	if status < 200 || status > 299 {
		return fmt.Errorf("the server answered a publisher with %d: %s", status, excerpt(body))
	}
	return nil
}
