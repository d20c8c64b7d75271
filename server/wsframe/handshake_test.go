package wsframe_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/shaveet/shaveet/server/wsframe"
)

// handshake returns the request of RFC 6455, 1.3, with headers set to values;
// "-" takes one away. Values are parted by |.
func handshake(set map[string]string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/chat", nil)
	r.Header = http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Version": {"13"},
	}
	for name, value := range set {
		name = http.CanonicalHeaderKey(name)
		if delete(r.Header, name); value != "-" {
			r.Header[name] = strings.Split(value, "|")
		}
	}
	return r
}

func TestHandshake(t *testing.T) {
	type headers = map[string]string
	for _, test := range []struct {
		name   string
		set    headers
		change func(*http.Request)
		status int // 0: accepted
	}{
		{"as in the RFC", nil, nil, 0},
		{"other cases", headers{"Upgrade": "WebSocket", "Connection": "upgrade"}, nil, 0},
		{"among others", headers{"Upgrade": "h2c, websocket", "Connection": "keep-alive, Upgrade"}, nil, 0},
		{"in several lines", headers{"Upgrade": "h2c|websocket", "Connection": "keep-alive|,\tUPGRADE ,"}, nil, 0},
		{"POST", nil, func(r *http.Request) { r.Method = http.MethodPost }, 405},
		{"HEAD", nil, func(r *http.Request) { r.Method = http.MethodHead }, 405},
		{"HTTP/1.0", nil, func(r *http.Request) { r.ProtoMinor = 0 }, 400},
		{"HTTP/2", nil, func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, 400},
		{"no upgrade", headers{"Upgrade": "-"}, nil, 426},
		{"another upgrade", headers{"Upgrade": "websocket2"}, nil, 426},
		{"no connection", headers{"Connection": "-"}, nil, 400},
		{"another connection", headers{"Connection": "keep-alive"}, nil, 400},
		{"no version", headers{"Sec-WebSocket-Version": "-"}, nil, 426},
		{"an old version", headers{"Sec-WebSocket-Version": "8"}, nil, 426},
		{"two versions", headers{"Sec-WebSocket-Version": "13|8"}, nil, 426},
		{"a list of versions", headers{"Sec-WebSocket-Version": "13, 8"}, nil, 426},
		{"no key", headers{"Sec-WebSocket-Key": "-"}, nil, 400},
		{"an empty key", headers{"Sec-WebSocket-Key": ""}, nil, 400},
		{"two keys", headers{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==|dGhlIHNhbXBsZSBub25jZQ=="}, nil, 400},
		{"a key of 15 bytes", headers{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25j"}, nil, 400},
		{"a key of 17 bytes", headers{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZSE="}, nil, 400},
		{"a key that is no Base64", headers{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZ!=="}, nil, 400},
		{"a key with bits too many", headers{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZR=="}, nil, 400},
		{"a key with a line break", headers{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBu\nb25jZQ=="}, nil, 400},
		{"a body", nil, func(r *http.Request) { r.ContentLength = 5 }, 400},
		{"a body of any length", nil, func(r *http.Request) { r.ContentLength, r.TransferEncoding = -1, []string{"chunked"} }, 400},
		{"a subprotocol that is no name", headers{"Sec-WebSocket-Protocol": "a b"}, nil, 400},
		{"a subprotocol that is not ASCII", headers{"Sec-WebSocket-Protocol": "chat, é"}, nil, 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := handshake(test.set)
			if test.change != nil {
				test.change(r)
			}
			h, err := wsframe.ReadHandshake(r)
			answer := make(http.Header)
			if test.status == 0 {
				if err != nil {
					t.Fatal(err)
				}
				h.Accept(answer, "", false)
				want := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}}
				if !sameHeader(answer, want) {
					t.Errorf("answered %v", answer)
				}
				return
			}
			refusal, ok := errors.AsType[*wsframe.Refusal](err)
			if !ok || refusal.Status != test.status || refusal.Error() == "" {
				t.Fatalf("got %v, want %d", err, test.status)
			}
			refusal.Header(answer)
			want := map[int]http.Header{
				400: {}, 405: {"Allow": {"GET"}},
				426: {"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Version": {"13"}},
			}[test.status]
			if !sameHeader(answer, want) {
				t.Errorf("answered %v", answer)
			}
		})
	}
}

func sameHeader(a, b http.Header) bool {
	for name, values := range a {
		if !slices.Equal(values, b[name]) {
			return false
		}
	}
	return len(a) == len(b)
}

func TestSubprotocols(t *testing.T) {
	for said, want := range map[string][]string{
		"-": nil, "": nil, ",": nil, "chat": {"chat"}, "chat, superchat": {"chat", "superchat"},
		"a|b, c": {"a", "b", "c"}, "v1.x~y!,\tZ": {"v1.x~y!", "Z"},
	} {
		h, err := wsframe.ReadHandshake(handshake(map[string]string{"Sec-WebSocket-Protocol": said}))
		if err != nil || !slices.Equal(h.Protocols, want) {
			t.Errorf("%q: got %q, %v", said, h.Protocols, err)
		}
	}
	h, err := wsframe.ReadHandshake(handshake(map[string]string{"Sec-WebSocket-Protocol": "a, b"}))
	answer := make(http.Header)
	h.Accept(answer, "b", false)
	if err != nil || answer.Get("Sec-WebSocket-Protocol") != "b" {
		t.Errorf("answered %v, %v", answer, err)
	}
}

// The examples are those of RFC 7692, 7.1 and 8, and what browsers send.
func TestDeflateNegotiation(t *testing.T) {
	const (
		no     = ""
		yes    = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
		yes15  = yes + "; server_max_window_bits=15"
		broken = no
	)
	for said, want := range map[string]string{
		"-":                  no,
		"":                   no,
		"permessage-deflate": yes,
		"permessage-deflate; client_max_window_bits":                                 yes,
		"permessage-deflate;client_max_window_bits=15":                               yes,
		"permessage-deflate; client_max_window_bits=8":                               yes,
		`permessage-deflate; client_max_window_bits="10"`:                            yes,
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover": yes,
		"permessage-deflate; server_max_window_bits=15":                              yes15,
		"permessage-deflate; server_max_window_bits=10":                              no,
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":          yes,
		"permessage-deflate; server_max_window_bits=10|permessage-deflate":           yes,
		"x-webkit-deflate-frame, permessage-deflate":                                 yes,
		`other; a="b"; c, permessage-deflate`:                                        yes,
		", ,permessage-deflate,":                                                     yes,
		"permessage-deflate; server_max_window_bits":                                 no,
		"permessage-deflate; server_max_window_bits=16":                              no,
		"permessage-deflate; server_max_window_bits=015":                             no,
		"permessage-deflate; client_max_window_bits=7":                               no,
		"permessage-deflate; client_max_window_bits=16":                              no,
		"permessage-deflate; client_max_window_bits=08":                              no,
		"permessage-deflate; client_max_window_bits=":                                broken,
		"permessage-deflate; server_no_context_takeover=1":                           no,
		"permessage-deflate; client_no_context_takeover=true":                        no,
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover": no,
		"permessage-deflate; client_max_window_bits; client_max_window_bits=9":       no,
		"permessage-deflate; unknown":                                                no,
		"permessage-deflate; unknown, permessage-deflate":                            yes,
		"permessage-deflate;":                                                        broken,
		"permessage-deflate; ; client_max_window_bits":                               broken,
		"permessage-deflate client_max_window_bits":                                  broken,
		`permessage-deflate; client_max_window_bits="10`:                             broken,
		`permessage-deflate; client_max_window_bits=""`:                              broken,
		"Permessage-Deflate":                                                         no,
		"permessage-deflate-2":                                                       no,
		"=, permessage-deflate":                                                      broken,
	} {
		h, err := wsframe.ReadHandshake(handshake(map[string]string{"Sec-WebSocket-Extensions": said}))
		if err != nil || h.Deflates() != (want != "") {
			t.Errorf("%q: %t, %v", said, h.Deflates(), err)
		}
		answer := make(http.Header)
		h.Accept(answer, "", h.Deflates())
		if got := answer.Get("Sec-WebSocket-Extensions"); got != want {
			t.Errorf("%q: answered %q, want %q", said, got, want)
		}
	}
}

func FuzzExtensions(f *testing.F) {
	for _, seed := range []string{"permessage-deflate; client_max_window_bits", `a;b="c",d`, ",;=\"", "permessage-deflate; server_max_window_bits=15"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said string) {
		h, err := wsframe.ReadHandshake(handshake(map[string]string{"Sec-WebSocket-Extensions": said}))
		if err != nil {
			t.Fatal(err)
		}
		if h.Deflates() && !strings.Contains(said, "permessage-deflate") {
			t.Errorf("%q: agreed on", said)
		}
	})
}
