package chatterboxapp

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func said(id int64, time int64, data string) message {
	return message{ID: id, Pos: fmt.Sprintf("74f840cbe2a6bb2b.%d", id), Time: time, Data: json.RawMessage(data)}
}

func texts(all []line) string {
	var text []string
	for _, l := range all {
		text = append(text, l.Data.M)
	}
	return strings.Join(text, " ")
}

// A line is there once, by its id or its place, and where it belongs by time.
func TestLines(t *testing.T) {
	l := newLines()
	l.add(said(5, 50, `{"u": "ann", "m": "b", "id": "B"}`))
	l.add(said(6, 50, `{"u": "bob", "m": "c"}`))
	l.add(said(3, 40, `{"u": "ann", "m": "a"}`)) // from the history
	l.add(said(6, 50, `{"u": "bob", "m": "c"}`)) // the same
	l.add(said(7, 60, `{"u": "ann", "m": "b", "id": "B"}`))
	l.add(said(8, 70, `"no line"`))
	if got := texts(l.newest()); got != "a b c" {
		t.Errorf("it has %q", got)
	}
}

// It holds so many, and hands out fewer: the newest.
func TestLinesAreBounded(t *testing.T) {
	l := newLines()
	if l.newest() == nil {
		t.Error("none are null")
	}
	for i := range int64(held + 10) {
		l.add(said(i, i, fmt.Sprintf(`{"u": "ann", "m": "%d", "id": "id%d"}`, i, i)))
	}
	newest := l.newest()
	if len(l.held) != held || len(l.keys) != held || len(newest) != handedOut || newest[handedOut-1].Data.M != fmt.Sprint(held+9) {
		t.Errorf("%d, %d, and %d are handed out", len(l.held), len(l.keys), len(newest))
	}
	if l.has("id9") || !l.has("id10") {
		t.Error("it has let go of others than the oldest")
	}
}

// Who waits for a line hears it whenever it comes, and not of others.
func TestHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLines()
		hears := make(chan bool, 1)
		wait := func(ctx context.Context) { hears <- l.hears(ctx, "B", time.Minute) }
		go wait(t.Context())
		synctest.Wait()
		l.add(said(1, 1, `{"u": "ann", "m": "a", "id": "A"}`))
		synctest.Wait()
		if len(hears) > 0 {
			t.Error("it takes another one for it")
		}
		l.add(said(2, 2, `{"u": "ann", "m": "b", "id": "B"}`))
		if !<-hears {
			t.Error("it does not hear")
		}
		if begun := time.Now(); !l.hears(t.Context(), "B", time.Minute) || time.Since(begun) > 0 {
			t.Error("it waits for what was there")
		}
		if begun := time.Now(); l.hears(t.Context(), "C", time.Minute) || time.Since(begun) != time.Minute {
			t.Errorf("it waited %v", time.Since(begun))
		}
		l.held, l.keys = nil, map[string]bool{}
		ctx, cancel := context.WithCancel(t.Context())
		go wait(ctx)
		synctest.Wait()
		cancel()
		if <-hears {
			t.Error("it hears what never came")
		}
	})
}

// FuzzLine: whatever was published is a line within the limits, or none.
func FuzzLine(f *testing.F) {
	for _, data := range []string{
		`{"u": "ann", "m": "hello"}`, `{"u": "ann", "m": "hello", "id": "x", "w": "A", "n": 9e999}`, `{"u": 1, "m": "hello"}`, `null`, `"u"`, `[]`,
		`{"u": "ann", "m": "hello", "id": null}`, `{"U": "ann", "M": "hello"}`, `{"u": "\ud800", "m": "\u0000"}`, `{"u": "a", "u": 5, "m": "b"}`,
	} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data string) {
		l, ok := message{Pos: "p.1", Data: json.RawMessage(data)}.line()
		if !ok {
			return
		}
		for name, text := range map[string]string{"u": l.Data.U, "m": l.Data.M, "id": l.Data.ID, "w": l.Data.W} {
			if n := utf8.RuneCountInString(text); n > limits[name] || n == 0 && (name == "u" || name == "m") {
				t.Errorf("%s has %d characters", name, n)
			}
		}
		again, err := json.Marshal(l.Data)
		if err != nil || l.key() == "" {
			t.Fatal(err)
		}
		if same, ok := (message{Pos: "p.1", Data: again}).line(); !ok || same != l {
			t.Errorf("%+v, and again %+v", l, same)
		}
	})
}
