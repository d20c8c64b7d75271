package streamapp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// channel is what Shaveet is to a producer: it remembers publish ids, and can be
// away in every way.
type channel struct {
	t     *testing.T
	mode  atomic.Value // a string; "": well; "refuses", "hangs", or "loses the answer"
	ids   map[string]string
	heard []line
}

func (c *channel) publish(ctx context.Context, _ string, data line, id string) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	mode := c.mode.Load()
	switch mode {
	case "refuses":
		return errors.New("refused")
	case "hangs":
		<-ctx.Done()
		return ctx.Err()
	}
	if before, ok := c.ids[id]; !ok {
		c.ids[id] = string(text)
		var copied line
		if err := json.Unmarshal(text, &copied); err != nil {
			return err
		}
		c.heard = append(c.heard, copied)
	} else if before != string(text) {
		c.t.Errorf("publish id %s: first %s, then %s", id, before, text)
	}
	if mode == "loses the answer" {
		return errors.New("the answer was lost")
	}
	return nil
}

// numbers are what was heard, with what is lost before it in brackets.
func (c *channel) numbers() string {
	var all []string
	for _, l := range c.heard {
		word := fmt.Sprint(l["number"])
		if lost, ok := l["lost"]; ok {
			word = fmt.Sprintf("(%v)%s", lost, word)
		}
		all = append(all, word)
	}
	return strings.Join(all, " ")
}

// TestProducer says of each way to be away, for some seconds, what is heard.
func TestProducer(t *testing.T) {
	for _, tt := range []struct {
		mode    string
		seconds int
		want    string
	}{
		{"", 0, "1 2 3 4 5"},
		{"refuses", 1, "1 2 3 4 5 6"},
		{"refuses", 9, "1 2 3 4 5 6 7 8 9 10 11 12 13 14"},
		{"refuses", 10, "1 2 3 (1)5 6 7 8 9 10 11 12 13 14 15"},
		{"refuses", 60, "1 2 3 (51)55 56 57 58 59 60 61 62 63 64 65"},
		{"hangs", 5, "1 2 3 4 5 6 7 8 9 10"},
		{"hangs", 12, "1 2 3 (3)7 8 9 10 11 12 13 14 15 16 17"},
		{"loses the answer", 4, "1 2 3 4 5 6 7 8 9"},
	} {
		t.Run(fmt.Sprint(tt.mode, tt.seconds), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &channel{t: t, ids: map[string]string{}}
				c.mode.Store("")
				p := &producer{channel: "c", every: time.Second, content: hello, publish: c.publish, life: "life"}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					p.run(ctx)
				}()
				wait := func(d time.Duration) {
					time.Sleep(d)
					synctest.Wait()
				}
				wait(2500 * time.Millisecond)
				c.mode.Store(tt.mode)
				wait(time.Duration(tt.seconds) * time.Second)
				c.mode.Store("")
				wait(3 * time.Second)
				cancel()
				<-done
				if got := c.numbers(); got != tt.want {
					t.Errorf("heard %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// TestLost: what is announced as lost has not come through, also if Shaveet took
// the first line that it did not confirm.
func TestLost(t *testing.T) {
	c := &channel{t: t, ids: map[string]string{}}
	c.mode.Store("loses the answer")
	p := &producer{channel: "c", every: time.Minute, content: hello, publish: c.publish, life: "life"}
	for range kept + 3 {
		p.add()
		p.say(t.Context())
	}
	c.mode.Store("")
	p.say(t.Context())
	if got, want := c.numbers(), "1 (3)5 6 7 8 9 10 11 12 13"; got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
}

// roundTrip is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestRun: both producers say their lines in their time, and end with the
// context, also if Shaveet hangs.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := make(chan map[string]any, 100)
		var hang atomic.Bool
		app := New(Config{RPCURL: "http://shaveet.test/", Token: "secret", Client: &http.Client{
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.Header.Get("Authorization") != "Bearer secret" {
					t.Errorf("Authorization: %q", r.Header.Get("Authorization"))
				}
				if hang.Load() {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				var call struct{ Params map[string]any }
				if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
					t.Error(err)
				}
				heard <- call.Params
				return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{"result": {}}`))}, nil
			}),
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			app.Run(ctx)
		}()
		time.Sleep(10500 * time.Millisecond)
		synctest.Wait()
		hang.Store(true)
		time.Sleep(time.Second)
		cancel()
		<-done
		close(heard)
		checkHeard(t, heard)
	})
}

func checkHeard(t *testing.T, heard <-chan map[string]any) {
	t.Helper()
	numbers := map[string][]float64{}
	ids := map[any]bool{}
	for params := range heard {
		data := params["data"].(map[string]any)
		switch channel := params["channel"].(string); channel {
		case "stream:hello":
			numbers[channel] = append(numbers[channel], data["number"].(float64))
			if data["text"] != "Hello World" {
				t.Errorf("said: %v", data)
			}
		case "stream:random":
			numbers[channel] = append(numbers[channel], data["x"].(float64))
			if y := data["y"].(float64); !slices.Contains([]float64{1, 2, 3, 4, 5}, y) {
				t.Errorf("y is %v", y)
			}
		}
		if ids[params["publish_id"]] || data["producer"] == "" {
			t.Errorf("published: %v", params)
		}
		ids[params["publish_id"]] = true
	}
	for channel, want := range map[string]int{"stream:hello": 10, "stream:random": 21} {
		got := numbers[channel]
		for i, n := range got {
			if n != float64(i+1) {
				t.Errorf("%s: %v", channel, got)
				break
			}
		}
		if len(got) != want {
			t.Errorf("%s: %d lines in ten seconds and a half, want %d", channel, len(got), want)
		}
	}
}
