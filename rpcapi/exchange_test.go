package rpcapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// hoarder keeps what it should have copied.
type hoarder struct{ kept []json.RawMessage }

// HoarderParams is what hoarder is given.
type HoarderParams struct {
	Value json.RawMessage `param:"value"`
}

// Keep is keep(value).
func (k *hoarder) Keep(_ *http.Request, p *HoarderParams, reply *int) error {
	k.kept = append(k.kept, p.Value)
	return nil
}

// The memory of a body is used again only where nobody can have a part of it:
// not after a method that is not ours.
func TestBodiesOfOthersAreNotUsedAgain(t *testing.T) {
	k := new(hoarder)
	h := newBackend(t, Options{Services: []Service{{Name: "Hoarder", Receiver: k, Methods: []Method{{Name: "keep", Summary: "Keeps."}}}}})
	for i := range 20 {
		const publish = `{"method":"publish","params":["room","%s"],"id":1},`
		text := strings.Repeat(fmt.Sprint(i), 50)
		read(t, post(h.api, strings.NewReader(fmt.Sprintf(`[`+publish+`{"method":"keep","params":["%s"],"id":1}]`, text, text)), ""))
		read(t, post(h.api, strings.NewReader(fmt.Sprintf(`[`+publish+`{"method":"publish","params":["room","%s"],"id":1}]`, "other", strings.Repeat("o", 200))), ""))
	}
	for i, kept := range k.kept {
		if want := `"` + strings.Repeat(fmt.Sprint(i), 50) + `"`; string(kept) != want {
			t.Errorf("%s has become %s", want, kept)
		}
	}
	if len(k.kept) != 20 {
		t.Errorf("%d were kept", len(k.kept))
	}
}

// Requests at the same time are each answered with their own answer, whatever
// their sizes.
func TestExchangesAreNotShared(t *testing.T) {
	h := newBackend(t, Options{})
	var all sync.WaitGroup
	for c := range 8 {
		all.Go(func() {
			for i := range 50 {
				id := strings.Repeat(fmt.Sprint(c), 1+i*i)
				body := fmt.Sprintf(`{"jsonrpc":"2.0","method":"publish","params":["room%d",%q],"id":%q}`, c, id, id)
				answer := read(t, post(h.api, strings.NewReader(body), ""))
				if want := fmt.Sprintf(`"id":%d},"id":%q}`+"\n", i+1, id); !strings.HasSuffix(answer, want) {
					t.Errorf("%.200s, want %.200s", answer, want)
				}
			}
		})
	}
	all.Wait()
	for c := range 8 {
		for i, m := range h.kept(fmt.Sprint("room", c)) {
			if want := `"` + strings.Repeat(fmt.Sprint(c), 1+i*i) + `"`; string(m.Data) != want {
				t.Errorf("kept %.200s, want %.200s", m.Data, want)
			}
		}
	}
}

// A body is read to its limit, and no further, with or without its length.
func TestBodyLimits(t *testing.T) {
	const limit = 5000
	for _, length := range []string{"known", "unknown"} {
		for _, tt := range []struct{ size, status int }{{limit - 1, 200}, {limit, 200}, {limit + 1, 413}, {10 * limit, 413}} {
			a := newBackend(t, Options{MaxBody: limit}).api
			body := `{"method":"publish","params":["room",1],"id":1}`
			body += strings.Repeat(" ", tt.size-len(body))
			r := strings.NewReader(body)
			var resp *http.Response
			if length == "known" {
				resp = post(a, r, "")
			} else {
				resp = post(a, struct{ *strings.Reader }{r}, "")
			}
			if resp.StatusCode != tt.status || tt.status == 413 && resp.Header.Get("Connection") != "close" {
				t.Errorf("%d bytes, %s: %d %v", tt.size, length, resp.StatusCode, resp.Header)
			}
		}
	}
}
