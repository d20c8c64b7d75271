package main

import "github.com/shaveet/shaveet/bench"

// A paper is what one node should hold, reckoned from what was measured.
type paper struct {
	PerReader, KernelPerReader string // bytes
	OverTLS                    string
	Own, Kernels, Sum          string // GB
	OverTLSSum                 string
	Rate1, Rate16, Rate64      string // deliveries of a CPU second
	Beats, BeatCores           string
	Spare                      string // cores
	Broadcasts1, Broadcasts16  string // messages to all, in a second
	One                        string // seconds for one message to all
	Deliveries1, Wire1, Wire16 string // millions, Gbit/s, Gbit/s
	Card1, Card16              string // millions of deliveries that a card carries in a second
	Let, Return                string // readers a CPU second; seconds for all to come back
	Whole                      bool   // all of it was measured
}

// The worked example.
const (
	paperReaders = 1_000_000
	paperCores   = 16
	paperBusy    = 0.7 // how much of the cores is to be used
	paperBeat    = 20  // seconds between heartbeats, by default
	paperBytes   = 300 // of a delivery on the wire: 128 of the message, its frame, and the heads of TCP, IP and Ethernet
	paperJoined  = 220 // of one that goes with others, and shares these heads
	paperCard    = 10  // Gbit/s
)

// Paper reckons.
func (d *document) Paper() (p paper) {
	at := func(name string, value func(*bench.Result) float64) float64 { return d.runs[name].figure(value).Median }
	own, kernels, tls := at(idle("websocket"), rss), d.kernelPart(), at(idleTLS("websocket"), rss)
	one, some, more := at(fanOut("websocket", 5000, 1), perCPU), at(fanOut("websocket", 5000, 16), perCPU), at(fanOut("websocket", 5000, 64), perCPU)
	coming := at(idle("websocket"), perCPU)
	p.PerReader, p.KernelPerReader, p.OverTLS = rough(own), rough(kernels), rough(tls)
	p.Own, p.Kernels, p.Sum = rough(own*paperReaders/1e9), rough(kernels*paperReaders/1e9), rough((own+kernels)*paperReaders/1e9)
	p.OverTLSSum = rough((tls + kernels) * paperReaders / 1e9)
	p.Rate1, p.Rate16, p.Rate64 = rough(one), rough(some), rough(more)
	beats := float64(paperReaders) / paperBeat
	cores := beats / one
	spare := paperCores*paperBusy - cores
	p.Beats, p.BeatCores, p.Spare = rough(beats), rough(cores), rough(spare)
	p.Broadcasts1, p.Broadcasts16 = rough(spare*one/paperReaders), rough(spare*some/paperReaders)
	p.One = rough(paperReaders / (spare * one))
	p.Deliveries1 = rough(spare * one / 1e6)
	p.Wire1, p.Wire16 = rough(spare*one*paperBytes*8/1e9), rough(spare*some*paperJoined*8/1e9)
	p.Card1, p.Card16 = rough(paperCard*1e9/8/paperBytes/1e6), rough(paperCard*1e9/8/paperJoined/1e6)
	p.Let, p.Return = rough(coming), rough(paperReaders/(paperCores*paperBusy*coming))
	p.Whole = own > 0 && kernels > 0 && tls > 0 && one > 0 && some > 0 && more > 0 && coming > 0
	return p
}

// kernelPart is the kernel's part of a connection, by all transports: to it they
// are all alike.
func (d *document) kernelPart() float64 {
	var all []float64
	for _, t := range bench.Transports() {
		if f := d.runs[idle(t)].figure(kernel); !f.missing() {
			all = append(all, f.Median)
		}
	}
	return figureOf(all).Median
}
