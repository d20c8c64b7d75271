package handlers_test

import (
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The kinds of errors that pages are told.
const (
	unavailable = "handler_unavailable"
	timeout     = "handler_timeout"
	failed      = "handler_failed"
	busy        = "handler_busy"
)

// broken ends the connection, and the call with it.
func broken() { panic(http.ErrAbortHandler) }

// silent never answers.
func silent(_ http.ResponseWriter, r *http.Request, _ *told) {
	<-r.Context().Done()
	broken()
}

// sleepy answers, but not for half a minute.
func sleepy(w http.ResponseWriter, r *http.Request, c *told) {
	late := time.NewTimer(30 * time.Second)
	defer late.Stop()
	select {
	case <-r.Context().Done():
		broken()
	case <-late.C:
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%q,"result":%s}`, c.ID, c.result())
	}
}

// status answers with an error of HTTP, although its body would be an answer.
func status(code int) mood {
	return func(w http.ResponseWriter, r *http.Request, c *told) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%q,"result":%s}`, c.ID, c.result())
	}
}

// says answers with this text; %s is the call's id.
func says(format string) mood {
	return func(w http.ResponseWriter, r *http.Request, c *told) { fmt.Fprintf(w, format, c.ID) }
}

// hundred is the size of a huge answer.
const hundred = 100 << 20

// huge answers with a hundred megabytes, as long as they are taken. told says
// that beforehand.
func huge(beforehand bool) mood {
	chunk := strings.Repeat("x", 32<<10)
	return func(w http.ResponseWriter, r *http.Request, c *told) {
		head := fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"result":["`, c.ID)
		if beforehand {
			w.Header().Set("Content-Length", fmt.Sprint(len(head)+hundred))
		}
		if _, err := io.WriteString(w, head); err != nil {
			broken()
		}
		for range hundred / len(chunk) {
			if _, err := io.WriteString(w, chunk); err != nil {
				broken()
			}
		}
	}
}

// dripping answers byte by byte, and never comes to an end.
func dripping(w http.ResponseWriter, r *http.Request, c *told) {
	drip := time.NewTicker(50 * time.Millisecond)
	defer drip.Stop()
	for {
		io.WriteString(w, " ")
		http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			broken()
		case <-drip.C:
		}
	}
}

// hangsUp ends the connection when it has heard the call, or in the midst of the
// answer.
func hangsUp(midst bool) mood {
	return func(w http.ResponseWriter, r *http.Request, c *told) {
		if midst {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"jsonrpc":`)
		}
		rc := http.NewResponseController(w)
		rc.Flush()
		conn, _, err := rc.Hijack()
		if err != nil {
			broken()
		}
		reset(conn)
	}
}

// until is silent before a moment, and answers everything then.
func (h *hook) until(heal <-chan struct{}) mood {
	return func(w http.ResponseWriter, r *http.Request, c *told) {
		select {
		case <-heal:
			h.answered(c)
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%q,"result":%s}`, c.ID, c.result())
		case <-r.Context().Done():
			broken()
		}
	}
}

// fickle is well at every second call, and anything at the others.
func (h *hook) fickle() mood {
	moods := []mood{
		status(500), status(503), status(307), hangsUp(false), hangsUp(true), says(`{"jsonrpc":"2.0","id":%q}`), says(`{"jsonrpc":"2.0","id":"not %s","result":1}`), huge(true),
	}
	return func(w http.ResponseWriter, r *http.Request, c *told) {
		sum := fnv.New32a()
		fmt.Fprint(sum, c)
		switch n := sum.Sum32(); {
		case n%64 == 63:
			silent(w, r, c)
		case n%2 == 0:
			h.answered(c)
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%q,"result":%s}`, c.ID, c.result())
		default:
			moods[n/2%uint32(len(moods))](w, r, c)
		}
	}
}

// deaf takes the place of a backend that was killed: it takes connections, and
// hears nothing. The function that it returns ends that.
func (h *hook) deaf() (end func()) {
	h.kill()
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	var taking sync.WaitGroup
	var conns []net.Conn
	taking.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	})
	return func() {
		l.Close()
		taking.Wait()
		for _, c := range conns {
			reset(c)
		}
		h.open()
	}
}
