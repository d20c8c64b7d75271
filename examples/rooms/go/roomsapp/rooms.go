package roomsapp

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	cookie  = "rooms_session"
	prefix  = "rooms:" // of our channels and clients: others may use the same Shaveet
	backlog = 25       // messages, as in the tutorial
	most    = 1000     // people in a list, and in one answer of Shaveet

	patience = 10 * time.Second // for coming in, whatever becomes of the browser
)

// visitor is a name, as anybody can put it into an address, and the secret of
// the browser, which nobody else has.
type visitor struct{ uid, secret string }

// clientID is name and secret together, so a name is somebody's as long as
// their client lives, and Shaveet remembers whose. Everybody in a room sees it;
// of the secret it has only a hash.
func (v visitor) clientID() string { return prefix + v.uid + ":" + v.mark() }

// mark is as long as the secret: whoever finds another secret with the same
// mark is the same client.
func (v visitor) mark() string {
	sum := sha256.Sum256([]byte(v.secret))
	return hex.EncodeToString(sum[:16])
}

var (
	secretForm  = regexp.MustCompile(`^[0-9a-f]{32}$`)
	publishForm = regexp.MustCompile(`^[0-9a-zA-Z-]{1,40}$`)
)

func newSecret() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func secretOf(r *http.Request) string {
	if c, err := r.Cookie(cookie); err == nil && secretForm.MatchString(c.Value) {
		return c.Value
	}
	return ""
}

type client struct {
	ID      string
	State   string
	Created int64
}

// part is as much of a list of clients as one answer has.
type part struct {
	Clients []client
	Next    string
}

// enter brings somebody in under their name, and into these rooms. It may be
// done again and again, and mends whatever is missing: after a restart Shaveet
// knows nobody. The result is the key of their client.
func (a *app) enter(ctx context.Context, who visitor, rooms ...string) (key string, err error) {
	// A browser that gives up meanwhile must leave nobody behind here.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	id := named{"client_id": who.clientID()}
	var before, channels []string // before: nil if the client did not live
	var first part
	err = a.shaveet.batch(ctx,
		call{method: "get_client_channels", params: id, result: &before, mayFail: "unknown_client"},
		call{method: "create_client", params: id, result: &key},
		call{method: "get_client_channels", params: id, result: &channels, mayFail: "unknown_client"},
		who.namesakes("", &first),
	)
	if err != nil {
		return "", err
	}
	all, err := a.rest(ctx, who, first)
	if err != nil {
		return "", err
	}
	if !owns(who.clientID(), all) {
		if before == nil { // who has the name already is not to lose it here
			err = a.shaveet.batch(ctx, call{method: "kill_client", params: id, mayFail: "unknown_client"})
		}
		return "", cmp.Or(err, refuse(http.StatusConflict, "somebody else has this name"))
	}
	var missing []call
	for _, room := range rooms {
		if !slices.Contains(channels, prefix+room) {
			missing = append(missing, call{method: "subscribe", params: named{"client_id": who.clientID(), "channel_name": prefix + room}})
		}
	}
	return key, a.shaveet.batch(ctx, missing...)
}

// namesakes asks for the clients of this name that come after one of them.
func (v visitor) namesakes(after string, into *part) call {
	return call{method: "clients", params: named{"pattern": prefix + v.uid + ":*", "after": after, "limit": most}, result: into}
}

// rest returns all clients of this name. Whoever was one before the first part
// was asked for, and is still, is among them.
func (a *app) rest(ctx context.Context, who visitor, first part) ([]client, error) {
	all := first.Clients
	for after := first.Next; after != ""; {
		var more part
		if err := a.shaveet.batch(ctx, who.namesakes(after, &more)); err != nil {
			return nil, err
		}
		all, after = append(all, more.Clients...), more.Next
	}
	return all, nil
}

// owns says whether a name belongs to the client id, of all that there are of
// this name. It is theirs who lives and came before all others that live; who
// was let go has lost it. Everybody looks after they have come. So of two that
// live the later one has seen the earlier one, and of two that came in the same
// millisecond one has seen the other: never do both own the name. Perhaps
// neither does, and they may try again.
func owns(id string, all []client) bool {
	i := slices.IndexFunc(all, func(c client) bool { return c.ID == id && c.State == "live" })
	return i >= 0 && !slices.ContainsFunc(all, func(c client) bool {
		return c.ID != id && c.State == "live" && c.Created <= all[i].Created
	})
}

type roomInfo struct {
	Name string `json:"name"`
	Here int    `json:"here"`
}

// list is what the second page shows: GET /<uid>.
func (a *app) list(_ http.ResponseWriter, r *http.Request, who visitor) (any, error) {
	if _, err := a.enter(r.Context(), who); err != nil {
		return nil, err
	}
	counts := make([]struct{ Count int }, len(a.rooms))
	var calls []call
	for i, room := range a.rooms {
		// A room that nobody has been to is no channel yet.
		calls = append(calls, call{method: "presence", params: named{"channel": prefix + room, "limit": 1}, result: &counts[i], mayFail: "unknown_channel"})
	}
	if err := a.shaveet.batch(r.Context(), calls...); err != nil {
		return nil, err
	}
	list := make([]roomInfo, len(a.rooms))
	for i, room := range a.rooms {
		list[i] = roomInfo{room, counts[i].Count}
	}
	return map[string]any{"uid": who.uid, "rooms": list}, nil
}

type message struct {
	Channel string          `json:"channel"`
	Pos     string          `json:"pos"`
	Sender  json.RawMessage `json:"sender"`
	Data    json.RawMessage `json:"data"`
	Time    int64           `json:"time"`
}

// join brings into a room and answers what there is to see: GET /<room>/<uid>.
// First in, then the past: what is said meanwhile is in one of the two, and the
// cursor, which is where the past ends, tells the page what of it is new.
func (a *app) join(_ http.ResponseWriter, r *http.Request, who visitor) (any, error) {
	room := r.PathValue("room")
	if _, err := a.enter(r.Context(), who, room); err != nil {
		return nil, err
	}
	var past struct {
		Messages []message
		Position string
		More     bool
	}
	var present struct {
		Count   int
		Members []struct{ Client string }
	}
	var channels []string
	err := a.shaveet.batch(r.Context(),
		call{method: "history", params: named{"channel": prefix + room, "limit": backlog, "reverse": true}, result: &past},
		call{method: "presence", params: named{"channel": prefix + room, "limit": most}, result: &present},
		call{method: "get_client_channels", params: named{"client_id": who.clientID()}, result: &channels},
	)
	if err != nil {
		return nil, err
	}
	slices.Reverse(past.Messages)
	here := []string{}
	for _, m := range present.Members {
		here = append(here, m.Client)
	}
	in := slices.DeleteFunc(slices.Clone(a.rooms), func(name string) bool { return !slices.Contains(channels, prefix+name) })
	return map[string]any{
		"uid": who.uid, "room": room, "rooms": a.rooms, "in": in, "client": who.clientID(),
		"messages": append([]message{}, past.Messages...), "more": past.More, "cursor": past.Position,
		"here": here, "count": present.Count,
	}, nil
}

// put says something: POST /put/<room>/<uid>. With an id of the page's own, a
// second attempt after an answer that was lost says it once.
func (a *app) put(_ http.ResponseWriter, r *http.Request, who visitor) (any, error) {
	text, room := strings.TrimSpace(r.PostForm.Get("message")), r.PathValue("room")
	if !plainText(text, maxTextLen) {
		return nil, refuse(http.StatusBadRequest, "a message has 1 to 2000 printable characters")
	}
	params := named{"channel": prefix + room, "sender": who.uid, "data": who.uid + ": " + text}
	if id := r.PostForm.Get("id"); id != "" {
		if !publishForm.MatchString(id) {
			return nil, refuse(http.StatusBadRequest, "an id has 1 to 40 letters, digits and -")
		}
		params["publish_id"] = who.mark() + "-" + id
	}
	if _, err := a.enter(r.Context(), who, room); err != nil {
		return nil, err
	}
	return nil, a.shaveet.batch(r.Context(), call{method: "publish", params: params})
}

// poll sends the browser on to Shaveet, which holds it for the tutorial's 10 s:
// POST /poll/<uid>. Nothing waits here. 303 and not 307: then the second
// request is a GET, which any client makes by itself with what the address
// says. After a 307 it would be this form again, which Shaveet does not read.
func (a *app) poll(w http.ResponseWriter, r *http.Request, who visitor) (any, error) {
	rooms := r.PostForm["room"]
	for _, room := range rooms {
		if !slices.Contains(a.rooms, room) {
			return nil, refuse(http.StatusNotFound, "no such room")
		}
	}
	key, err := a.enter(r.Context(), who, rooms...)
	if err != nil {
		return nil, err
	}
	query := url.Values{"client_id": {who.clientID() + "_!!_" + key}, "wait": {pollTime}}
	for _, name := range []string{"cursor", "session"} {
		if value := r.PostForm.Get(name); value != "" {
			query.Set(name, value)
		}
	}
	return redirect(a.publicURL + "/longpoll?" + query.Encode()), nil
}
