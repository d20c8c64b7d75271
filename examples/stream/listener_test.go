package stream_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// credentials are what the back end hands to who wants to listen.
type credentials struct {
	URL      string
	Channel  string
	ClientID string
	Key      string
	Cursor   string

	body []byte // the answer as it came, which Shaveet takes as it is
}

var client = http.Client{Timeout: 60 * time.Second}

func (s *site) get(t *testing.T, path string) (status int, body []byte) {
	t.Helper()
	resp, err := client.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func (s *site) credentials(t *testing.T, query string) (c credentials) {
	t.Helper()
	status, body := s.get(t, "/credentials"+query)
	if status != 200 {
		t.Fatalf("credentials%s: status %d: %s", query, status, body)
	}
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatal(err)
	}
	c.body = body
	return c
}

// data is a line of either channel.
type data struct {
	Producer string
	Number   int
	Text     string
	Time     int64
	X, Y     int
	Lost     int
}

type message struct {
	Channel string
	Data    data
}

// listener is a terminal with curl: what the back end answers is posted to
// Shaveet, and lines come.
type listener struct {
	t     *testing.T
	lines *bufio.Scanner
	next  []message // of the batch at hand
}

func (s *site) listen(t *testing.T, query string) *listener {
	t.Helper()
	resp := s.post(t, "/stream", s.credentials(t, query).body)
	t.Cleanup(func() { resp.Body.Close() })
	return &listener{t: t, lines: bufio.NewScanner(resp.Body)}
}

func (s *site) post(t *testing.T, path string, body []byte) *http.Response {
	t.Helper()
	resp, err := client.Post(s.srv.Public+path, "application/x-www-form-urlencoded", bytes.NewReader(body)) // as curl -d does
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		t.Fatalf("POST %s %s: status %d", path, body, resp.StatusCode)
	}
	return resp
}

// hear is the next line.
func (l *listener) hear() data {
	l.t.Helper()
	for len(l.next) == 0 {
		if !l.lines.Scan() {
			l.t.Fatalf("the stream has ended: %v", l.lines.Err())
		}
		var batch struct{ Messages []message }
		if err := json.Unmarshal(l.lines.Bytes(), &batch); err != nil {
			l.t.Fatalf("%v in %s", err, l.lines.Text())
		}
		l.next = batch.Messages
	}
	m := l.next[0]
	l.next = l.next[1:]
	if !strings.HasPrefix(m.Channel, "stream:") || m.Data.Producer == "" {
		l.t.Fatalf("heard %+v", m)
	}
	return m.Data
}
