// Package transport has what the transports share: how a reader says who it is
// and where it was, the wire forms of what it receives, and how it is refused.
package transport

import (
	"strings"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
)

// ParseToken splits a token, an id and a key joined by [hub.Delimiter]. It
// reports false unless the delimiter is there exactly once and all is UTF-8.
// Whether id and key are any good is for the hub to say.
func ParseToken(token string) (hub.Credentials, bool) {
	id, key, found := strings.Cut(token, hub.Delimiter)
	if !found || strings.Contains(key, hub.Delimiter) || !utf8.ValidString(token) {
		return hub.Credentials{}, false
	}
	return hub.Credentials{ID: id, Key: key}, true
}
