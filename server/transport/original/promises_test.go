package original_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/original"
	"github.com/shaveet/shaveet/server/transport/transporttest"
)

func TestPromises(t *testing.T) {
	transporttest.Run(t, transporttest.Transport{
		Handler: func(h *hub.Hub, lot *park.Lot, _ context.Context) http.Handler {
			return original.New(h, original.Options{Lot: lot})
		},
		Dial: func(client *http.Client, start transporttest.Start) transporttest.Reader {
			q := url.Values{"callback": {"cb"}}
			for _, c := range start.Clients {
				q.Add("client_id", c.ID+hub.Delimiter+c.Key)
			}
			return &page{client, "http://shaveet/message_updates?" + q.Encode()}
		},
	})
}

// A page polls as the script of 2010 does.
type page struct {
	client *http.Client
	url    string
}

func (p *page) Read(ctx context.Context) (transporttest.News, error) {
	var none transporttest.News
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return none, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return none, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return none, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return none, transporttest.ErrGone
	default:
		return none, fmt.Errorf("%s: %s", resp.Status, body)
	}
	all, err := parseNews(string(body))
	if err != nil {
		return none, errors.Join(errors.New("half an answer"), err)
	}
	var got transporttest.News
	for channel, lines := range all {
		for _, l := range lines {
			if s, ok := presence(channel, l); ok {
				got.Signals = append(got.Signals, s)
				continue
			}
			got.Messages = append(got.Messages, transporttest.Message{
				Channel: channel, ID: l.ID, Text: l.Text, Sender: string(l.Sender)})
		}
	}
	return got, nil
}

// presence tells a notice from a message by its words, as a page has to.
func presence(channel string, l line) (s transporttest.Signal, ok bool) {
	s = transporttest.Signal{Type: "presence", Channel: channel, ID: l.ID}
	var who string
	if json.Unmarshal(l.Sender, &who) != nil {
		return s, false
	}
	switch l.Text {
	case `{"type": "subscribe"}`:
		s.Joined = who
	case `{"type": "unsubscribe", "gc": false}`:
		s.Left, s.Reason = who, "unsubscribed"
	case `{"type": "unsubscribe", "gc": true}`:
		s.Left, s.Reason = who, "idle"
	default:
		return s, false
	}
	return s, true
}

func (p *page) Close() {}
