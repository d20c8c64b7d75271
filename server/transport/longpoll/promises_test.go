package longpoll_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/park"
	"github.com/shaveet/shaveet/server/transport/longpoll"
	"github.com/shaveet/shaveet/server/transport/transporttest"
)

// ways are the ways to poll.
var ways = map[string]func(*page) *http.Request{
	"by POST":   (*page).post,
	"by query":  (*page).query,
	"by header": (*page).header,
	"by JSONP":  (*page).jsonp,
}

func by(ask func(*page) *http.Request) transporttest.Transport {
	return transporttest.Transport{
		Handler: func(h *hub.Hub, drain context.Context) http.Handler {
			return longpoll.New(h, holding(park.Options{Drain: drain}))
		},
		Dial: func(client *http.Client, start transporttest.Start) transporttest.Reader {
			return &page{client: client, ask: ask, Start: start}
		},
		Positions: true,
	}
}

func TestPromises(t *testing.T) {
	for name, ask := range ways {
		t.Run(name, func(t *testing.T) { transporttest.Run(t, by(ask)) })
	}
}

func TestMoves(t *testing.T) { transporttest.RunMoves(t, by((*page).post), by((*page).jsonp)) }

// A page polls and holds its cursor.
type page struct {
	transporttest.Start
	client *http.Client
	ask    func(*page) *http.Request
}

func (p *page) Close() {}

func (p *page) Read(ctx context.Context) (transporttest.News, error) {
	var none transporttest.News
	if len(p.Clients) == 0 {
		return none, transporttest.ErrGone
	}
	resp, err := p.client.Do(p.ask(p).WithContext(ctx))
	if err != nil {
		return none, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return none, err
	}
	if body, err = unwrap(body, resp.Header.Get("Content-Type")); err != nil {
		return none, err
	}
	if code, message := fault(body); code != 0 {
		if code == http.StatusBadRequest {
			return none, transporttest.ErrInvalid
		}
		return none, fmt.Errorf("%d: %s", code, message)
	}
	return p.take(body)
}

// take goes on from where the batch ends.
func (p *page) take(body []byte) (transporttest.News, error) {
	news, err := transporttest.ParseBatch(body)
	if err != nil {
		return news, err
	}
	gone := func(c hub.Credentials) bool {
		return slices.ContainsFunc(news.Signals, func(s transporttest.Signal) bool { return s.Type == "gone" && s.Client == c.ID })
	}
	p.Clients = slices.DeleteFunc(slices.Clone(p.Clients), gone)
	if news.Cursor != "" {
		p.Cursor = news.Cursor
	} else if len(news.Signals) > 0 {
		err = transporttest.ErrGone
	}
	return news, err
}

// unwrap takes the call of the callback off, if there is one.
func unwrap(body []byte, mediaType string) ([]byte, error) {
	if mediaType == "application/json" {
		return body, nil
	}
	inner, front := bytes.CutPrefix(body, []byte("/**/cb("))
	inner, back := bytes.CutSuffix(inner, []byte(");"))
	if !front || !back {
		return nil, fmt.Errorf("not a call: %q", body)
	}
	return inner, nil
}

// fault reads an error.
func fault(body []byte) (code int, message string) {
	var answer struct {
		Error struct {
			Code    int
			Message string
		}
	}
	if json.Unmarshal(body, &answer) != nil {
		return 0, ""
	}
	return answer.Error.Code, answer.Error.Message
}

const address = "http://shaveet/longpoll"

// post says everything in the body.
func (p *page) post() *http.Request {
	said := map[string]any{}
	var clients []map[string]string
	for _, c := range p.Clients {
		clients = append(clients, map[string]string{"id": c.ID, "key": c.Key})
	}
	said["clients"] = clients
	if p.Cursor != "" {
		said["cursor"] = p.Cursor
	}
	if p.Session != "" {
		said["session"] = p.Session
	}
	body, err := json.Marshal(said)
	if err != nil {
		panic(err)
	}
	return request(http.MethodPost, address, string(body))
}

// place says where the page is, as a query.
func (p *page) place() url.Values {
	q := url.Values{}
	if p.Cursor != "" {
		q.Set("cursor", p.Cursor)
	}
	if p.Session != "" {
		q.Set("session", p.Session)
	}
	return q
}

func (p *page) query() *http.Request {
	q := p.place()
	for _, c := range p.Clients {
		q.Add("client_id", c.ID+hub.Delimiter+c.Key)
	}
	return request(http.MethodGet, address+"?"+q.Encode(), "")
}

func (p *page) jsonp() *http.Request {
	r := p.query()
	r.URL.RawQuery += "&callback=cb"
	return r
}

// header says in the header who the page is, and in the query where.
func (p *page) header() *http.Request {
	var tokens []string
	for _, c := range p.Clients {
		tokens = append(tokens, url.PathEscape(c.ID)+hub.Delimiter+url.PathEscape(c.Key))
	}
	r := request(http.MethodGet, address+"?"+p.place().Encode(), "")
	r.Header.Set("Authorization", "Shaveet "+strings.Join(tokens, ", "))
	return r
}

func request(method, url, body string) *http.Request {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	return r
}
