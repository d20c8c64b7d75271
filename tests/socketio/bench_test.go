package socketio_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shaveet/shaveet/tests/live"
)

// crowd is how many clients there are on each side.
const crowd = 1000

// sides starts both servers, with namespaces for everybody, and says their names.
func sides(b *testing.B, recovery bool) map[string]*server {
	b.Helper()
	recoveryTime, ms := "0s", 0
	if recovery {
		recoveryTime, ms = "2m", 120_000
	}
	return map[string]*server{
		"ours":  ours(b, "socketio_recovery_time = \""+recoveryTime+"\"\n[namespace.\"/\"]\nopen = true\n"),
		"stock": stock(b, map[string]any{"open": true, "recovery": ms}),
	}
}

// BenchmarkIdle is what a client by WebSocket costs that is told nothing: the growth
// of the server's resident memory, by client, ours and the stock server's. ratio
// is the stock server's to ours.
func BenchmarkIdle(b *testing.B) {
	for _, recovery := range []bool{false, true} {
		b.Run(fmt.Sprintf("recovery=%t", recovery), func(b *testing.B) {
			grown := map[string]float64{}
			rounds := 0.0
			for b.Loop() {
				rounds++
				for name, srv := range sides(b, recovery) {
					// What the first clients cost is the server's warming up.
					warm := gather(b, srv, 100)
					before := resident(b, srv.Pid)
					all := gather(b, srv, crowd)
					grown[name] += float64(resident(b, srv.Pid)-before) / crowd
					all.leave()
					warm.leave()
				}
			}
			b.ReportMetric(grown["ours"]/rounds, "bytes/client")
			b.ReportMetric(grown["stock"]/rounds, "stock-bytes/client")
			b.ReportMetric(grown["stock"]/grown["ours"], "ratio")
		})
	}
}

// BenchmarkBroadcast is the processor time of a server for one delivery of what is
// emitted to everybody, the calls of the admin API among it. The two servers take
// turns. ratio is the stock server's to ours.
func BenchmarkBroadcast(b *testing.B) {
	const events = 100 // in a turn: the clock of a process ticks every 10 ms
	for _, recovery := range []bool{false, true} {
		for _, size := range []int{20, 1000} {
			b.Run(fmt.Sprintf("recovery=%t/bytes=%d", recovery, size), func(b *testing.B) {
				servers := sides(b, recovery)
				clients, spent := map[string]*gathering{}, map[string]time.Duration{}
				for name, srv := range servers {
					clients[name] = gather(b, srv, crowd)
					b.Cleanup(clients[name].leave)
				}
				emission := map[string]any{"event": "news", "args": []string{strings.Repeat("x", size)}}
				turn := func(name string) time.Duration {
					srv := servers[name]
					before, heard := processor(b, srv.Pid), clients[name].heard.Load()
					for range events {
						srv.call(b, "emit", emission)
					}
					live.Until(b, name+" delivers", time.Minute, func() bool { return clients[name].heard.Load() == heard+events*crowd })
					return processor(b, srv.Pid) - before
				}
				for name := range servers {
					turn(name) // the first is for warming up
				}
				turns := 0
				for b.Loop() {
					turns++
					for _, name := range []string{"ours", "stock"} {
						spent[name] += turn(name)
					}
				}
				each := func(name string) float64 { return float64(spent[name].Nanoseconds()) / float64(turns*events*crowd) }
				b.ReportMetric(each("ours"), "ns/delivery")
				b.ReportMetric(each("stock"), "stock-ns/delivery")
				b.ReportMetric(each("stock")/each("ours"), "ratio")
			})
		}
	}
}

// resident is the memory of a process in bytes, when it has come to rest.
func resident(b *testing.B, pid int) (bytes int) {
	b.Helper()
	// A heap may never rest altogether.
	for looks, quiet := 0, 0; looks < 25 && quiet < 5; looks++ {
		time.Sleep(200 * time.Millisecond)
		now := pages(b, pid) * os.Getpagesize()
		if quiet++; now != bytes {
			quiet = 0
		}
		bytes = now
	}
	return bytes
}

func pages(b *testing.B, pid int) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	n, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// processor is the time that a process has had of the processors.
func processor(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	var ticks int
	for _, field := range fields[11:13] { // of programs, and of the kernel for it
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100)
}
