package socketio_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestHastyPolls: who asks by a connection of its own each time, as the stock
// clients do in Node, closes it as soon as the answer is whole. That is no poll
// that was dropped: the session goes on, and is told all.
func TestHastyPolls(t *testing.T) {
	for name, start := range map[string]func() *server{
		"stock": func() *server { return stock(t, stockEchoing()) },
		"ours":  func() *server { return ours(t, echoing) },
	} {
		t.Run(name, func(t *testing.T) {
			addr := strings.TrimPrefix(start().Base, "http://")
			var all sync.WaitGroup
			for range 40 {
				all.Go(func() {
					if err := hasty(addr); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		})
	}
}

// hasty has an echo say a hundred things by polls.
func hasty(addr string) error {
	const path = "/engine.io/?EIO=4&transport=polling"
	begun, err := request(addr, http.MethodGet, path, "")
	if err != nil {
		return err
	}
	session := path + "&sid=" + strings.Split(begun, `"`)[3]
	var failed atomic.Pointer[error]
	var posting sync.WaitGroup
	defer posting.Wait()
	for heard := range 100 {
		posting.Go(func() {
			if _, err := request(addr, http.MethodPost, session, fmt.Sprintf("4%d\x1e3", heard)); err != nil {
				failed.Store(&err)
			}
		})
		for answer := ""; !strings.Contains("\x1e"+answer+"\x1e", fmt.Sprintf("\x1e4%d\x1e", heard)); {
			if answer, err = request(addr, http.MethodGet, session, ""); err != nil {
				return fmt.Errorf("the %d. is waited for: %w", heard, err)
			}
		}
		posting.Wait()
		if err := failed.Load(); err != nil {
			return *err
		}
	}
	return nil
}

// request makes a request by a connection of its own, which is closed as soon as
// all of the answer is there.
func request(addr, method, path, body string) (string, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, path, addr, len(body), body)
	if err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return "", err
	}
	answer := make([]byte, max(resp.ContentLength, 0))
	if _, err = io.ReadFull(resp.Body, answer); err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status + " " + string(answer))
	}
	return string(answer), err
}
