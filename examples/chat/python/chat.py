"""The chat example's back end in Python, standard library only.

    python3 examples/chat/python/chat.py

It does what every back end beside Shaveet does: it decides who may join and
who may speak, and tells Shaveet over JSON-RPC. What people read comes to their
browsers from Shaveet, never from here. See ../README.md.
"""

import hmac
import html
import json
import os
import secrets
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RPC_URL = os.environ.get("SHAVEET_RPC") or "http://127.0.0.1:8082/"
PUBLIC_URL = (os.environ.get("SHAVEET_PUBLIC") or "http://127.0.0.1:8082").rstrip("/")
TOKEN = os.environ.get("SHAVEET_TOKEN", "")
PORT = int(os.environ.get("PORT") or 5000)

PAGE = Path(__file__).resolve().parent.parent / "page"
CHANNEL = "chat"
MAX_BODY = 16 * 1024
MAX_NAME = 40  # characters
MAX_TEXT = 2000  # characters
MAX_PEOPLE = 10000  # bounds the memory that strangers can take by joining


class Refusal(Exception):
    """An error that the browser is told about."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class ShaveetError(Exception):
    """Shaveet did not answer, or answered with an error."""


def shaveet(method, *params):
    """Calls one method of Shaveet's admin API and returns its result."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    headers = {"Content-Type": "application/json"}
    if TOKEN:
        headers["Authorization"] = "Bearer " + TOKEN
    request = urllib.request.Request(RPC_URL, body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = json.load(response)
    except (OSError, ValueError) as error:  # HTTP errors are OSErrors too
        raise ShaveetError(str(error)) from error
    if answer.get("error"):
        raise ShaveetError(answer["error"]["message"])
    return answer["result"]


class People:
    """Who has joined: the public client_id of each browser tab, with the
    secret token that proves to this back end who is speaking."""

    def __init__(self):
        self._lock = threading.Lock()
        self._by_id = {}  # client_id: (token, name)

    def welcome(self, name, client_id, token):
        """Makes a new person, or renews one who can prove to be the old one."""
        with self._lock:
            if not self._is(client_id, token):
                if len(self._by_id) >= MAX_PEOPLE:
                    raise Refusal(503, "the room is full")
                client_id, token = "chat-" + secrets.token_hex(8), secrets.token_hex(16)
            self._by_id[client_id] = (token, name)
            return client_id, token

    def verify(self, client_id, token):
        """Returns the name of the speaker."""
        with self._lock:
            if not self._is(client_id, token):
                raise Refusal(403, "wrong client_id or token")
            return self._by_id[client_id][1]

    def name(self, client_id):
        with self._lock:
            return self._by_id.get(client_id, (None, None))[1]

    def full(self):
        with self._lock:
            return len(self._by_id) >= MAX_PEOPLE

    def keep_only(self, client_ids):
        with self._lock:
            self._by_id = {i: self._by_id[i] for i in client_ids if i in self._by_id}

    def _is(self, client_id, token):
        known = self._by_id.get(client_id)
        return known is not None and hmac.compare_digest(known[0].encode(), token.encode())


people = People()


def join(request):
    """Somebody who comes back with the right token, after Shaveet has
    restarted for example, stays who they were."""
    name = plain_text(request, "name", MAX_NAME)
    if people.full():
        people.keep_only(shaveet("get_channel_clients", CHANNEL))
    client_id, token = people.welcome(name, text(request, "client_id"), text(request, "token"))
    key = shaveet("create_client", client_id)
    shaveet("subscribe", client_id, CHANNEL)
    return {
        "client_id": client_id,
        "key": key,  # opens Shaveet, to listen
        "token": token,  # opens this back end, to speak
        "name": name,
        "channel": CHANNEL,
        "shaveet_url": PUBLIC_URL,
    }


def say(request):
    """The name is filled in here and not by the browser, so nobody can speak
    as somebody else."""
    client_id = text(request, "client_id")
    name = people.verify(client_id, text(request, "token"))
    message = {"type": "message", "name": name, "text": plain_text(request, "text", MAX_TEXT)}
    shaveet("new_message", client_id, message, CHANNEL, False)


def leave(request):
    """Lets the others know at once; who just vanishes is noticed by
    Shaveet's sweeper a little later."""
    client_id = text(request, "client_id")
    people.verify(client_id, text(request, "token"))
    shaveet("kill_client", client_id)


def members(_request):
    """Shaveet knows who is there, we know their names."""
    named = ((i, people.name(i)) for i in shaveet("get_channel_clients", CHANNEL))
    return [{"client_id": i, "name": name} for i, name in named if name]


def text(request, field):
    value = request.get(field, "")
    if not isinstance(value, str):
        raise Refusal(400, field + " must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        raise Refusal(400, field + " is not text") from None
    return value


def plain_text(request, field, limit):
    """1 to limit characters; control characters other than line breaks and
    tabs are refused."""
    value = text(request, field).strip()
    control = any((c < " " or "\x7f" <= c <= "\x9f") and c not in "\n\t" for c in value)
    if not 1 <= len(value) <= limit or control:
        raise Refusal(400, f"{field}: 1 to {limit} printable characters")
    return value


ACTIONS = {
    ("POST", "/join"): join,
    ("POST", "/say"): say,
    ("POST", "/leave"): leave,
    ("GET", "/members"): members,
}
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/chat.css": ("chat.css", "text/css; charset=utf-8"),
    "/chat.js": ("chat.js", "text/javascript; charset=utf-8"),
}


def content_security_policy():
    """Scripts and connections: this server and Shaveet, nothing else."""
    url = urllib.parse.urlsplit(PUBLIC_URL)
    source = "'self'" + (f" {url.scheme}://{url.netloc}" if url.netloc else "")
    return (
        f"default-src 'self'; img-src 'self' data:; script-src {source}; connect-src {source}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # header and body leave together

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path in FILES:
            name, media_type = FILES[path]
            body = (PAGE / name).read_text(encoding="utf-8")
            body = body.replace("__SHAVEET__", html.escape(PUBLIC_URL))
            self.send(200, body.encode(), media_type)
        else:
            self.act(path, lambda: {})

    def do_POST(self):
        self.act(self.path.partition("?")[0], self.read_object)

    def act(self, path, read):
        action = ACTIONS.get((self.command, path))
        try:
            if self.command == "POST":
                self.refuse_elsewhere()
            request = read()
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
        """A page of another site may not have its visitors join or speak here.
        Browsers say where a page is from; other programs say nothing."""
        site, origin = self.headers.get("Sec-Fetch-Site"), self.headers.get("Origin")
        if site:
            elsewhere = site not in ("same-origin", "none")
        else:
            elsewhere = origin and urllib.parse.urlsplit(origin).netloc != self.headers.get("Host")
        if elsewhere:
            self.close_connection = True  # what is left unread is no request
            raise Refusal(403, "another site cannot do that")

    def read_object(self):
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_BODY:
            self.close_connection = True  # what is left unread is no request
            raise Refusal(413 if length > MAX_BODY else 400, "a short JSON object is expected")
        try:
            request = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            raise Refusal(400, "a JSON object is expected")
        return request

    def send_json(self, status, value):
        body = b"" if value is None else json.dumps(value).encode()
        self.send(status, body, "application/json")

    def send(self, status, body, media_type):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", content_security_policy())
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", PORT), Handler) as server:
        print(f"chat on http://127.0.0.1:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
