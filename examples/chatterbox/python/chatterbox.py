"""A web application of the chatterbox example in Python. It needs pyzmq, which is
python3-zmq in Debian.

    python3 examples/chatterbox/python/chatterbox.py
    PORT=5001 python3 examples/chatterbox/python/chatterbox.py

Each serves the page to visitors of its own, takes what they say, and tells
Shaveet by ZeroMQ. What anybody has said, at whichever web application, Shaveet
tells all pages. See ../README.md.
"""

import contextlib
import hashlib
import hmac
import html
import json
import os
import secrets
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

try:
    from bus import CHANNEL, LIMITS, Away, Bus, Lines, parse
except ImportError as missing:
    raise SystemExit(f"{missing}: in Debian it is python3-zmq, elsewhere pip has it as pyzmq") from None

RPC_URL = os.environ.get("SHAVEET_RPC") or "http://127.0.0.1:8082/"
PUBLIC_URL = (os.environ.get("SHAVEET_PUBLIC") or "http://127.0.0.1:8082").rstrip("/")
TOKEN = os.environ.get("SHAVEET_TOKEN", "")
PULL = os.environ.get("SHAVEET_PULL") or "tcp://127.0.0.1:5556"
PUB = os.environ.get("SHAVEET_PUB") or "tcp://127.0.0.1:5557"
PORT = os.environ.get("PORT") or "5000"

PAGE = Path(__file__).resolve().parent.parent / "page"
MAX_BODY = 32 * 1024
PATIENCE = (0.3, 2.7)  # seconds until a line that was said is heard, and then some more
PAST = 100  # messages that are asked for
SECRET = secrets.token_bytes(32)  # of this life of the web application


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
    except (OSError, ValueError, RecursionError) as error:  # HTTP errors are OSErrors too
        raise ShaveetError(f"{method}: {error}") from error
    if answer.get("error"):
        raise ShaveetError(f"{method}: {answer['error']['message']}")
    return answer["result"]


class App:
    """What the web application does, by the threads of its server."""

    def __init__(self, name):
        self.name = name
        self.lines = Lines()
        self.bus = Bus(PULL, PUB, self.lines)

    def join(self, request):
        """Lets a page in, whenever it connects: Shaveet knows nobody after a
        restart, and what is set up already is not changed by this."""
        client_id = text(request, "client_id")
        # Who comes back stays who they were, so that their socket recovers.
        if not hmac.compare_digest(text(request, "token").encode(), token(client_id).encode()):
            client_id = "chatterbox-" + secrets.token_hex(16)
        key = shaveet("create_client", client_id=client_id)
        shaveet("subscribe", client_id=client_id, channel_name=CHANNEL)
        position = self.remember()
        return {
            "auth": {"client_id": client_id, "key": key, "cursor": position},
            "token": token(client_id),
            "lines": self.lines.newest(),
        }

    def say(self, request):
        """Says a line, and answers when it was heard: ZeroMQ has no receipts, but
        we are among those who hear."""
        line = {"u": plain(request, "u"), "m": plain(request, "m", "\n\t")}
        line["id"] = plain(request, "id") if request.get("id") not in (None, "") else secrets.token_hex(16)
        line["w"] = self.name
        if self.lines.hears(line["id"], 0):
            return  # a second attempt, and the first one came through
        try:
            self.bus.say(line)
        except Away:
            raise Refusal(502, "nothing was said: the push server is away") from None
        for seconds in PATIENCE:
            if self.lines.hears(line["id"], seconds):
                return
            with contextlib.suppress(ShaveetError):
                self.remember()  # we may be deaf: what is said while our socket is not connected does not come
        if not self.lines.hears(line["id"], 0):
            raise Refusal(504, "it is not known whether that was said; with the same id it can be said again")

    def remember(self):
        """Takes over what Shaveet keeps, and returns where that ends: whoever goes
        on there misses nothing."""
        history = shaveet("history", channel=CHANNEL, limit=PAST, reverse=True)
        self.lines.add(reversed(history["messages"]))
        return history["position"]


def token(client_id):
    """What only we can make of a client's id."""
    return hmac.new(SECRET, client_id.encode(), hashlib.sha256).hexdigest()


def text(request, field):
    value = request.get(field, "")
    if not isinstance(value, str):
        raise Refusal(400, field + " must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        raise Refusal(400, field + " is not text") from None
    return value


def plain(request, field, allowed=""):
    """Printable text, and those control characters that are allowed."""
    value = text(request, field)
    control = any((c < " " or "\x7f" <= c <= "\x9f") and c not in allowed for c in value)
    value = value.strip()
    if control or not 1 <= len(value) <= LIMITS[field]:
        raise Refusal(400, f"{field}: 1 to {LIMITS[field]} printable characters")
    return value


TYPES = {".js": "text/javascript", ".css": "text/css"}
FILES = {"/" + path.name: path for path in PAGE.iterdir() if path.suffix in TYPES}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # header and body leave together

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/":
            page = (PAGE / "index.html").read_text(encoding="utf-8")
            page = page.replace("__SHAVEET__", html.escape(PUBLIC_URL)).replace("__NAME__", html.escape(self.server.app.name))
            self.send(200, page.encode(), "text/html; charset=utf-8")
        elif path in FILES:
            self.send(200, FILES[path].read_bytes(), TYPES[FILES[path].suffix] + "; charset=utf-8")
        else:
            self.send_json(404, {"error": "no such page"})

    def do_POST(self):
        app = self.server.app
        try:
            self.refuse_elsewhere()
            request = self.read_object()
            action = {"/join": app.join, "/say": app.say}.get(self.path)
            if action is None:
                raise Refusal(404, "no such page")
            result = action(request)
        except Refusal as refusal:
            self.send_json(refusal.status, {"error": str(refusal)})
        except ShaveetError as error:
            self.log_error("shaveet: %s", error)
            self.send_json(502, {"error": "the push server does not answer"})
        else:
            self.send_json(204 if result is None else 200, result)

    def refuse_elsewhere(self):
        """A page of another site may not have its visitors speak here. Browsers say
        where a page is from; other programs say nothing."""
        site, origin = self.headers.get("Sec-Fetch-Site"), self.headers.get("Origin")
        if site:
            elsewhere = site not in ("same-origin", "none")
        else:
            elsewhere = origin and urllib.parse.urlsplit(origin).netloc != self.headers.get("Host")
        if elsewhere:
            self.close_connection = True  # what is left unread is no request
            raise Refusal(403, "another site cannot do that")

    def read_object(self):
        length = self.headers.get("Content-Length", "")
        length = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else -1
        if not 0 <= length <= MAX_BODY:
            self.close_connection = True  # what is left unread is no request
            self.rfile.read(max(0, min(length, 32 * MAX_BODY)))  # who is still sending does not listen
            raise Refusal(413 if length > 0 else 400, f"a JSON object of {MAX_BODY} bytes at most is expected")
        try:
            request = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            raise Refusal(400, "a JSON object is expected")
        return request

    def send_json(self, status, value):
        self.send(status, b"" if value is None else json.dumps(value).encode(), "application/json")

    def send(self, status, body, media_type):
        # Scripts and connections: this server and Shaveet, nothing else.
        url = urllib.parse.urlsplit(PUBLIC_URL)
        source = "'self'" + (f" {url.scheme}://{url.netloc}" if url.netloc else "")
        # WebSockets are named apart.
        sockets = f" {url.scheme.replace('http', 'ws')}://{url.netloc}" if url.netloc else ""
        self.send_response(status)
        if status != 204:
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
        server.app = App((os.environ.get("NAME") or str(server.server_port))[: LIMITS["w"]])
        print(f"chatterbox on http://127.0.0.1:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
