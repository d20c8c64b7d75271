package transport

import (
	"unicode/utf16"
	"unicode/utf8"

	"github.com/shaveet/shaveet/server/hub"
)

// The wire forms messages are encoded in, each once per message.
const (
	FormLegacy       hub.Form = iota + 1 // [id, "text", publisher], as the pages of 2010 read it
	FormModern                           // an object on one line, as all other readers read it
	FormBatch                            // a batch: of a message, one that has nothing else
	FormEvent                            // an event of a text/event-stream
	FormDeflated                         // a WebSocket's frame with the same batch, deflated
	FormDeflatedMore                     // the same where something else is waiting
)

// Legacy returns m as the pages of 2010 read it: `[id, "text", publisher]` in
// pure ASCII, with spaces after commas and colons. The text is a string's
// content; of anything else it is the JSON, and of an event that of an object
// with event and args.
func Legacy(m *hub.Message) []byte { return m.Encoding(FormLegacy, encodeLegacy) }

// killedText is what old pages are told when a client is killed; they cannot
// tell it from one that was idle. Newer readers get a reason.
const killedText = `"{\"type\": \"unsubscribe\", \"gc\": true}"`

func encodeLegacy(m *hub.Message) []byte {
	b := make([]byte, 0, len(m.Data)+len(m.Sender)+len(m.Data)/8+len(m.Event)+64)
	b = append(b, '[')
	b = appendUint(b, m.ID)
	b = append(b, ", "...)
	switch {
	case m.Notice == hub.NoticeKilled:
		b = append(b, killedText...)
	case m.Event != "":
		b = appendQuoted(b, appendEvent(nil, m))
	case len(m.Data) > 0 && m.Data[0] == '"':
		b = AppendASCII(b, m.Data)
	default:
		b = appendQuoted(b, appendASCII(nil, m.Data, false))
	}
	b = append(b, ", "...)
	b = AppendASCII(b, m.Sender)
	return append(b, ']')
}

// appendEvent appends an event as JSON in pure ASCII.
func appendEvent(dst []byte, m *hub.Message) []byte {
	dst = append(dst, `{"event": `...)
	dst = appendASCII(dst, appendText(nil, m.Event), false)
	dst = append(dst, `, "args": `...)
	return append(appendASCII(dst, m.Data, false), '}')
}

func appendUint(b []byte, n uint64) []byte {
	if n >= 10 {
		b = appendUint(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

// AppendASCII appends the valid JSON value raw to dst in pure ASCII, spaced as
// the server of 2010 did it: one space after each comma and colon, none
// elsewhere. What is not ASCII becomes \u escapes, and so do <, > and &, which
// makes the result safe in a script. Escapes that are there already stay, lone
// surrogates too.
func AppendASCII(dst, raw []byte) []byte { return appendASCII(dst, raw, true) }

func appendASCII(dst, raw []byte, script bool) []byte {
	inString := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case inString && c == '\\':
			i++ // valid JSON: there is a next byte
			dst = append(dst, '\\', raw[i])
		case c == '"':
			inString = !inString
			dst = append(dst, c)
		case script && inString && (c == '<' || c == '>' || c == '&'):
			dst = appendEscape(dst, rune(c))
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(raw[i:])
			i += n - 1
			dst = appendEscaped(dst, r)
		case inString:
			dst = append(dst, c)
		case c == ',' || c == ':':
			dst = append(dst, c, ' ')
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendQuoted appends the ASCII text as a JSON string. It has no control
// characters, since it is JSON itself.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, c := range text {
		switch c {
		case '<', '>', '&':
			dst = appendEscape(dst, rune(c))
			continue
		case '"', '\\':
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// AppendString appends s as a JSON string in pure ASCII. Invalid UTF-8 becomes
// U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ' || r == '<' || r == '>' || r == '&' || r == 0x7f:
			dst = appendEscape(dst, r)
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		default:
			dst = appendEscaped(dst, r)
		}
	}
	return append(dst, '"')
}

// appendEscaped appends r as one \u escape, or as two if it needs a pair.
func appendEscaped(dst []byte, r rune) []byte {
	if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
		return appendEscape(appendEscape(dst, hi), lo)
	}
	return appendEscape(dst, r)
}

func appendEscape(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}
