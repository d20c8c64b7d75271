package bench

import (
	"bytes"
	"strconv"
)

// polledLocked answers a poll, or holds it.
func (y *yard) polledLocked(r *yardReader, target []byte) bool {
	_, rest, ok := bytes.Cut(target, []byte("cursor="))
	digits, more, _ := bytes.Cut(rest, []byte("&"))
	position, good := parseDigits(digits)
	if !ok || !good || r.waits {
		return false
	}
	var missed []yardEntry
	for _, n := range r.channels {
		for _, e := range y.channels[n].log {
			if e.seq > position {
				missed = append(missed, e)
			}
		}
	}
	if len(missed) > 0 || len(more) > 0 {
		y.out = appendPollAnswer(y.out[:0], y.top, missed)
		return write(r.fd, y.out) == nil
	}
	r.waits = true
	return true
}

func parseDigits(text []byte) (v uint64, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, len(text) > 0 && len(text) < 20
}

// appendPollAnswer appends the answer to a poll.
func appendPollAnswer(dst []byte, top uint64, entries []yardEntry) []byte {
	size := len(cursorField) + len(`","messages":[]}`) + len(strconv.FormatUint(top, 10)) + max(0, len(entries)-1)
	for _, e := range entries {
		size += len(e.data)
	}
	dst = append(dst, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "...)
	dst = append(strconv.AppendInt(dst, int64(size), 10), "\r\n\r\n"+cursorField...)
	dst = append(strconv.AppendUint(dst, top, 10), `","messages":[`...)
	for i, e := range entries {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e.data...)
	}
	return append(dst, "]}"...)
}

// tell answers the polls that wait for what has been said.
func (y *yard) tell() {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, e := range y.said {
		y.top++
		e.seq = y.top
		c := y.channels[e.channel]
		if c == nil {
			continue
		}
		if c.log = append(c.log, e); len(c.log) > 2*yardLog {
			c.log = append(c.log[:0], c.log[yardLog:]...)
		}
		y.out = appendPollAnswer(y.out[:0], y.top, []yardEntry{e})
		for i := 0; i < len(c.readers); i++ {
			r := c.readers[i]
			if !r.waits {
				continue
			}
			r.waits = false
			if write(r.fd, y.out) != nil {
				y.dropLocked(r)
				i--
			}
		}
	}
	y.said = y.said[:0]
}
