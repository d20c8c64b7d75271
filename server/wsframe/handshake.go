package wsframe

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"strings"
)

// A Handshake is a request for a WebSocket, as it should be.
type Handshake struct {
	Protocols []string // the subprotocols the client speaks, those it likes best first

	key     string
	deflate string // what the answer says of permessage-deflate; "" if it cannot be agreed on
}

// Deflates reports whether permessage-deflate can be agreed on: the client
// offers it, and asks for nothing that is not done here.
func (h *Handshake) Deflates() bool { return h.deflate != "" }

// A Refusal is why a request is no handshake.
type Refusal struct {
	Status int    // of HTTP: 400, 405 or 426
	Text   string // one sentence for people
}

func (r *Refusal) Error() string { return r.Text }

// Header sets what the answer to such a request has to say beside its status.
func (r *Refusal) Header(h http.Header) {
	switch r.Status {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodGet)
	case http.StatusUpgradeRequired:
		h.Set("Upgrade", "websocket")
		h.Set("Connection", "Upgrade")
		h.Set("Sec-WebSocket-Version", version)
	}
}

// version is the version of the protocol, of which there is one.
const version = "13"

// ReadHandshake reads a handshake from r. The error is a [*Refusal]. Whose page
// asks is not looked at.
func ReadHandshake(r *http.Request) (Handshake, error) {
	var h Handshake
	refuse := func(status int, text string) (Handshake, error) { return h, &Refusal{status, text} }
	key := r.Header["Sec-Websocket-Key"]
	versions := r.Header["Sec-Websocket-Version"]
	switch {
	case r.Method != http.MethodGet:
		return refuse(http.StatusMethodNotAllowed, "a WebSocket begins with a GET request")
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return refuse(http.StatusBadRequest, "a WebSocket needs HTTP/1.1")
	case !listed(r.Header["Upgrade"], "websocket"):
		return refuse(http.StatusUpgradeRequired, "this is for WebSockets")
	case !listed(r.Header["Connection"], "upgrade"):
		return refuse(http.StatusBadRequest, "the header Connection does not name Upgrade")
	case len(versions) != 1 || versions[0] != version:
		return refuse(http.StatusUpgradeRequired, "Sec-WebSocket-Version must be 13")
	case len(key) != 1 || !validKey(key[0]):
		return refuse(http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in Base64, once")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		// What is a body for one may be frames for another.
		return refuse(http.StatusBadRequest, "the request must not have a body")
	}
	h.key = key[0]
	for _, name := range elements(r.Header["Sec-Websocket-Protocol"]) {
		if !token(name) {
			return refuse(http.StatusBadRequest, "Sec-WebSocket-Protocol must be a list of names")
		}
		h.Protocols = append(h.Protocols, name)
	}
	h.deflate = agree(r.Header["Sec-Websocket-Extensions"])
	return h, nil
}

// Accept sets the headers of the answer, which has the status 101. protocol is
// one of those the client speaks, or "" for none. deflate, for which h must say
// that it can be agreed on, agrees on permessage-deflate.
func (h *Handshake) Accept(header http.Header, protocol string, deflate bool) {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, 1.3
	sum := sha1.Sum([]byte(h.key + guid))
	header.Set("Upgrade", "websocket")
	header.Set("Connection", "Upgrade")
	header.Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	if protocol != "" {
		header.Set("Sec-WebSocket-Protocol", protocol)
	}
	if deflate {
		header.Set("Sec-WebSocket-Extensions", h.deflate)
	}
}

func validKey(key string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(key)
	return err == nil && len(b) == 16 && len(key) == 24 // no line breaks inside
}

// elements returns the elements of a header that is a list. Empty ones do not
// count.
func elements(lines []string) []string {
	var all []string
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if element = strings.Trim(element, " \t"); element != "" {
				all = append(all, element)
			}
		}
	}
	return all
}

// listed reports whether a header that is a list has the element, in whatever
// case.
func listed(lines []string, element string) bool {
	for _, e := range elements(lines) {
		if strings.EqualFold(e, element) {
			return true
		}
	}
	return false
}

// token reports whether s is a token of HTTP.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
