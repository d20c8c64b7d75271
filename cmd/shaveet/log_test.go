package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A stuckWriter takes nothing until it is told to.
type stuckWriter struct {
	gate chan struct{} // closed: it takes all

	mu  sync.Mutex // guards got
	got bytes.Buffer
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	<-w.gate
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got.Write(p)
}

// Who logs waits for nobody, what is written is whole lines in their order, and
// what was lost is told.
func TestLogNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &stuckWriter{gate: make(chan struct{})}
		w := newLogWriter(to)
		w.tells(func(lost int) { fmt.Fprintf(always{w}, "lost %d\n", lost) })
		const lines = 3 * maxLog / 100
		for i := range lines {
			fmt.Fprintf(w, "%-99d\n", i)
		}
		close(to.gate)
		synctest.Wait()
		fmt.Fprintln(w, "after")
		w.close()
		got := strings.Split(strings.TrimSuffix(to.got.String(), "\n"), "\n")
		kept, lost := len(got)-2, 0
		for i, line := range got[:kept] {
			if strings.TrimSpace(line) != fmt.Sprint(i) {
				t.Fatalf("line %d is %q", i, line)
			}
		}
		if fmt.Sscanf(got[kept], "lost %d", &lost); kept+lost != lines || lost == 0 || got[kept+1] != "after" {
			t.Errorf("%d lines, of which %d came; then %q", lines, kept, got[kept:])
		}
	})
}

// All lines that were lost are told of, also if there was no room when that began.
func TestLogTellsOfAllThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &stuckWriter{gate: make(chan struct{})}
		w := newLogWriter(to)
		told := 0
		w.tells(func(lost int) {
			told += lost
			io.WriteString(always{w}, "told\n")
		})
		line := bytes.Repeat([]byte("x"), maxLog/4)
		fill := func(fits, more int) {
			for range fits + more {
				w.Write(line)
			}
			synctest.Wait()
		}
		fill(1, 0) // which is being written
		fill(4, 5)
		to.gate <- struct{}{}
		synctest.Wait()
		fill(4, 0) // again there is no room
		close(to.gate)
		w.close()
		if n := strings.Count(to.got.String(), "told\n"); told != 5 || n != 1 {
			t.Errorf("it was told %d times that %d were lost, want once, and 5", n, told)
		}
	})
}

// The end does not wait for a log that nobody reads.
func TestLogEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &stuckWriter{gate: make(chan struct{})}
		w := newLogWriter(to)
		fmt.Fprintln(w, "hello")
		began := time.Now()
		w.close()
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
		close(to.gate)
		<-w.done
	})
}
