package transporttest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/shaveet/shaveet/server/hub"
)

// A Way is how a request says who reads, and where from.
type Way func(address string, s Start) *http.Request

// Ways are all there are.
var Ways = map[string]Way{"by POST": ByPost, "by query": ByQuery, "by header": ByHeader}

// ByPost says everything in the body.
func ByPost(address string, s Start) *http.Request {
	said := map[string]any{}
	var clients []map[string]string
	for _, c := range s.Clients {
		clients = append(clients, map[string]string{"id": c.ID, "key": c.Key})
	}
	said["clients"] = clients
	if s.Cursor != "" {
		said["cursor"] = s.Cursor
	}
	if s.Session != "" {
		said["session"] = s.Session
	}
	body, err := json.Marshal(said)
	if err != nil {
		panic(err)
	}
	return request(http.MethodPost, address, string(body))
}

// ByQuery says everything in the query.
func ByQuery(address string, s Start) *http.Request {
	q := place(s)
	for _, c := range s.Clients {
		q.Add("client_id", c.ID+hub.Delimiter+c.Key)
	}
	return request(http.MethodGet, address+"?"+q.Encode(), "")
}

// ByHeader says in the header who reads, and in the query where from.
func ByHeader(address string, s Start) *http.Request {
	var tokens []string
	for _, c := range s.Clients {
		tokens = append(tokens, url.PathEscape(c.ID)+hub.Delimiter+url.PathEscape(c.Key))
	}
	r := request(http.MethodGet, address+"?"+place(s).Encode(), "")
	r.Header.Set("Authorization", "Shaveet "+strings.Join(tokens, ", "))
	return r
}

// place says where the reader is, as a query.
func place(s Start) url.Values {
	q := url.Values{}
	if s.Cursor != "" {
		q.Set("cursor", s.Cursor)
	}
	if s.Session != "" {
		q.Set("session", s.Session)
	}
	return q
}

func request(method, url, body string) *http.Request {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	return r
}

// Refused reads what is answered to a reader that is not let in: a batch, if its
// clients are gone, or an error.
func Refused(status int, body []byte) (News, error) {
	var answer struct {
		Error struct {
			Code    int
			Message string
		}
	}
	if status == http.StatusNotFound {
		if news, err := ParseBatch(body); err == nil {
			return news, ErrGone
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return News{}, err
	}
	if answer.Error.Code == http.StatusBadRequest {
		return News{}, ErrInvalid
	}
	return News{}, &Refusal{answer.Error.Code, answer.Error.Message}
}

// A Refusal is an error that a server has answered with.
type Refusal struct {
	Code    int
	Message string
}

func (r *Refusal) Error() string { return r.Message }
