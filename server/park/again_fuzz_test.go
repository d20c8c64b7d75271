package park

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// A mover is a tenant whose request had this cursor.
type mover struct {
	Tenant
	cursor string
}

func (m mover) Moving() (name, value string) { return "cursor", m.cursor }

func (m mover) Again([]byte) bool { return true }

// What is recognized means the same as what was learned, but for the value.
func FuzzAgain(f *testing.F) {
	const get, post = "GET /p?a=b&cursor=%s&c=d HTTP/1.1\r\nHost: x\r\nOrigin: y\r\n\r\n", "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 24\r\n\r\n{\"a\":\"b\",\"cursor\": \"%s\" }"
	for _, form := range []string{get, post} {
		f.Add(fmt.Appendf(nil, form, "aa"), fmt.Appendf(nil, form, "bb"))
		f.Add(fmt.Appendf(nil, form, "aa"), fmt.Appendf(nil, form, "\"\""))
		f.Add(fmt.Appendf(nil, form, "aa"), fmt.Appendf(nil, form, "bbb"))
	}
	f.Add([]byte("POST /p?cursor=a HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{\"cursor\":\"a\"}"), []byte("POST /p?cursor=b HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{\"cursor\":\"a\"}"))
	f.Add([]byte("GET /p?cursor=a&%63ursor=a HTTP/1.1\r\nHost: x\r\n\r\n"), []byte("GET /p?cursor=b&%63ursor=a HTTP/1.1\r\nHost: x\r\n\r\n"))
	const disguised = "POST /p?%%63ursor=a HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{\"x\":{\"cursor\":\"%s\"}}"
	f.Add(fmt.Appendf(nil, disguised, "a"), fmt.Appendf(nil, disguised, "b"))
	f.Add([]byte("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 33\r\n\r\n{\"x\":\"cursor\",\"cursor\"\t:\n\"abcd\"}"), []byte("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 33\r\n\r\n{\"x\":\"cursor\",\"cursor\"\t:\n\"efgh\"}"))
	lot := New(Options{Quick: func(string, bool) bool { return true }})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d := desks.New().(*desk)
		r, rest, ok := lot.readQuick(first, &http.Server{}, d)
		if !ok {
			return
		}
		cursors, others := understood(r)
		if len(cursors) != 1 { // nobody would hold it
			return
		}
		a := learn(first[:len(first)-len(rest)], mover{cursor: cursors[0]}, 0, nil)
		if a == nil {
			return
		}
		value, rest, ok := a.recognize(second, newSummer())
		if !ok {
			return
		}
		r, behind, ok := lot.readQuick(second, &http.Server{}, d)
		if !ok || !bytes.Equal(behind, rest) {
			t.Fatalf("%q: it is one of ours: %v, behind it %q, want %q", second, ok, behind, rest)
		}
		if cursors, now := understood(r); len(cursors) != 1 || cursors[0] != string(value) || now != others {
			t.Errorf("%q is told to be %q, and means %q\n%s\nand not\n%s", second, value, cursors, now, others)
		}
	})
}

// understood returns the cursors of a request, and all else that a handler sees.
func understood(r *http.Request) (cursors []string, others string) {
	query := r.URL.Query()
	cursors = query["cursor"]
	query.Del("cursor")
	body, err := io.ReadAll(r.Body)
	var said map[string]any
	if json.Unmarshal(body, &said) == nil {
		if c, ok := said["cursor"].(string); ok {
			cursors = append(cursors, c)
		}
		delete(said, "cursor")
	} else {
		said = map[string]any{"body": string(body)}
	}
	return cursors, fmt.Sprint(r.Method, r.URL.EscapedPath(), query, r.Host, r.Header, r.ContentLength, err, said)
}
