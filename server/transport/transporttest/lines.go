package transporttest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
)

// Lines dials readers of a stream that has one batch on each line.
func Lines(address string, ask Way) func(*http.Client, Start) Reader {
	return func(client *http.Client, start Start) Reader {
		return Streaming(start, func(ctx context.Context, s Start) (Stream, News, error) {
			return openLines(client, ask(address, s).WithContext(ctx))
		})
	}
}

// lines is a stream of batches.
type lines struct {
	body io.ReadCloser
	in   *bufio.Reader
}

func openLines(client *http.Client, r *http.Request) (Stream, News, error) {
	var none News
	resp, err := client.Do(r)
	if err != nil {
		return nil, none, err
	}
	if resp.StatusCode == http.StatusOK {
		return &lines{resp.Body, bufio.NewReader(resp.Body)}, none, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, none, err
	}
	news, err := Refused(resp.StatusCode, body)
	return nil, news, err
}

func (l *lines) Next() (News, error) {
	line, err := l.in.ReadBytes('\n')
	if err != nil {
		return News{}, err // what has no end has not come
	}
	return ParseBatch(bytes.TrimSuffix(line, []byte("\n")))
}

func (l *lines) Close() { l.body.Close() }
