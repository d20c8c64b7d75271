package transport

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/hub"
)

// A Hello is what a reader says when it comes: for whom it reads, and from
// where on.
type Hello struct {
	Clients []hub.Credentials
	At      hub.Position  // where it was; zero: nowhere yet
	Now     bool          // it wants to begin at the top instead
	Session string        // its name for itself, "" if it has none
	Wait    time.Duration // how long it wants to be held at most; [NoWait] if it did not say
}

// NoWait is the Wait of a reader that has not said any.
const NoWait time.Duration = -1

// Start says the hub where the session of a reader begins that has come by the
// transport of this name.
func (h *Hello) Start(transport string) hub.Start {
	return hub.Start{At: h.At, Now: h.Now, Session: h.Session, Transport: transport}
}

// HelloLimits bound what a reader may say.
type HelloLimits struct {
	Clients int   // clients to read for
	Body    int64 // bytes of a body
}

// ReadHello reads what r says, whose query string is query. Credentials come
// by the header Authorization, by the body of a POST or by the query; the rest
// by the query or the body; each from one of them only. The body, if there may
// be one, is read to its end. The error is a [*Refusal]; it names what is
// wrong and repeats nothing that might be a secret.
func ReadHello(r *http.Request, query url.Values, l HelloLimits) (Hello, error) {
	said, err := readBody(r, l)
	if err != nil {
		return Hello{}, err
	}
	if err := said.readQuery(query, l); err != nil {
		return Hello{}, err
	}
	if err := said.readHeader(r.Header, l); err != nil {
		return Hello{}, err
	}
	return said.hello()
}

// ParseHello reads a Hello from JSON: {"clients": [{"id", "key"}], "session",
// "cursor", "wait"}. Other members are passed over. The error is a [*Refusal].
func ParseHello(body []byte, l HelloLimits) (Hello, error) {
	var said saying
	if err := said.readJSON(body, l); err != nil {
		return Hello{}, err
	}
	return said.hello()
}

// ParseCursor reads a cursor: a position, or the word now.
func ParseCursor(s string) (at hub.Position, now bool, err error) {
	if s == "now" {
		return hub.Position{}, true, nil
	}
	at, err = hub.ParsePosition(s)
	if err != nil {
		return hub.Position{}, false, invalid("cursor: must be a position or \"now\"")
	}
	return at, false, nil
}

// readBody reads what a POST says in its body. Others have none: what nobody
// reads hides from us that the peer has gone, and it may be a second request
// that somebody has smuggled in.
func readBody(r *http.Request, l HelloLimits) (saying, error) {
	var said saying
	if r.ContentLength == 0 {
		return said, nil
	}
	if r.Method != http.MethodPost {
		return said, invalid("a %s request must not have a body", r.Method)
	}
	tooLarge := &Refusal{Status: http.StatusRequestEntityTooLarge, Type: "too_large", Message: "the body is too large"}
	if r.ContentLength > l.Body {
		return said, tooLarge
	}
	// To the end: only then net/http looks out for the peer hanging up.
	body, err := io.ReadAll(io.LimitReader(r.Body, l.Body+1))
	switch {
	case err != nil:
		return said, invalid("the body has not come whole")
	case int64(len(body)) > l.Body:
		return said, tooLarge
	case len(body) == 0: // of an empty chunked one the length was not known
		return said, nil
	}
	return said, said.readJSON(body, l)
}

// A saying is a Hello in the making. What has not been said is nil.
type saying struct {
	clients               []hub.Credentials
	cursor, session, wait *string
}

func (s *saying) readQuery(query url.Values, l HelloLimits) error {
	for _, f := range []struct {
		name  string
		field **string
	}{{"cursor", &s.cursor}, {"session", &s.session}, {"wait", &s.wait}} {
		values := query[f.name]
		switch {
		case len(values) == 0:
		case len(values) > 1 || *f.field != nil:
			return invalid("%s: must be given once", f.name)
		default:
			*f.field = &values[0]
		}
	}
	tokens := query["client_id"]
	if len(tokens) == 0 {
		return nil
	}
	return s.readTokens("client_id", tokens, l)
}

// readHeader reads the credentials in an Authorization header of our own
// scheme. Those of others are for somebody else, a proxy perhaps.
func (s *saying) readHeader(header http.Header, l HelloLimits) error {
	for _, value := range header["Authorization"] {
		scheme, list, _ := strings.Cut(value, " ")
		if !strings.EqualFold(scheme, "Shaveet") {
			continue
		}
		tokens := strings.Split(list, ",")
		for i, t := range tokens {
			var err error
			if tokens[i], err = url.PathUnescape(strings.TrimSpace(t)); err != nil {
				return invalid("Authorization: a token is not percent-encoded")
			}
		}
		if err := s.readTokens("Authorization", tokens, l); err != nil {
			return err
		}
	}
	return nil
}

func (s *saying) readTokens(from string, tokens []string, l HelloLimits) error {
	if s.clients != nil {
		return invalid("%s: credentials must come from one place only", from)
	}
	if len(tokens) > l.Clients {
		return tooManyClients(l)
	}
	s.clients = make([]hub.Credentials, len(tokens))
	for i, t := range tokens {
		c, ok := ParseToken(t)
		if !ok {
			return invalid("%s: a token must be an id, %q and a key", from, hub.Delimiter)
		}
		s.clients[i] = c
	}
	return nil
}

func tooManyClients(l HelloLimits) error {
	return invalid("there must be credentials for 1 to %d clients", l.Clients)
}

// hello checks what has been said.
func (s *saying) hello() (Hello, error) {
	h := Hello{Clients: s.clients, Wait: NoWait}
	if len(h.Clients) == 0 {
		return Hello{}, invalid("there must be credentials for at least one client")
	}
	var err error
	if s.cursor != nil {
		if h.At, h.Now, err = ParseCursor(*s.cursor); err != nil {
			return Hello{}, err
		}
	}
	if s.session != nil {
		if !validSession(*s.session) {
			return Hello{}, invalid("session: must be 1 to %d characters of A-Z a-z 0-9 - _", maxSession)
		}
		h.Session = strings.Clone(*s.session) // and not the whole request that it is part of
	}
	if s.wait != nil {
		if h.Wait, err = parseWait(*s.wait); err != nil {
			return Hello{}, err
		}
	}
	return h, nil
}

// maxSession is how long the name of a session may be.
const maxSession = 64

func validSession(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(letter(c) && c != '$') && !digit(c) && c != '-' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= maxSession
}

// longestWait is what longer ones are cut to; no server holds that long.
const longestWait = 24 * time.Hour

// parseWait reads a decimal number of milliseconds, of any length.
func parseWait(s string) (time.Duration, error) {
	var wait time.Duration
	for i := range len(s) {
		if !digit(s[i]) {
			return 0, invalid("wait: must be a whole number of milliseconds")
		}
		wait = min(wait*10+time.Duration(s[i]-'0')*time.Millisecond, longestWait)
	}
	if s == "" {
		return 0, invalid("wait: must be a whole number of milliseconds")
	}
	return wait, nil
}
