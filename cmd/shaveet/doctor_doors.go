package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// disguises are how a stranger may try to pass for a program on the server's
// machine.
var disguises = []struct {
	name   string
	host   string
	header map[string]string
}{
	{"", "", nil},
	{" with forged forwarding headers", "", map[string]string{
		"Forwarded": "for=127.0.0.1;host=localhost", "X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1",
	}},
	{" as the host localhost", "localhost", nil},
	{" as the host 127.0.0.1", "127.0.0.1", nil},
}

// adminHidden: can visitors call the admin API?
func (d *doctor) adminHidden(ctx context.Context) finding {
	if d.isAdminDoor() {
		return skip("this is the door of the admin API itself; visitors must be given another, and that one checked")
	}
	others := ""
	for _, path := range []string{"/", "/rpc"} {
		for _, as := range disguises {
			id := randomName()
			r, err := d.ask(ctx, question{
				method: http.MethodPost, path: path, host: as.host, header: as.header,
				body: `{"jsonrpc": "2.0", "id": "` + id + `", "method": "system.list_methods"}`,
			})
			switch {
			case err != nil:
				return fail(adviceReach, "POST %s%s: %v", path, as.name, err)
			case isAdminAnswer(r, id):
				return fail(adviceAdmin, "everybody can call the admin API: it answers POST %s%s", path, as.name)
			case r.status != http.StatusNotFound && others == "":
				others = "; what answers POST " + path + " with " + r.text + " is something else"
			}
		}
	}
	return good("it does not answer%s", others)
}

// isAdminAnswer reports whether r answers a JSON-RPC call of this id.
func isAdminAnswer(r *reply, id string) bool {
	var a struct {
		ID            any
		Result, Error json.RawMessage
	}
	return json.Unmarshal(r.body, &a) == nil && a.ID == id && (a.Result != nil || a.Error != nil)
}

// isAdminDoor reports whether the address under test is the very door that the
// admin API is called by, on this machine.
func (d *doctor) isAdminDoor() bool {
	if d.api == nil || !isLoopback(d.base) || !isLoopback(d.api.address) {
		return false
	}
	a, _ := url.Parse(d.base)
	b, _ := url.Parse(d.api.address)
	return a.Port() == b.Port()
}

// metricsHidden: can visitors read the metrics?
func (d *doctor) metricsHidden(ctx context.Context) finding {
	return d.hidden(ctx, "/metrics", "# TYPE ", "# HELP ")
}

// profilesHidden: can visitors profile the server?
func (d *doctor) profilesHidden(ctx context.Context) finding {
	return d.hidden(ctx, "/debug/pprof/", "goroutine", "heap")
}

// hidden looks for a page by the words it has.
func (d *doctor) hidden(ctx context.Context, path string, words ...string) finding {
	if d.isAdminDoor() {
		return skip("this is the door of the admin API itself")
	}
	r, err := d.ask(ctx, question{path: path})
	if err != nil {
		return fail(adviceReach, "%s: %v", path, err)
	}
	if r.status == http.StatusOK && slices.ContainsFunc(words, r.has) {
		return fail(adviceAdmin, "everybody can read %s", path)
	}
	return good("%s: %s", path, r.text)
}

// preflight: may pages of other sites send credentials in a header?
func (d *doctor) preflight(ctx context.Context) finding {
	r, err := d.ask(ctx, question{method: http.MethodOptions, path: "/longpoll", header: map[string]string{
		"Origin": d.origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization",
	}})
	if err != nil {
		return fail(adviceReach, "%v", err)
	}
	if f, ok := d.allowed(r); !ok {
		return f
	}
	if r.status < 200 || r.status > 299 {
		return fail(adviceCORS, "the preflight is answered %s: browsers want 2xx", r.text)
	}
	if !lists(r.header.Values("Access-Control-Allow-Headers"), "authorization") {
		return fail(adviceCORS, "Access-Control-Allow-Headers does not name Authorization (a * does not stand for it)")
	}
	return good("pages of %s may send Authorization", d.origin)
}

// crossOrigin: may pages of other sites read answers?
func (d *doctor) crossOrigin(ctx context.Context) finding {
	q := stranger()
	q.header = map[string]string{"Origin": d.origin}
	r, err := d.ask(ctx, q)
	if err != nil {
		return fail(adviceReach, "%v", err)
	}
	if f, ok := d.allowed(r); !ok {
		return f
	}
	if r.header.Get("Access-Control-Allow-Origin") != "*" && !lists(r.header.Values("Vary"), "origin") {
		return warn(adviceCORS, "the origin is allowed by name, but Vary does not have Origin: a cache may give it to others")
	}
	return good("pages of %s may read answers", d.origin)
}

// allowed reports whether r lets pages of the origin read it.
func (d *doctor) allowed(r *reply) (finding, bool) {
	switch origins := r.header.Values("Access-Control-Allow-Origin"); {
	case len(origins) == 0 && !d.named:
		return warn(adviceCORS, "nothing allows pages of other sites; say by --origin who should be"), false
	case len(origins) == 0:
		return fail(adviceCORS, "nothing allows pages of %s (%s)", d.origin, r.text), false
	case len(origins) > 1:
		return fail(adviceCORS, "there are %d Access-Control-Allow-Origin headers, and browsers take none", len(origins)), false
	case origins[0] != "*" && origins[0] != d.origin:
		return fail(adviceCORS, "Access-Control-Allow-Origin is %q, which is not %s", origins[0], d.origin), false
	}
	return finding{}, true
}

// lists reports whether headers, which are lists with commas, have a name.
func lists(headers []string, name string) bool {
	for _, h := range headers {
		for part := range strings.SplitSeq(h, ",") {
			if strings.EqualFold(strings.TrimSpace(part), name) {
				return true
			}
		}
	}
	return false
}
