package longpoll_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport/longpoll"
	"github.com/shaveet/shaveet/server/transport/transporttest"
)

func TestPromises(t *testing.T) {
	transporttest.Run(t, transporttest.Transport{
		Handler: func(h *hub.Hub, drain context.Context) http.Handler {
			return longpoll.New(h, longpoll.Options{Drain: drain})
		},
		Dial: func(client *http.Client, creds []hub.Credentials) transporttest.Reader {
			q := url.Values{"callback": {"cb"}}
			for _, c := range creds {
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

func (p *page) Read(ctx context.Context) ([]transporttest.Message, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, transporttest.ErrGone
	default:
		return nil, fmt.Errorf("%s: %s", resp.Status, body)
	}
	all, err := parseNews(string(body))
	if err != nil {
		return nil, errors.Join(errors.New("half an answer"), err)
	}
	var got []transporttest.Message
	for channel, lines := range all {
		for _, l := range lines {
			got = append(got, transporttest.Message{Channel: channel, ID: l.ID, Text: l.Text, Sender: string(l.Sender)})
		}
	}
	return got, nil
}

func (p *page) Close() {}
