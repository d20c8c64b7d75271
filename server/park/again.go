package park

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"net/http"
)

// A Regular is a tenant of a poll whose peer will ask again by the same request,
// to the byte, but for the value of one parameter. Where that is seen, the tenant
// is asked itself to hold the next poll, too, and not the handler from which it
// came: to read and judge a request costs more than all else about a poll.
type Regular interface {
	Tenant
	// Moving returns the name of the parameter, of the query or of a body in
	// JSON, and what its value was, which must be of letters, digits, points,
	// underscores and hyphens. A parameter without a value may have any, or may
	// not be there: it means nothing. Without a name the requests are the same.
	Moving() (name, value string)
	// Again begins the next poll, for which all is as it was for the one before,
	// but for the value, which is lent. It comes after Closed. false: nothing has
	// happened, and the handler is asked.
	Again(value []byte) bool
}

// again is by what the next request of a peer is recognized.
type again struct {
	tenant Regular
	begun  func()   // told of it
	age    uint32   // of the lot, before the handler was asked
	at, n  int32    // where the moving value stands in the request, and how long it is
	length int32    // of the request
	sum    [16]byte // of all the rest of it
}

// learn returns by what the next request will be recognized that is like this one,
// or nil if there might be doubts. w is where it is answered.
func learn(request []byte, t Tenant, age uint32, w http.ResponseWriter) *again {
	regular, ok := t.(Regular)
	if !ok || len(request) == 0 {
		return nil
	}
	at, n, ok := moving(request, regular)
	if !ok {
		return nil
	}
	a := &again{tenant: regular, begun: func() {}, age: age, at: int32(at), n: int32(n), length: int32(len(request))}
	if v := witnessOf(w); v != nil {
		a.begun = v.Again()
	}
	a.sum = a.sumOf(request, newSummer())
	return a
}

// sumOf is the same for requests that differ in the value only. Nobody can make
// another one for which it is.
func (a *again) sumOf(request []byte, s *summer) (sum [16]byte) {
	s.Reset()
	s.Write(request[:a.at])
	s.Write(request[a.at+a.n:])
	copy(sum[:], s.Sum(s.space[:0]))
	return sum
}

// A summer is what it takes to make a sum.
type summer struct {
	hash.Hash
	space [sha256.Size]byte
}

func newSummer() *summer { return &summer{Hash: sha256.New()} }

// recognize returns the value in what has come, if it begins with a request like
// the one before, and what stands behind that.
func (a *again) recognize(came []byte, s *summer) (value, rest []byte, ok bool) {
	if len(came) < int(a.length) {
		return nil, nil, false
	}
	request := came[:a.length]
	value = request[a.at : a.at+a.n]
	return value, came[a.length:], (a.n == 0 || isValue(value)) && a.sumOf(request, s) == a.sum
}

// moving finds the one place at which the moving parameter's value stands, and how
// long it is: nothing, if there is none and need not be.
func moving(request []byte, t Regular) (at, n int, ok bool) {
	name, value := t.Moving()
	if name == "" {
		return 0, 0, true
	}
	head, body, _ := bytes.Cut(request, []byte("\r\n\r\n"))
	method, rest, _ := bytes.Cut(head, []byte{' '})
	target, _, _ := bytes.Cut(rest, []byte{' '})
	values := inQuery(nil, target, len(method)+1, name)
	if string(method) == http.MethodPost {
		values = inBody(values, body, len(request)-len(body), name)
	}
	switch {
	case len(values) == 0 && value == "":
		return 0, 0, true
	case len(values) != 1:
		return 0, 0, false
	}
	is := request[values[0].at:values[0].end]
	return values[0].at, len(is), isValue(is) && (value == "" || value == string(is))
}

// A span is a part of a request.
type span struct{ at, end int }

// inQuery appends where the values of a parameter stand, and two empty spans for a
// query that may hide its name, so that it has not one value. from is where the
// target stands.
func inQuery(dst []span, target []byte, from int, name string) []span {
	path, query, _ := bytes.Cut(target, []byte{'?'})
	from += len(path) + 1
	for len(query) > 0 {
		part, more, _ := bytes.Cut(query, []byte{'&'})
		key, _, _ := bytes.Cut(part, []byte{'='})
		switch {
		case bytes.ContainsAny(key, "%+;"):
			return append(dst, span{}, span{})
		case string(key) == name:
			dst = append(dst, span{min(from+len(key)+1, from+len(part)), from + len(part)})
		}
		from += len(part) + 1
		query = more
	}
	return dst
}

// inBody appends where the strings stand that are the values of a member of the
// object that the body is: an empty span for a value that is no string, and two of
// them for a body that may hide the name. from is where the body stands.
func inBody(dst []span, body []byte, from int, name string) []span {
	hidden := append(dst, span{}, span{})
	if bytes.IndexByte(body, '\\') >= 0 {
		return hidden
	}
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			n := bytes.IndexByte(body[i+1:], '"')
			if n < 0 {
				return hidden
			}
			text := body[i+1 : i+1+n]
			i += 1 + n // at its end
			if depth == 1 && bytes.EqualFold(text, []byte(name)) {
				dst = appendValue(dst, body, i+1, from)
			}
		}
	}
	return dst
}

// appendValue appends where the value stands of the member whose name ends at i, if it
// is the name of one and not a value that reads like it.
func appendValue(dst []span, body []byte, i, from int) []span {
	const space = " \t\r\n"
	is, member := bytes.CutPrefix(bytes.TrimLeft(body[i:], space), []byte{':'})
	if !member {
		return dst
	}
	is = bytes.TrimLeft(is, space)
	value, found := bytes.CutPrefix(is, []byte{'"'})
	end := bytes.IndexByte(value, '"')
	if !found || end < 0 {
		return append(dst, span{})
	}
	from += len(body) - len(value)
	return append(dst, span{from, from + end})
}

// isValue reports whether p means the same wherever it stands.
func isValue(p []byte) bool {
	for _, b := range p {
		if !isLetter(b) && !isDigit(b) && b != '.' && b != '-' && b != '_' {
			return false
		}
	}
	return len(p) > 0
}

// Forget has each request be shown to its handler before the next one like it is
// recognized: it is for when what handlers do has changed.
func (l *Lot) Forget() { l.age.Add(1) }
