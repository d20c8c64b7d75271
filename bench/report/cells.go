package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/shaveet/shaveet/bench"
)

// A cell is something that is measured: ours, and perhaps a yardstick or
// another server at once behind it, in each round.
type cell struct {
	name      string
	workload  string
	flags     []string // of shaveet bench
	otherwise []string // those of the other server, if they differ
	rounds    int
	duration  time.Duration
	yardstick bool
	tls       bool
	peer      string // the kind of another server: nchan or socketio; empty: none
	quick     bool   // also in a quick run
	readers   int
}

func fanOut(transport string, readers, window int) string {
	return fmt.Sprintf("fanout %s %d w=%d", transport, readers, window)
}

func many(readers, channels int, publish string) string {
	return fmt.Sprintf("many %d/%d %s", readers, channels, publish)
}

func latency(transport string) string { return "latency " + transport }
func idle(transport string) string    { return "idle " + transport }
func idleTLS(transport string) string { return "idle TLS " + transport }
func publish(way string) string       { return "publish " + way }
func churn(transport string) string   { return "churn " + transport }

var (
	windows    = []int{1, 16, 64}
	crowds     = []int{1000, 5000}
	publishing = []string{bench.ByCall, bench.ByMany, bench.BySocket}
	secure     = []string{"websocket", "sse", "stream", "longpoll"}
	spreads    = []struct{ readers, channels int }{{500, 500}, {5000, 5000}, {8000, 8000}, {5000, 50_000}}
)

func number(n int) string { return strconv.Itoa(n) }

// publishWindow is how many messages are under way where nobody listens: one
// for each of the 8 connections, or as many as one request takes.
func publishWindow(way string) string {
	if way == bench.ByCall {
		return "8"
	}
	return "800"
}

// cells is all that make bench measures, besides the profile and the system
// calls. The parts that matter most have most rounds.
func cells() (all []cell) {
	add := func(c cell, workload string, flags ...string) {
		c.workload, c.flags = workload, flags
		all = append(all, c)
	}
	for _, readers := range crowds {
		rounds := 3
		if readers > 1000 {
			rounds = 2
		}
		for _, t := range bench.Transports() {
			for _, w := range windows {
				add(cell{name: fanOut(t, readers, w), rounds: rounds, duration: 1500 * time.Millisecond, yardstick: true, readers: readers,
					quick: readers == 1000 && (w == 1 || w == 16 && t == "websocket")},
					bench.FanOut, "--transport", t, "--window", number(w))
			}
		}
	}
	for _, s := range spreads {
		for _, way := range publishing {
			add(cell{name: many(s.readers, s.channels, way), rounds: 3, duration: 1500 * time.Millisecond, readers: s.readers,
				quick: s.readers == 500 && way == bench.ByMany},
				bench.Many, "--publish", way, "--channels", number(s.channels), "--each", number(s.channels/s.readers))
		}
	}
	for _, t := range bench.Transports() {
		first := t == "websocket"
		add(cell{name: latency(t), rounds: 3, duration: 2500 * time.Millisecond, yardstick: true, readers: 1000, quick: first}, bench.Latency, "--transport", t)
		add(cell{name: idle(t), rounds: 2, duration: 3 * time.Second, readers: 5000, quick: first || t == "sse"}, bench.Idle, "--transport", t)
		add(cell{name: churn(t), rounds: 3, duration: 1500 * time.Millisecond, readers: 1000, quick: first}, bench.Churn, "--transport", t)
	}
	for _, t := range secure {
		add(cell{name: idleTLS(t), rounds: 2, duration: 3 * time.Second, tls: true, readers: 5000, quick: t == "websocket"}, bench.Idle, "--transport", t)
	}
	for _, way := range bench.Publishing() {
		add(cell{name: publish(way), rounds: 3, duration: 1500 * time.Millisecond, quick: way == bench.ByCall}, bench.Publish, "--publish", way, "--window", publishWindow(way))
	}
	return all
}

// peerCells is what make bench-peers measures.
func peerCells() (all []cell) {
	add := func(c cell, peer, name, workload string, flags ...string) {
		c.peer, c.name, c.workload, c.rounds = peer, peer+": "+name, workload, 3
		if c.duration == 0 {
			c.duration = 1500 * time.Millisecond
		}
		c.flags = append(flags, c.flags...)
		c.otherwise = flags
		all = append(all, c)
	}
	for _, p := range []struct {
		name       string
		transports []string
	}{{"nchan", []string{"websocket", "sse", "longpoll"}}, {"socketio", []string{"socketio", "socketio-polling"}}} {
		first := p.transports[0]
		for _, t := range p.transports {
			for _, w := range windows {
				add(cell{readers: 1000, quick: t == first && w == 1}, p.name, fanOut(t, 1000, w), bench.FanOut, "--transport", t, "--window", number(w))
			}
			add(cell{readers: 5000}, p.name, fanOut(t, 5000, 1), bench.FanOut, "--transport", t)
			add(cell{readers: 1000, duration: 5 * time.Second}, p.name, latency(t), bench.Latency, "--transport", t)
			add(cell{readers: 5000, duration: 3 * time.Second}, p.name, idle(t), bench.Idle, "--transport", t)
			add(cell{readers: 1000}, p.name, churn(t), bench.Churn, "--transport", t)
		}
		for _, way := range publishing {
			add(cell{readers: 5000, flags: []string{"--publish", way}}, p.name, many(5000, 5000, way), bench.Many, "--transport", first)
			add(cell{flags: []string{"--publish", way, "--window", publishWindow(way)}}, p.name, publish(way), bench.Publish, "--transport", first)
		}
	}
	return all
}
