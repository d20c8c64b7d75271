"""The live graph example's back end in Python, standard library only.

    python3 examples/live-graph/python/livegraph.py

It serves the pages and lets them in: each is a client of its own, which is
subscribed to the channel that the producer's points are published on. The
points themselves never come here. See ../README.md.
"""

import hashlib
import hmac
import html
import json
import math
import os
import re
import secrets
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RPC_URL = os.environ.get("SHAVEET_RPC") or "http://127.0.0.1:8082/"
PUBLIC_URL = (os.environ.get("SHAVEET_PUBLIC") or "http://127.0.0.1:8082").rstrip("/")
TOKEN = os.environ.get("SHAVEET_TOKEN", "")
PORT = os.environ.get("PORT") or "5000"

PAGE = Path(__file__).resolve().parent.parent / "page"
CHANNEL = "graph"  # as in ../shaveet.toml
NEWEST = 100  # as many points as a page shows
MOST = 1000  # as many as history answers at once
MAX_BODY = 4 * 1024
DAY = 86_400_000  # ms
DEPTH = 60  # of JSON; history's own is 4
SECRET = secrets.token_bytes(32)  # of this life of the back end


class Refusal(Exception):
    """An error that the browser is told about."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class ShaveetError(Exception):
    """Shaveet did not answer, or answered with an error."""


def shaveet(method, **params):
    """Calls one method of Shaveet's admin API and returns its result."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    headers = {"Content-Type": "application/json"}
    if TOKEN:
        headers["Authorization"] = "Bearer " + TOKEN
    request = urllib.request.Request(RPC_URL, body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = parse(response.read())
    except (OSError, ValueError) as error:  # HTTP errors are OSErrors too
        raise ShaveetError(f"{method}: {error}") from error
    if answer.get("error"):
        raise ShaveetError(f"{method}: {answer['error']['message']}")
    return answer["result"]


def parse(body):
    """Reads JSON that others have written parts of. One odd part does not spoil
    the rest: a number of thousands of digits is infinite, and what is too deep
    for Python is null."""

    def integer(digits):
        return int(digits) if len(digits) < 20 else float(digits)

    try:
        return json.loads(body, parse_int=integer)
    except RecursionError:
        return json.loads(shallow(body.decode()), parse_int=integer)


def shallow(text):
    """Puts null for what is deeper than DEPTH."""
    kept, depth, since = [], 0, 0  # since: where what is not kept ends
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[][{}]', text):
        if token[0] in ("[", "{"):
            depth += 1
            if depth == DEPTH + 1:
                kept += text[since : token.start()], "null"
        elif token[0] in ("]", "}"):
            depth -= 1
            if depth == DEPTH:
                since = token.end()
    return "".join(kept) + text[since:]


class Points:
    """Takes the points out of what was published, which may be anything."""

    odd = False  # something was no point, and it has been said

    def of(self, messages):
        return [{"x": m["data"]["x"], "y": m["data"]["y"]} for m in messages if self.is_point(m["data"], m["time"])]

    def is_point(self, data, now):
        """Whether data are a point of about that time. Others would be a hole of
        years, or all there is to see."""
        x, y = (data.get("x"), data.get("y")) if isinstance(data, dict) else (None, None)
        if all(type(n) in (int, float) and math.isfinite(n) for n in (x, y)) and abs(x - now) <= DAY:
            return True
        if not self.odd:
            print(f"passed over, as all others like it: no point of now: {data!r:.200}", flush=True)
        self.odd = True
        return False


points = Points()


def credentials(request):
    """Lets a page in. It asks when it opens, and again whenever Shaveet refuses
    what it has; so everything is set up anew each time, which changes nothing
    where it is set up already."""
    client_id, proof = text(request, "clientId"), text(request, "token")
    # Who comes back stays who they were: what Shaveet still has for them they get.
    # And they get more points than they show: what they had not is a hole.
    newest = MOST
    if not hmac.compare_digest(proof.encode(), token(client_id).encode()):
        client_id, newest = "graph-" + secrets.token_hex(16), NEWEST
    key = shaveet("create_client", client_id=client_id)
    shaveet("subscribe", client_id=client_id, channel_name=CHANNEL)
    # Asked for only then: so nothing falls between these points and what comes live.
    history = shaveet("history", channel=CHANNEL, limit=newest, reverse=True)
    return {
        "url": PUBLIC_URL,
        "channel": CHANNEL,
        "clientId": client_id,
        "token": token(client_id),
        "key": key,
        "cursor": history["position"],
        "points": points.of(reversed(history["messages"])),
    }


def token(client_id):
    """What only we can make of a client's id."""
    return hmac.new(SECRET, client_id.encode(), hashlib.sha256).hexdigest()


def text(request, field):
    value = request.get(field, "")
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):  # no text, or half of a character
        raise Refusal(400, field + " must be a string") from None
    return value


TYPES = {".js": "text/javascript", ".css": "text/css"}
FILES = {
    "/" + path.relative_to(PAGE).as_posix(): (path, TYPES.get(path.suffix, "text/plain") + "; charset=utf-8")
    for path in PAGE.rglob("*")
    if path.is_file() and path.suffix != ".html"
}
PAGES = {"/": PAGE / "index.html", "/flot": PAGE / "flot.html"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # header and body leave together

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path in PAGES:
            page = PAGES[path].read_text(encoding="utf-8").replace("__SHAVEET__", html.escape(PUBLIC_URL))
            self.send(200, page.encode(), "text/html; charset=utf-8")
        elif path in FILES:
            file, media_type = FILES[path]
            self.send(200, file.read_bytes(), media_type)
        else:
            self.send_json(404, {"error": "no such page"})

    def do_POST(self):
        try:
            request = self.read_object()
            if self.path != "/credentials":
                raise Refusal(404, "no such page")
            self.send_json(200, credentials(request))
        except Refusal as refusal:
            self.send_json(refusal.status, {"error": str(refusal)})
        except ShaveetError as error:
            self.log_error("shaveet: %s", error)
            self.send_json(502, {"error": "the push server does not answer"})

    def read_object(self):
        length = self.headers.get("Content-Length", "")
        length = int(length) if length.isascii() and length.isdigit() else -1
        if not 0 <= length <= MAX_BODY:
            self.close_connection = True  # what is left unread is no request
            self.rfile.read(max(0, min(length, 64 * MAX_BODY)))  # who is still sending does not listen
            raise Refusal(400, "a short JSON object is expected")
        body = self.rfile.read(length)
        # Other sites cannot have us make clients.
        origin = self.headers.get("Origin")
        if origin is not None and urllib.parse.urlsplit(origin).netloc != self.headers.get("Host"):
            raise Refusal(403, "another site cannot do that")
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            raise Refusal(400, "a short JSON object is expected")
        return request

    def send_json(self, status, value):
        self.send(status, json.dumps(value).encode(), "application/json")

    def send(self, status, body, media_type):
        # Scripts and connections: this server and Shaveet, nothing else.
        url = urllib.parse.urlsplit(PUBLIC_URL)
        source = "'self'" + (f" {url.scheme}://{url.netloc}" if url.netloc else "")
        # WebSockets are named apart.
        sockets = f" {url.scheme.replace('http', 'ws')}://{url.netloc}" if url.netloc else ""
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header(
            "Content-Security-Policy",
            f"default-src 'self'; img-src 'self' data:; script-src {source}; connect-src {source}{sockets}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
        )
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


if __name__ == "__main__":
    with listen() as server:
        print(f"live graph on http://127.0.0.1:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
