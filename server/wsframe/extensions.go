package wsframe

import "strings"

// agree returns what is answered to the first offer of permessage-deflate that
// can be accepted; "" if there is none. An offer that makes no sense is
// declined like any other; one that cannot be read has no others behind it.
func agree(lines []string) string {
	offers := strings.Join(lines, ",")
	for offers != "" {
		var name string
		var params []param
		var ok bool
		if name, params, offers, ok = cutOffer(offers); !ok {
			return ""
		}
		if name == "permessage-deflate" {
			if answer := answerTo(params); answer != "" {
				return answer
			}
		}
	}
	return ""
}

// answerTo returns what accepts an offer of permessage-deflate with these
// parameters (RFC 7692, 7.1), or "". Neither side is to keep its window from
// message to message: ours would be too large to have one for each reader, and
// no frame could be shared.
func answerTo(params []param) string {
	answer := "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	seen := make(map[string]bool, len(params))
	for _, p := range params {
		if seen[p.name] {
			return ""
		}
		seen[p.name] = true
		switch p.name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if p.hasValue {
				return ""
			}
		case "client_max_window_bits":
			if p.hasValue && !validBits(p.value) {
				return ""
			}
		case "server_max_window_bits":
			if p.value != "15" {
				return "" // the window of compress/flate cannot be smaller
			}
			answer += "; server_max_window_bits=15"
		default:
			return ""
		}
	}
	return answer
}

func validBits(s string) bool {
	return s == "8" || s == "9" || len(s) == 2 && s[0] == '1' && '0' <= s[1] && s[1] <= '5'
}

type param struct {
	name, value string
	hasValue    bool
}

// cutOffer cuts the first offer off s, which is a list of them: a name and
// parameters, each behind a semicolon. Values may be quoted.
func cutOffer(s string) (name string, params []param, rest string, ok bool) {
	name, s = cutToken(s)
	if name == "" {
		// Empty elements are allowed in lists.
		rest, ok = strings.CutPrefix(s, ",")
		return "", nil, rest, ok || s == ""
	}
	for {
		var more bool
		if s, more = strings.CutPrefix(s, ";"); !more {
			break
		}
		var p param
		if p.name, s = cutToken(s); p.name == "" {
			return "", nil, "", false
		}
		if s, p.hasValue = strings.CutPrefix(s, "="); p.hasValue {
			if p.value, s, ok = cutValue(s); !ok {
				return "", nil, "", false
			}
		}
		params = append(params, p)
	}
	rest, ok = strings.CutPrefix(s, ",")
	return name, params, rest, ok || s == ""
}

// cutToken cuts a token with the space around it off s.
func cutToken(s string) (t, rest string) {
	s = strings.TrimLeft(s, " \t")
	n := 0
	for n < len(s) && token(s[n:n+1]) {
		n++
	}
	return s[:n], strings.TrimLeft(s[n:], " \t")
}

// cutValue cuts a value off s: a token, which may stand in quotes.
func cutValue(s string) (value, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	s, quoted := strings.CutPrefix(s, `"`)
	if !quoted {
		value, rest = cutToken(s)
		return value, rest, value != ""
	}
	value, rest, ok = strings.Cut(s, `"`)
	return value, strings.TrimLeft(rest, " \t"), ok && token(value)
}
