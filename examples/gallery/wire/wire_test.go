package wire

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// piece is what passes at once.
type piece struct {
	up   bool
	text string
}

func up(text string) piece   { return piece{true, text} }
func down(text string) piece { return piece{false, text} }

// short is how an event is written in tests.
func (e Event) short() string {
	arrow := "<"
	if e.Up {
		arrow = ">"
	}
	if e.Call != nil {
		c, answer := e.Call, e.Call.Result
		if c.Error != "" {
			answer = "error " + c.Error
		}
		return fmt.Sprintf("%s%s = %s", c.Method, c.Params, answer)
	}
	return fmt.Sprintf("%s %s: %s", arrow, e.Kind, e.Title)
}

// read feeds a reader in parts of at most so many bytes, a millisecond apart for
// each piece, and checks what is true of all events.
func read(t *testing.T, kind string, pieces []piece, atOnce int) (events []Event) {
	t.Helper()
	var counted [2]int
	emit := func(e Event) {
		events = append(events, e)
		if e.Up {
			counted[1] += e.Bytes
		} else {
			counted[0] += e.Bytes
		}
		if len(e.Raw) > maxRaw || len(e.Raw) > e.Bytes || len(e.Text) > 3*maxText+100 || len(e.Title) > 8*maxReadable {
			t.Errorf("an event is too large: %d of %d bytes raw, %d of text, %d of title", len(e.Raw), e.Bytes, len(e.Text), len(e.Title))
		}
		if !utf8.ValidString(e.Title) || !utf8.ValidString(e.Text) || strings.ContainsAny(e.Title, "\n\r\x00\x1b") {
			t.Errorf("cannot be shown: %q %q", e.Title, e.Text)
		}
		if _, err := json.Marshal(e); err != nil {
			t.Errorf("%v in %+v", err, e)
		}
	}
	c := map[string]func() *Conn{
		"admin": func() *Conn { return NewHTTP(true, emit) },
		"http":  func() *Conn { return NewHTTP(false, emit) },
		"zmtp":  func() *Conn { return NewZMTP(emit) },
	}[kind]()
	now := time.Unix(0, 0)
	var passed [2]int
	for _, p := range pieces {
		now = now.Add(time.Millisecond)
		side := 0
		if p.up {
			side = 1
		}
		passed[side] += len(p.text)
		for part := range slices.Chunk([]byte(p.text), atOnce) {
			c.Pass(p.up, now, part)
			clear(part) // they are the relay's again
		}
	}
	c.End(now)
	if counted != passed {
		t.Errorf("the events have %v bytes, and %v have passed", counted, passed)
	}
	return events
}

func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

func post(body string) string {
	return head("POST / HTTP/1.1", "Host: x", fmt.Sprintf("Content-Length: %d", len(body))) + body
}

func ok(body string) string {
	return head("HTTP/1.1 200 OK", fmt.Sprintf("Content-Length: %d", len(body))) + body
}

func deflated(text string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write([]byte(text))
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

func masked(text string) string {
	mask, p := "\x01\x02\x03\x04", []byte(text)
	for i := range p {
		p[i] ^= mask[i%4]
	}
	return mask + string(p)
}

func greeting() string {
	return "\xff" + strings.Repeat("\x00", 8) + "\x7f\x03\x01NULL" + strings.Repeat("\x00", 48)
}

var stories = []struct {
	name, kind string
	pieces     []piece
	want       []string
}{
	{"calls", "admin", []piece{
		up(post(`{"id": 1, "method": "subscribe", "params": ["ann", "chat"]}`)), down(ok(`{"id":1,"result":1}`)),
		up(post(`{"id": 2, "method": "nothing"}`)), down(ok(`{"id":2,"error":{"code":-32601,"message":"no such method"}}`)),
	}, []string{
		"> head: POST /", `> body: {"id": 1, "method": "subscribe", "params": ["ann", "chat"]}`,
		"< head: 200 OK after 1.0 ms, to POST /", `< body: {"id":1,"result":1}`, `subscribe["ann", "chat"] = 1`,
		"> head: POST /", `> body: {"id": 2, "method": "nothing"}`,
		"< head: 200 OK after 1.0 ms, to POST /", `< body: {"id":2,"error":{"code":-32601,"message":"no such method"}}`,
		"nothing = error -32601: no such method", "> close: connection closed",
	}},
	{"a batch, answered in another order", "admin", []piece{
		up(post(`[{"id":"a","method":"x"},{"id":"b","method":"y","params":{}},{"method":"z"}]`)),
		down(ok(`[{"id":"b","result":"B"},{"id":"a","result":null}]`)),
	}, []string{
		"> head: POST /", `> body: [{"id":"a","method":"x"},{"id":"b","method":"y","params":{}},{"method":"z"}]`,
		"< head: 200 OK after 1.0 ms, to POST /", `< body: [{"id":"b","result":"B"},{"id":"a","result":null}]`,
		"x = null", `y{} = "B"`, "z = ", "> close: connection closed",
	}},
	{"a batch that is refused as a whole", "admin", []piece{
		up(post(`[{"id":1,"method":"x"},{"method":"y"}]`)), down(ok(`{"id":null,"error":{"code":-32600,"message":"too many"}}`)),
	}, []string{
		"> head: POST /", `> body: [{"id":1,"method":"x"},{"method":"y"}]`,
		"< head: 200 OK after 1.0 ms, to POST /", `< body: {"id":null,"error":{"code":-32600,"message":"too many"}}`,
		"x = error -32600: too many", "y = error -32600: too many", "> close: connection closed",
	}},
	{"two calls with one id", "admin", []piece{
		up(post(`[{"id":1,"method":"x"},{"id":1,"method":"y"},{"id":1,"method":"z"}]`)), down(ok(`[{"id":1,"result":12345678901234567890},{"id":1,"result":2}]`)),
	}, []string{
		"> head: POST /", `> body: [{"id":1,"method":"x"},{"id":1,"method":"y"},{"id":1,"method":"z"}]`,
		"< head: 200 OK after 1.0 ms, to POST /", `< body: [{"id":1,"result":12345678901234567890},{"id":1,"result":2}]`,
		"x = 12345678901234567890", "y = 2", "z = error no answer of JSON-RPC, but status 200", "> close: connection closed",
	}},
	{"one after the other without waiting", "admin", []piece{
		up(post(`{"id":1,"method":"x"}`) + post(`{"id":1,"method":"y"}`)), down(ok(`{"id":1,"result":1}`) + ok(`{"id":1,"result":2}`)),
	}, []string{
		"> head: POST /", `> body: {"id":1,"method":"x"}`, "> head: POST /", `> body: {"id":1,"method":"y"}`,
		"< head: 200 OK after 1.0 ms, to POST /", `< body: {"id":1,"result":1}`, "x = 1",
		"< head: 200 OK after 1.0 ms, to POST /", `< body: {"id":1,"result":2}`, "y = 2", "> close: connection closed",
	}},
	{"refused and cut off", "admin", []piece{
		up(post(`{"id":1,"method":"x"}`)), down(head("HTTP/1.1 403 Forbidden", "Content-Length: 2") + "no"),
		up(post(`{"id":1,"method":"y"}`)), down("HTTP/1.1 200"),
	}, []string{
		"> head: POST /", `> body: {"id":1,"method":"x"}`, "< head: 403 Forbidden after 1.0 ms, to POST /", "< body: no",
		"x = error no answer of JSON-RPC, but status 403",
		"> head: POST /", `> body: {"id":1,"method":"y"}`, "y = error the connection ended without an answer",
		"< raw: 12 bytes, cut off", "> close: connection closed",
	}},
	{"a stream", "http", []piece{
		up(head("GET /stream?x=1 HTTP/1.1", "Host: x")), down(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")),
		down("5\r\nhello\r\n"), down("6;x=y\r\n world\r\n"), down("0\r\nX: y\r\n\r\n"),
		up(head("HEAD / HTTP/1.1")), down(head("HTTP/1.1 200 OK", "Content-Length: 5")),
		up(head("GET / HTTP/1.1")), down(head("HTTP/1.1 100 Continue") + head("HTTP/1.1 204 No Content")),
	}, []string{
		"> head: GET /stream?x=1", "< head: 200 OK after 1.0 ms, to GET /stream?x=1", "< chunk: hello", "< chunk: world", "< chunk: end of chunks",
		"> head: HEAD /", "< head: 200 OK after 1.0 ms, to HEAD /",
		"> head: GET /", "< head: 100 Continue after 1.0 ms, to GET /", "< head: 204 No Content after 1.0 ms, to GET /", "> close: connection closed",
	}},
	{"a WebSocket", "http", []piece{
		up(head("GET /websocket HTTP/1.1", "Upgrade: websocket")),
		down(head("HTTP/1.1 101 Switching Protocols", "Sec-WebSocket-Extensions: permessage-deflate")),
		up("\x81\x85" + masked("hello")), down("\x81\x05world"), down("\xc1" + string(rune(len(deflated("packed")))) + deflated("packed")),
		down("\x89\x00"), up("\x8a\x80" + masked("")), down("\x01\x02ab"), down("\x80\x01c"),
		down("\x82\x7e\x01\x00" + strings.Repeat("x", 256)), down("\x88\x05\x03\xe8bye"),
	}, []string{
		"> head: GET /websocket", "< head: 101 Switching Protocols after 1.0 ms, to GET /websocket",
		"> frame: text, masked: hello", "< frame: world", "< frame: text, deflated to 8 bytes: packed",
		"< frame: ping", "> frame: pong, masked", "< frame: text, not the last: ab", "< frame: continuation: c",
		"< frame: binary: " + strings.Repeat("x", 256), "< frame: close: 1000 bye", "> close: connection closed",
	}},
	{"a WebSocket that was refused", "http", []piece{
		up(head("GET /websocket HTTP/1.1", "Upgrade: websocket")), down(head("HTTP/1.1 403 Forbidden", "Content-Length: 0")),
		up(head("GET /next HTTP/1.1")),
	}, []string{"> head: GET /websocket", "< head: 403 Forbidden after 1.0 ms, to GET /websocket", "> head: GET /next", "> close: connection closed"}},
	{"ZMTP", "zmtp", []piece{
		up(greeting()), down(greeting()), up("\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"),
		down("\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"), up("\x00\x02\x01a"),
		down("\x04\x0a\x09SUBSCRIBE"), down("\x00\x02\x01a"), up("\x00\x05hello"), up("\x01\x05topic\x02\x00\x00\x00\x00\x00\x00\x00\x04data"),
		up("\x04\x05\x04PING"), down("\x04\x0a\x05ERROR\x03bad"),
	}, []string{
		"> zmtp: greeting: ZMTP 3.1, NULL", "< zmtp: greeting: ZMTP 3.1, NULL", "> zmtp: READY: Socket-Type = PUB",
		"< zmtp: READY: Socket-Type = SUB", "> zmtp: message: ·a",
		"< zmtp: SUBSCRIBE: all topics", `< zmtp: subscribes to topics that begin with "a"`,
		"> zmtp: message: hello", "> zmtp: message of 2 frames: topic | data", "> zmtp: PING", "< zmtp: ERROR: bad", "> close: connection closed",
	}},
}

// However bytes are cut into pieces, the same is read, and each of them is in
// one event.
func TestStories(t *testing.T) {
	for _, tt := range stories {
		for _, atOnce := range []int{1, 7, 1 << 20} {
			t.Run(fmt.Sprintf("%s, %d at once", tt.name, atOnce), func(t *testing.T) {
				var got []string
				for _, e := range read(t, tt.kind, tt.pieces, atOnce) {
					got = append(got, e.short())
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
				}
			})
		}
	}
}

// What is not understood is shown as it is, from there on.
func TestForeign(t *testing.T) {
	for name, tt := range map[string]struct {
		kind   string
		pieces []piece
	}{
		"TLS":            {"http", []piece{up("\x16\x03\x01" + strings.Repeat("\x00", maxHead))}},
		"a long head":    {"http", []piece{up("GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 2*maxHead))}},
		"no request":     {"http", []piece{up("HELO x\r\n\r\n"), up("more")}},
		"an answer":      {"http", []piece{down(head("HTTP/1.1 200 OK"))}},
		"a bad chunk":    {"http", []piece{up(head("GET / HTTP/1.1")), down(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "x\r\nabc")}},
		"an endless one": {"http", []piece{up(head("GET / HTTP/1.1")), down(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + strings.Repeat("1", 2000))}},
		"ZMTP 2":         {"zmtp", []piece{up("\xff" + strings.Repeat("\x00", 8) + "\x7f\x01" + strings.Repeat("\x00", 60))}},
		"a bad flag":     {"zmtp", []piece{up(greeting() + "\xf0\x05hello")}},
	} {
		t.Run(name, func(t *testing.T) {
			events := read(t, tt.kind, tt.pieces, 1<<20)
			if !slices.ContainsFunc(events, func(e Event) bool { return e.Kind == KindRaw }) {
				t.Errorf("no bytes in %+v", events)
			}
		})
	}
}

// What is long is cut, and says so; bytes are counted all the same.
func TestLong(t *testing.T) {
	long := strings.Repeat("é", maxBody)
	call := fmt.Sprintf(`{"id":1,"method":"publish","params":[%q]}`, long)
	events := read(t, "admin", []piece{up(post(call)), down(ok(`{"id":1,"result":"` + long[:2*maxParams] + `"}`))}, 1000)
	body := events[1]
	if body.Kind != KindBody || !body.Cut || body.Bytes != len(call) || len(body.Text) > maxText || len(body.Raw) != maxRaw {
		t.Errorf("the body: %d bytes, %d of text, %d raw", body.Bytes, len(body.Text), len(body.Raw))
	}
	last := events[len(events)-2]
	if last.Call == nil || !last.Call.Cut || last.Call.Result != "" {
		t.Errorf("the call: %+v", last.Call)
	}
	events = read(t, "http", []piece{
		up(head("GET / HTTP/1.1")), down(head("HTTP/1.1 200 OK") + long),
	}, 1<<20)
	if e := events[2]; e.Kind != KindChunk || !e.Cut || e.Bytes != len(long) {
		t.Errorf("to the end: %s, %d bytes", e.short(), e.Bytes)
	}
}

// A token that opens the admin API is nowhere to be read, nor are cookies:
// however the head is written, whether all of it comes, and where we no longer
// read what comes.
func TestSecretsAreHidden(t *testing.T) {
	const fields = "authorization: Bearer secret42\r\nCOOKIE:a=secret43; b=2\r\nX: y\r\n"
	for name, head := range map[string]string{
		"a head":           "POST / HTTP/1.1\r\n" + fields + "\r\n",
		"a folded one":     "POST / HTTP/1.1\r\nAuthorization:\r\n Bearer\r\n\tsecret42\r\nX: y\r\n\r\n",
		"bare line ends":   "POST / HTTP/1.1\n" + strings.ReplaceAll(fields, "\r", "") + "\n",
		"half a head":      "POST / HTTP/1.1\r\nX: y\r\nAuthorization: Bearer secret4",
		"no head":          "HELO x\r\n" + fields + "\r\n",
		"after no head":    "HELO x\r\nX: y\r\n\r\nPOST / HTTP/1.1\r\n" + fields + "\r\n",
		"a long one":       "POST / HTTP/1.1\r\nX: y\r\nX: " + strings.Repeat("x", maxHead) + "\r\n" + fields + "\r\n",
		"cut in its value": "POST / HTTP/1.1\r\nX: y\r\nX: " + strings.Repeat("x", maxHead-53) + "\r\n" + fields + "\r\n",
		"too many":         strings.Repeat(post("{}"), maxWaiting) + "POST / HTTP/1.1\r\n" + fields + "\r\n",
	} {
		for _, atOnce := range []int{1, 3, 1 << 20} {
			t.Run(fmt.Sprintf("%s, %d at once", name, atOnce), func(t *testing.T) {
				var text, raw strings.Builder
				for _, e := range read(t, "admin", []piece{up(head)}, atOnce) {
					text.WriteString(e.Title + e.Text)
					raw.Write(e.Raw)
				}
				for _, all := range []string{text.String(), raw.String()} {
					if strings.Contains(all, "secret") || strings.Contains(all, "Bearer") {
						t.Errorf("the secrets are told: %q", all)
					}
				}
				if !strings.Contains(raw.String(), "X: y") {
					t.Errorf("what is no secret is not shown: %q", &raw)
				}
			})
		}
	}
	for _, e := range read(t, "admin", []piece{up("POST / HTTP/1.1\r\n" + fields + "\r\n")}, 7) {
		if e.Kind == KindHead && e.Text != "POST / HTTP/1.1\r\nauthorization: ****** ********\r\nCOOKIE:*********** ***\r\nX: y" {
			t.Errorf("the head is %q", e.Text)
		}
	}
}

// Of a long batch the first calls are told of, and how many there are besides.
func TestLongBatch(t *testing.T) {
	batch := "[" + strings.Repeat(`{"method":"x"},`, maxCalls+4) + `{"method":"x"}]`
	for name, pieces := range map[string][]piece{
		"answered": {up(post(batch)), down(head("HTTP/1.1 204 No Content"))},
		"cut off":  {up(post(batch))},
	} {
		t.Run(name, func(t *testing.T) {
			var calls []*Call
			for _, e := range read(t, "admin", pieces, 1<<20) {
				if e.Call != nil {
					calls = append(calls, e.Call)
				}
			}
			if len(calls) != maxCalls+1 || calls[0].Of != maxCalls+5 || calls[maxCalls].Rest != 5 || calls[maxCalls].Number != maxCalls+1 {
				t.Errorf("%d calls; the last is %+v", len(calls), calls[len(calls)-1])
			}
		})
	}
}

// Small pieces that come together cost what they are, not what is behind them.
func TestSmallPieces(t *testing.T) {
	chunks := []byte(strings.Repeat("1\r\nx\r\n", (32<<10)/6))
	c := NewHTTP(false, func(Event) {})
	c.Pass(true, time.Time{}, []byte(head("GET / HTTP/1.1")))
	c.Pass(false, time.Time{}, []byte(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")))
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			c.Pass(false, time.Time{}, chunks)
		}
	})
	if most := int64(200 * len(chunks)); result.AllocedBytesPerOp() > most {
		t.Errorf("to read %d bytes takes %d of memory, want at most %d", len(chunks), result.AllocedBytesPerOp(), most)
	}
}

func TestReadable(t *testing.T) {
	for _, tt := range []struct {
		in    string
		limit int
		want  string
		cut   bool
	}{
		{"abc", 3, "abc", false},
		{"abcd", 3, "abc", true},
		{"aé", 2, "a", true},
		{"aé", 3, "aé", false},
		{"é\xff\x00\x1b[m", 20, "é···[m", false},
		{"€uro", 2, "", true},
		{"", 1, "", false},
	} {
		if got, cut := readable([]byte(tt.in), tt.limit); got != tt.want || cut != tt.cut {
			t.Errorf("%q to %d: %q, %v", tt.in, tt.limit, got, cut)
		}
	}
}

// FuzzConn lets anything pass, both ways, in pieces of any size.
func FuzzConn(f *testing.F) {
	for _, s := range stories {
		var all []byte
		for _, p := range s.pieces {
			n := min(len(p.text), 127)
			side := byte(0)
			if p.up {
				side = 0x80
			}
			all = append(append(all, side|byte(n)), p.text[:n]...)
		}
		f.Add(s.kind, all)
	}
	f.Fuzz(func(t *testing.T, kind string, script []byte) {
		if !slices.Contains([]string{"admin", "http", "zmtp"}, kind) {
			return
		}
		var pieces []piece
		for len(script) > 0 {
			n := min(int(script[0]&0x7f), len(script)-1)
			pieces = append(pieces, piece{script[0]&0x80 != 0, string(script[1 : 1+n])})
			script = script[1+n:]
		}
		read(t, kind, pieces, 1<<20)
		read(t, kind, pieces, 3)
	})
}
