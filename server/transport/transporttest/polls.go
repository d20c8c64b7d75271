package transporttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// Polls dials readers that poll, each time when they are asked to read; by
// JSONP if there is a callback.
func Polls(address, callback string, ask Way) func(*http.Client, Start) Reader {
	return func(client *http.Client, start Start) Reader {
		return &polling{Start: start, client: client, address: address, callback: callback, ask: ask}
	}
}

type polling struct {
	Start
	client            *http.Client
	address, callback string
	ask               Way
}

func (p *polling) Close() {}

func (p *polling) Read(ctx context.Context) (News, error) {
	if len(p.Clients) == 0 {
		return News{}, ErrGone
	}
	r := p.ask(p.address, p.Start)
	if p.callback != "" {
		r.URL.RawQuery += "&callback=" + p.callback
	}
	resp, err := p.client.Do(r.WithContext(ctx))
	if err != nil {
		return News{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return News{}, err
	}
	if body, err = p.unwrap(body, resp.Header.Get("Content-Type")); err != nil {
		return News{}, err
	}
	news, err := ParseBatch(body)
	if err != nil {
		return Refused(resp.StatusCode, body)
	}
	return news, p.take(news)
}

// unwrap takes the call of the callback off, if there is to be one.
func (p *polling) unwrap(body []byte, mediaType string) ([]byte, error) {
	if p.callback == "" {
		if mediaType != "application/json" {
			return nil, fmt.Errorf("the answer is %s", mediaType)
		}
		return body, nil
	}
	inner, front := bytes.CutPrefix(body, []byte("/**/"+p.callback+"("))
	inner, back := bytes.CutSuffix(inner, []byte(");"))
	if !front || !back {
		return nil, fmt.Errorf("not a call: %q", body)
	}
	return inner, nil
}

// take goes on from where the news end. News without a position are the last.
func (p *polling) take(news News) error {
	p.Clients = news.without(p.Clients)
	if news.Cursor != "" {
		p.Cursor = news.Cursor
	} else if len(news.Signals) > 0 {
		return ErrGone
	}
	return nil
}
