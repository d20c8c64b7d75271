package main

import (
	"io"
	"sync"
	"time"
)

// A logWriter writes lines to another writer without anybody waiting for that: a
// pipe that is not read must not keep a server from its work. What there is no room
// for is lost, which is told when there is room again.
type logWriter struct {
	to     io.Writer
	wake   chan struct{} // holds a token when there is something to do
	closed chan struct{}
	done   chan struct{}

	mu    sync.Mutex // guards all below
	lines []byte     // that wait
	lost  int        // lines, since it was told
	tell  func(lost int)
}

// maxLog is how many bytes of lines may wait.
const maxLog = 1 << 20

func newLogWriter(to io.Writer) *logWriter {
	w := &logWriter{to: to, wake: make(chan struct{}, 1), closed: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// always is a logWriter that has room for what says that others found none.
type always struct{ *logWriter }

func (w always) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, p...)
	return len(p), nil
}

// tells has f be told how many lines were lost, from where the lines are written. It
// may say so at once, by [always].
func (w *logWriter) tells(f func(lost int)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell = f
}

// Write takes one line or several, all of them or none.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	if len(w.lines)+len(p) > maxLog {
		w.lost++
	} else {
		w.lines = append(w.lines, p...)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (w *logWriter) run() {
	defer close(w.done)
	for {
		select {
		case <-w.wake:
			w.flush()
		case <-w.closed:
			w.flush()
			return
		}
	}
}

// flush writes what waits until there is nothing more.
func (w *logWriter) flush() {
	var spare []byte
	for {
		w.mu.Lock()
		lines, lost, tell := w.lines, w.lost, w.tell
		w.lines, w.lost = spare[:0], 0
		w.mu.Unlock()
		if len(lines) == 0 && lost == 0 {
			return
		}
		w.to.Write(lines)
		if lost > 0 && tell != nil {
			tell(lost)
		}
		spare = lines
	}
}

// close ends it when all has been written, or after a second. What is written from
// now on may be lost.
func (w *logWriter) close() {
	close(w.closed)
	select {
	case <-w.done:
	case <-time.After(time.Second):
	}
}
