"""The rooms example's back end in Python, standard library only.

    python3 examples/rooms/python/rooms.py

It has the requests of the chat server that ends the gevent tutorial. Nothing is
kept here: who is who, who is in which room and what was said there is
Shaveet's, and Shaveet holds the polls. See ../README.md.
"""

import hashlib
import json
import os
import re
import secrets
import unicodedata
import urllib.parse
import urllib.request
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RPC_URL = os.environ.get("SHAVEET_RPC") or "http://127.0.0.1:8082/"
PUBLIC_URL = (os.environ.get("SHAVEET_PUBLIC") or "http://127.0.0.1:8082").rstrip("/")
TOKEN = os.environ.get("SHAVEET_TOKEN", "")
PORT = os.environ.get("PORT") or "5000"
ROOMS = (os.environ.get("ROOMS") or "python,django").split(",")

PAGE = Path(__file__).resolve().parent.parent / "page"
COOKIE = "rooms_session"
PREFIX = "rooms:"  # of our channels and clients: others may use the same Shaveet
BACKLOG = 25  # messages, as in the tutorial
MOST = 1000  # people in a list, and in one answer of Shaveet
POLL_MS = 10_000
MAX_BODY = 32 * 1024
MAX_NAME, MAX_TEXT = 20, 2000  # characters


class Refusal(Exception):
    """An error that the browser is told about."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class ShaveetError(Exception):
    """Shaveet did not answer, or answered with an error."""


def shaveet(*calls, may_fail=None):
    """Makes the calls, each a method and its parameters, one after the other in
    one request. An error of the type may_fail is as good as an answer: None."""
    if not calls:
        return []
    requests = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(calls)]
    headers = {"Content-Type": "application/json"}
    if TOKEN:
        headers["Authorization"] = "Bearer " + TOKEN
    request = urllib.request.Request(RPC_URL, json.dumps(requests).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            answers = json.load(response)
    except (OSError, ValueError) as error:  # HTTP errors are OSErrors too
        raise ShaveetError(str(error)) from error
    if not isinstance(answers, list) or len(answers) != len(calls):
        raise ShaveetError(f"no {len(calls)} answers: {answers!r:.200}")
    results = []
    for (method, _), answer in zip(calls, answers):
        error = answer.get("error")
        kind = error and error["data"]["type"]
        if kind == "publish_id_conflict":
            raise Refusal(409, "another message has this id")
        if error and kind != may_fail:
            raise ShaveetError(f"{method}: {error['message']}")
        results.append(answer.get("result"))
    return results


class Visitor:
    """A name, as anybody can put it into an address, and the secret of the
    browser, which nobody else has. Both make the id of their client, so a name
    is somebody's as long as their client lives, and Shaveet remembers whose.
    Everybody in a room sees it; of the secret it has only a hash, as long as the
    secret: whoever finds another secret with the same hash is the same client."""

    def __init__(self, uid, secret):
        self.uid = uid
        self.mark = hashlib.sha256(secret.encode()).digest()[:16].hex()
        self.client = f"{PREFIX}{uid}:{self.mark}"

    def enter(self, *rooms):
        """Comes in, into these rooms, and returns the key of the client. It may
        be done again and again, and mends whatever is missing: after a restart
        Shaveet knows nobody."""
        me = {"client_id": self.client}
        before, key, channels, part = shaveet(
            ("get_client_channels", me),  # None if the client did not live
            ("create_client", me),
            ("get_client_channels", me),
            self.namesakes(),
            may_fail="unknown_client",
        )
        # Whoever was one before the first part was asked for, and is still, is
        # in one of them.
        everybody = part["clients"]
        while after := part.get("next"):
            (part,) = shaveet(self.namesakes(after))
            everybody += part["clients"]
        if not owns(self.client, everybody):
            if before is None:  # who has the name already is not to lose it here
                shaveet(("kill_client", me), may_fail="unknown_client")
            raise Refusal(409, "somebody else has this name")
        missing = [PREFIX + room for room in rooms if PREFIX + room not in (channels or [])]
        shaveet(*(("subscribe", me | {"channel_name": c}) for c in missing))
        return key

    def namesakes(self, after=""):
        """Asks for the clients of this name that come after one of them."""
        return "clients", {"pattern": f"{PREFIX}{self.uid}:*", "after": after, "limit": MOST}


def owns(client, everybody):
    """Whether a name belongs to this client, of all that there are of this name.
    It is theirs who lives and came before all others that live; who was let go
    has lost it. Everybody looks after they have come. So of two that live the
    later one has seen the earlier one, and of two that came in the same
    millisecond one has seen the other: never do both own the name. Perhaps
    neither does, and they may try again."""
    living = {c["id"]: c["created"] for c in everybody if c["state"] == "live"}
    mine = living.pop(client, None)
    return mine is not None and all(created > mine for created in living.values())


def listing(who):
    """What the second page shows: GET /<uid>."""
    who.enter()
    # A room that nobody has been to is no channel yet.
    calls = (("presence", {"channel": PREFIX + room, "limit": 1}) for room in ROOMS)
    found = shaveet(*calls, may_fail="unknown_channel")
    rooms = [{"name": room, "here": it["count"] if it else 0} for room, it in zip(ROOMS, found)]
    return {"uid": who.uid, "rooms": rooms}


def join(who, room):
    """Brings into a room and answers what there is to see: GET /<room>/<uid>.
    First in, then the past: what is said meanwhile is in one of the two, and
    the cursor, which is where the past ends, tells the page what of it is new."""
    who.enter(room)
    past, present, channels = shaveet(
        ("history", {"channel": PREFIX + room, "limit": BACKLOG, "reverse": True}),
        ("presence", {"channel": PREFIX + room, "limit": MOST}),
        ("get_client_channels", {"client_id": who.client}),
    )
    return {
        "uid": who.uid,
        "room": room,
        "rooms": ROOMS,
        "in": [name for name in ROOMS if PREFIX + name in channels],
        "client": who.client,
        "messages": past["messages"][::-1],
        "more": past["more"],
        "cursor": past["position"],
        "here": [member["client"] for member in present["members"]],
        "count": present["count"],
    }


def put(who, room, form):
    """Says something: POST /put/<room>/<uid>. With an id of the page's own, a
    second attempt after an answer that was lost says it once."""
    text = plain_text(first(form, "message").strip())
    params = {"channel": PREFIX + room, "sender": who.uid, "data": f"{who.uid}: {text}"}
    if publish_id := first(form, "id"):
        if not re.fullmatch("[0-9a-zA-Z-]{1,40}", publish_id):
            raise Refusal(400, "an id has 1 to 40 letters, digits and -")
        params["publish_id"] = f"{who.mark}-{publish_id}"
    who.enter(room)
    shaveet(("publish", params))


def poll(who, form):
    """Returns where Shaveet holds the browser, for the tutorial's 10 s:
    POST /poll/<uid>. Nothing waits here."""
    rooms = form.get("room", [])
    if any(room not in ROOMS for room in rooms):
        raise Refusal(404, "no such room")
    query = {"client_id": f"{who.client}_!!_{who.enter(*rooms)}", "wait": POLL_MS}
    query |= {name: first(form, name) for name in ("cursor", "session") if first(form, name)}
    return f"{PUBLIC_URL}/longpoll?{urllib.parse.urlencode(query)}"


def first(form, field):
    return form.get(field, [""])[0]


def plain_text(text):
    control = any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in text)
    if not 1 <= len(text) <= MAX_TEXT or control:
        raise Refusal(400, f"a message has 1 to {MAX_TEXT} printable characters")
    return text


def valid_name(name):
    """1 to 20 letters and digits of any script, and - _ and spaces between
    them. No colon: it stands between a name and what was said."""
    return (
        1 <= len(name) <= MAX_NAME
        and name == name.strip(" ")
        and all(c in "-_ " or unicodedata.category(c)[0] in "LM" or unicodedata.category(c) == "Nd" for c in name)
    )


TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def content_security_policy():
    """Scripts from here, connections also to Shaveet (where a poll is sent on
    to), and nothing else."""
    url = urllib.parse.urlsplit(PUBLIC_URL)
    connect = "'self'" + (f" {url.scheme}://{url.netloc}" if url.netloc else "")
    return (
        f"default-src 'none'; img-src data:; style-src 'self'; script-src 'self'; connect-src {connect}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # header and body leave together
    cookie = None  # to be set with this answer

    def do_GET(self):
        self.answer(self.get)

    def do_POST(self):
        self.answer(self.post)

    def answer(self, act):
        self.cookie = None
        try:
            act()
        except Refusal as refusal:
            headers = {"Allow": "POST" if self.command == "GET" else "GET"} if refusal.status == 405 else {}
            self.send_json(refusal.status, {"error": str(refusal)}, headers)
        except ShaveetError as error:
            self.log_error("shaveet: %s", error)
            self.send_json(502, {"error": "the push server does not answer"})

    def get(self):
        names = self.names()
        if names[:1] == ["put"] and len(names) == 3 or names[:1] == ["poll"] and len(names) == 2 and "poll" not in ROOMS:
            raise Refusal(405, "this must be a POST")
        if len(names) > 2:
            raise Refusal(404, "no such page")
        if len(names) == 1 and names[0] in FILES and not names[0].endswith(".html"):
            return self.send_file(names[0])
        who = names and self.visitor(names[-1], names[0] if len(names) == 2 else None)
        # A page asks at its own address for what is to be seen, as JSON. Who
        # only looks at the page has not come in yet.
        if who and "application/json" in self.headers.get("Accept", ""):
            self.refuse_elsewhere()
            return self.send_json(200, join(who, names[0]) if len(names) == 2 else listing(who))
        if not who:
            self.secret()
        return self.send_file(["choose.html", "main.html", "room.html"][len(names)])

    def post(self):
        form = self.read_form()
        match self.names():
            case ["put", room, uid]:
                put(self.sender(uid, room), room, form)
                self.send(204)
            case ["poll", uid]:
                # 303 and not 307: then the second request is a GET, which any
                # client makes by itself with what the address says. After a 307
                # it would be this form again, which Shaveet does not read.
                self.send(303, headers={"Location": poll(self.sender(uid), form)})
            case names:
                raise Refusal(*(405, "this must be a GET") if len(names) <= 2 else (404, "no such page"))

    def names(self):
        try:
            path = self.path.partition("?")[0]
            return [urllib.parse.unquote(part, errors="strict") for part in path.split("/")[1:] if path != "/"]
        except UnicodeDecodeError:
            raise Refusal(400, "the address is not UTF-8") from None

    def visitor(self, uid, room=None):
        """Who asks, by the address and the cookie."""
        if not valid_name(uid):
            raise Refusal(400, f"a name has 1 to {MAX_NAME} letters, digits, spaces, - and _")
        if room is not None and room not in ROOMS:
            raise Refusal(404, "no such room")
        return Visitor(uid, self.secret())

    def sender(self, uid, room=None):
        """As visitor, of somebody who has been here before."""
        self.refuse_elsewhere()
        if not self.known_secret():
            raise Refusal(403, "open the page first: its cookie is missing")
        return self.visitor(uid, room)

    def known_secret(self):
        try:
            secret = SimpleCookie(self.headers.get("Cookie", ""))[COOKIE].value
        except (CookieError, KeyError):
            return ""
        return secret if re.fullmatch("[0-9a-f]{32}", secret) else ""

    def secret(self):
        """A browser without one gets one."""
        secret = self.known_secret()
        if not secret:
            secret = secrets.token_hex(16)
            # Lax and not Strict: who comes by a link must stay who they are. A
            # site that is served by https marks it Secure as well.
            self.cookie = f"{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax"
        return secret

    def refuse_elsewhere(self):
        """A page of another site or port may not act here. Browsers keep our
        cookie from other sites, but a site, there, is a host without its port.
        Programs that are no browsers say nothing of this kind."""
        site, origin = self.headers.get("Sec-Fetch-Site"), self.headers.get("Origin")
        if site:
            elsewhere = site not in ("same-origin", "none")
        else:
            elsewhere = origin and urllib.parse.urlsplit(origin).netloc != self.headers.get("Host")
        if elsewhere:
            raise Refusal(403, "another site cannot do that")

    def read_form(self):
        length = self.headers.get("Content-Length", "")
        length = int(length) if length.isascii() and length.isdigit() else -1
        if not 0 <= length <= MAX_BODY:
            self.close_connection = True  # what is left unread is no request
            self.rfile.read(max(0, min(length, 64 * MAX_BODY)))  # who is still sending does not listen
            raise Refusal(413 if length > MAX_BODY else 400, "a short form is expected")
        body = self.rfile.read(length)
        if self.headers.get_content_type() != "application/x-www-form-urlencoded":
            return {}
        try:
            text = body.decode()
            if re.search("%(?![0-9a-fA-F]{2})|;", text):  # the library would guess
                raise ValueError
            return urllib.parse.parse_qs(text, errors="strict", max_num_fields=100)
        except ValueError:
            raise Refusal(400, "a form is expected") from None

    def send_file(self, name):
        media_type = TYPES[Path(name).suffix] + "; charset=utf-8"
        self.send(200, FILES[name], {"Content-Type": media_type, "Vary": "Accept"})

    def send_json(self, status, value, headers=()):
        headers = {"Content-Type": "application/json", "Vary": "Accept", **dict(headers)}
        self.send(status, json.dumps(value).encode(), headers)

    def send(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        if self.cookie:
            self.send_header("Set-Cookie", self.cookie)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", content_security_policy())
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # connections that wait to be accepted; 5 are few when pages come back together


def listen():
    if not (PORT.isascii() and PORT.isdigit() and len(PORT) < 6 and int(PORT) < 1 << 16):
        raise SystemExit(f"PORT: {PORT!r:.40} is no port")
    try:
        return Server(("127.0.0.1", int(PORT)), Handler)
    except OSError as error:
        raise SystemExit(f"cannot listen on 127.0.0.1:{PORT}: {error.strerror}") from None


FILES = {path.name: path.read_bytes() for path in PAGE.iterdir() if path.suffix in TYPES}

if __name__ == "__main__":
    if not all(map(valid_name, ROOMS)):
        raise SystemExit(f"ROOMS: {ROOMS} cannot all be names of rooms")
    with listen() as server:
        print(f"rooms on http://127.0.0.1:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
