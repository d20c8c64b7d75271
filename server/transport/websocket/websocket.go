// Package websocket is the WebSocket for readers that hold their own position:
// text frames, each with one batch. What a reader has to say it says when it
// comes, by the request or by its first message; afterwards it only answers
// pings.
package websocket

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/shaveet/shaveet/server/hub"
	"github.com/shaveet/shaveet/server/transport"
	"github.com/shaveet/shaveet/server/wsframe"
)

// Options are what a [Handler] can be told. Zero fields mean the defaults.
type Options struct {
	transport.Options
	HelloTimeout time.Duration // how long a reader may take to say who it is; default 10 s
	MaxFrames    int           // frames a second that a reader may send, and at once; default 100
	Compression  bool          // agree on permessage-deflate with readers that offer it
}

// A Handler begins WebSockets. See docs/protocol.md for what it speaks. Which
// pages may use it is not its business.
type Handler struct {
	host         *transport.Host
	began        time.Time
	helloTimeout time.Duration
	frameTime    time.Duration // between two frames of one who sends as many as it may in a second
	maxFrames    int
	compression  bool
	hello        wsframe.Limits // of the first message, if that is the hello
}

// New returns a handler that reads from h.
func New(h *hub.Hub, opts Options) *Handler {
	if opts.HelloTimeout == 0 {
		opts.HelloTimeout = 10 * time.Second
	}
	if opts.MaxFrames == 0 {
		opts.MaxFrames = 100
	}
	host := transport.NewHost(h, opts.Options)
	return &Handler{
		host:         host,
		began:        time.Now().Add(-time.Second), // who comes at once has all its quota, too
		helloTimeout: opts.HelloTimeout,
		frameTime:    time.Second / time.Duration(opts.MaxFrames),
		maxFrames:    opts.MaxFrames,
		compression:  opts.Compression,
		hello:        wsframe.Limits{Message: int(host.MaxBody)}.WithDefaults(),
	}
}

// protocol is the subprotocol that is spoken, and authPrefix begins those that
// are none: pages can add no header, but a token may be part of a name.
const (
	protocol   = "shaveet.v1"
	authPrefix = "shaveet.auth."
)

// ServeHTTP begins one WebSocket. What is wrong with the reader it is told once
// the WebSocket stands: a browser does not show a page any other answer.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shake, err := wsframe.ReadHandshake(r)
	if err != nil {
		refuse(w, r, err)
		return
	}
	selected, tokens := "", []string(nil)
	for _, name := range shake.Protocols {
		if token, ok := strings.CutPrefix(name, authPrefix); ok {
			tokens = append(tokens, token)
		} else if name == protocol {
			selected = protocol
		}
	}
	deflate := h.compression && shake.Deflates()
	c := &conn{handler: h, deflate: deflate, reader: wsframe.NewReader(&h.hello, deflate)}
	hello, said, err := h.read(r, tokens)
	due := h.helloTimeout
	switch {
	case err != nil:
		c.refuse(r.Context(), err)
	case said:
		c.greet(hello)
		c.attach(r.Context())
		due = c.beat
	}
	accepted := make(http.Header)
	shake.Accept(accepted, selected, deflate)
	for name, values := range accepted {
		w.Header()[name] = values
	}
	if err := h.host.Lot.Upgrade(&c.Conn, w, r, c, due); err != nil {
		for name := range accepted {
			w.Header().Del(name)
		}
		c.Closed(err)
		h.host.Refuse(w, r, nil, err)
	}
}

// refuse answers a request that is no handshake.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal := transport.RefusalOf(err, 0)
	if bad, ok := errors.AsType[*wsframe.Refusal](err); ok {
		bad.Header(w.Header())
		refusal = &transport.Refusal{Status: bad.Status, Type: refusalTypes[bad.Status], Message: bad.Text}
	}
	if r.ContentLength != 0 && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // what is left of a body is not worth reading
	}
	transport.JSON(w, refusal.Status, refusal.Body())
}

var refusalTypes = map[int]string{
	http.StatusBadRequest:       "invalid_request",
	http.StatusMethodNotAllowed: "method_not_allowed",
	http.StatusUpgradeRequired:  "upgrade_required",
}

// read reads the hello if the request says anything of one. tokens are those
// among the names of its subprotocols.
func (h *Handler) read(r *http.Request, tokens []string) (hello transport.Hello, said bool, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return hello, true, invalid("the query string cannot be read")
	}
	for _, name := range []string{"client_id", "cursor", "session", "wait"} {
		said = said || query.Has(name)
	}
	for _, value := range r.Header["Authorization"] {
		scheme, _, _ := strings.Cut(value, " ")
		said = said || strings.EqualFold(scheme, "Shaveet")
	}
	if len(tokens) > 0 {
		said = true
		if r, err = withTokens(r, tokens); err != nil {
			return hello, true, err
		}
	}
	if !said {
		return hello, false, nil
	}
	hello, err = transport.ReadHello(r, query, h.host.Limits())
	return hello, true, err
}

// withTokens returns r with the tokens, which are in Base64, in the header that
// other readers have them in.
func withTokens(r *http.Request, tokens []string) (*http.Request, error) {
	list := make([]string, len(tokens))
	for i, t := range tokens {
		plain, err := base64.RawURLEncoding.Strict().DecodeString(t)
		if err != nil || strings.ContainsAny(string(plain), ", \t") {
			return nil, invalid("Sec-WebSocket-Protocol: " + authPrefix + " must be followed by a token in URL-safe Base64")
		}
		list[i] = string(plain)
	}
	with := new(http.Request)
	*with = *r
	with.Header = r.Header.Clone()
	with.Header.Add("Authorization", "Shaveet "+strings.Join(list, ", "))
	return with, nil
}

func invalid(message string) error {
	return &transport.Refusal{Status: http.StatusBadRequest, Type: "invalid_request", Message: message}
}
