"""The notifications example's back end in Python, standard library only.

    python3 examples/notifications/python/notifications.py

It keeps the users and the notifications, tells Shaveet over JSON-RPC what is
new, and answers its page. See ../README.md.
"""

import html
import json
import os
import secrets
import threading
import time
import unicodedata
import urllib.parse
import urllib.request
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RPC_URL = os.environ.get("SHAVEET_RPC") or "http://127.0.0.1:8082/"
PUBLIC_URL = (os.environ.get("SHAVEET_PUBLIC") or "http://127.0.0.1:8082").rstrip("/")
TOKEN = os.environ.get("SHAVEET_TOKEN", "")
PORT = int(os.environ.get("PORT") or 5000)

PAGE = Path(__file__).resolve().parent.parent / "page"
COOKIE = "notifications_session"
EVERYONE = "everyone"  # the channel that all are on
MAX_BODY = 16 * 1024
MAX_USERS, MAX_SESSIONS, MAX_KEPT = 1000, 10000, 1000  # what strangers can make us keep
SHOWN = 100  # notifications in a list


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
            answer = json.load(response)
    except (OSError, ValueError) as error:  # HTTP errors are OSErrors too
        raise ShaveetError(f"{method}: {error}") from error
    if answer.get("error"):
        raise ShaveetError(f"{method}: {answer['error']['message']}")
    return answer["result"]


class User:
    """An id is drawn and not counted: after a restart of this program nobody
    gets an id, and with it a channel, that was somebody else's. Names may hold
    anything, so they are never a part of the names of channels and clients."""

    def __init__(self, name):
        self.name = name
        self.channel = "user:" + secrets.token_hex(16)  # their own; and the id of their client
        self.read = 0  # the number up to which they have read


# The truth about notifications; in a real site a database.
lock = threading.Lock()  # guards what follows
life = secrets.token_hex(8)  # of this store; its numbers begin at 1, so publish ids need more than them
last = 0
users = {}  # name: User
sessions = {}  # session: User
kept = []  # (channel, notification), the oldest first
waiting = {}  # number: (channel, notification); Shaveet has not been told yet


def login(request):
    """Takes anybody at their word. A real site asks for more than a name, and
    marks its cookie Secure."""
    name = plain_text(request, "name", 40)
    with lock:
        if len(sessions) >= MAX_SESSIONS or (name not in users and len(users) >= MAX_USERS):
            raise Refusal(503, "there is no more room")
        session = secrets.token_hex(16)
        sessions[session] = users.setdefault(name, User(name))
    return {"name": name}, session


def logout(session):
    """Also changes the key of whoever leaves: what this browser knew of Shaveet
    is void. The user's other browsers are refused as well, ask for credentials
    as they do then, and go on with the new key."""
    with lock:
        user = sessions.pop(session, None)
    if user:
        try:
            shaveet("rotate_key", client_id=user.channel)
        except ShaveetError as error:
            print(f"the key of {user.name!r} stays: {error}", flush=True)


def credentials(user, _request):
    """What a page connects with. It asks when it opens, and again whenever
    Shaveet refuses what it has; so everything is set up anew each time, which
    changes nothing where it is set up already."""
    key = shaveet("create_client", client_id=user.channel, position=True)["key"]
    channels = [user.channel, EVERYONE]
    for channel in channels:
        cursor = shaveet("subscribe", client_id=user.channel, channel_name=channel, position=True)["position"]
    publish()
    return {"url": PUBLIC_URL, "clientId": user.channel, "key": key, "cursor": cursor, "channels": channels}


def listing(user, _request):
    """What a page shows when it opens, and goes back to when it may have missed
    something."""
    with lock:
        mine = [n for channel, n in kept if channel in (user.channel, EVERYONE)]
        return {
            "name": user.name,
            "notifications": mine[-SHOWN:],
            "unread": sum(n["number"] > user.read for n in mine),
            "read": user.read,
            "people": sorted(users),
        }


def notify(user, request):
    global last
    text = plain_text(request, "text", 500)
    everyone = request.get("everyone") is True
    with lock:
        to = None if everyone else users.get(plain_text(request, "to", 40))
        if not everyone and to is None:
            raise Refusal(404, "nobody of this name has ever logged in")
        last += 1
        number = last
        news = {"number": number, "from": user.name, "text": text, "time": int(time.time() * 1000), "everyone": everyone}
        waiting[number] = (EVERYONE if everyone else to.channel, news)
        waiting.pop(number - MAX_KEPT, None)
        kept.append(waiting[number])
        del kept[:-MAX_KEPT]
    return {"number": number, "live": publish()}


def publish():
    """Tells Shaveet what it has not been told yet, and reports whether it could.
    What it could not is told the next time. Who does not know whether an attempt
    came through (the answer was lost, or another request does the same at this
    moment) just tries again: with the same publish id it is said once."""
    with lock:
        unsaid = list(waiting.items())
    for number, (channel, news) in unsaid:
        try:
            shaveet("publish", channel=channel, data=news, publish_id=f"{life}-{number}")
        except ShaveetError as error:
            print(f"notification {number} waits: {error}", flush=True)
            return False
        with lock:
            waiting.pop(number, None)
    return True


def read(user, request):
    """Also tells the user's other tabs. If that fails they find out with their
    next list, so it is not tried again."""
    number = request.get("number")
    if type(number) is not int:
        raise Refusal(400, "number must be a number")
    with lock:
        user.read = max(user.read, min(number, last))
        news = {"type": "read", "number": user.read}
    try:
        shaveet("publish", channel=user.channel, data=news)
    except ShaveetError as error:
        print(f"other tabs of {user.name!r} are not told: {error}", flush=True)
    return news


def plain_text(request, field, limit):
    """1 to limit characters, none of them a control character or half of one."""
    value = request.get(field)
    if isinstance(value, str) and 1 <= len(value := value.strip()) <= limit:
        if not any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
            return value
    raise Refusal(400, f"{field}: 1 to {limit} printable characters")


ACTIONS = {
    ("POST", "/credentials"): credentials,
    ("GET", "/notifications"): listing,
    ("POST", "/notify"): notify,
    ("POST", "/read"): read,
}
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/notifications.css": ("notifications.css", "text/css; charset=utf-8"),
    "/notifications.js": ("notifications.js", "text/javascript; charset=utf-8"),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # header and body leave together

    def do_GET(self):
        self.answer(self.path.partition("?")[0])

    do_POST = do_GET

    def answer(self, path):
        try:
            if self.command == "GET" and path in FILES:
                self.send_file(*FILES[path])
            else:
                self.act(path, self.read_object() if self.command == "POST" else {})
        except Refusal as refusal:
            self.send_json(refusal.status, {"error": str(refusal)})
        except ShaveetError as error:
            self.log_error("shaveet: %s", error)
            self.send_json(502, {"error": "the push server does not answer"})

    def act(self, path, request):
        try:
            session = SimpleCookie(self.headers.get("Cookie", ""))[COOKIE].value
        except (CookieError, KeyError):
            session = ""
        if (self.command, path) == ("POST", "/login"):
            result, session = login(request)
            self.send_json(200, result, f"{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict")
        elif (self.command, path) == ("POST", "/logout"):
            logout(session)
            self.send_json(204, None, f"{COOKIE}=; Path=/; Max-Age=0")
        elif (self.command, path) not in ACTIONS:
            raise Refusal(404, "no such page")
        else:
            with lock:
                user = sessions.get(session)
            if not user:
                raise Refusal(401, "log in first")
            self.send_json(200, ACTIONS[self.command, path](user, request))

    def read_object(self):
        length = self.headers.get("Content-Length", "")
        length = int(length) if length.isascii() and length.isdigit() else -1
        if not 0 <= length <= MAX_BODY:
            self.close_connection = True  # what is left unread is no request
            self.rfile.read(max(0, min(length, 64 * MAX_BODY)))  # who is still sending does not listen
            raise Refusal(400, "a short JSON object is expected")
        body = self.rfile.read(length)
        # Other sites cannot act for our users: SameSite keeps the cookie from
        # them. But a site, there, is a host without its port; so this refuses
        # every POST that a browser sends from another origin.
        origin = self.headers.get("Origin")
        if origin is not None and urllib.parse.urlsplit(origin).netloc != self.headers.get("Host"):
            raise Refusal(403, "another site cannot do that")
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            raise Refusal(400, "a JSON object is expected")
        return request

    def send_file(self, name, media_type):
        body = (PAGE / name).read_text(encoding="utf-8").replace("__SHAVEET__", html.escape(PUBLIC_URL))
        self.send(200, body.encode(), {"Content-Type": media_type})

    def send_json(self, status, value, cookie=None):
        body = b"" if value is None else json.dumps(value).encode()
        headers = {"Content-Type": "application/json"} | ({"Set-Cookie": cookie} if cookie else {})
        self.send(status, body, headers)

    def send(self, status, body, headers):
        # Scripts and connections: this server and Shaveet, nothing else.
        url = urllib.parse.urlsplit(PUBLIC_URL)
        source = "'self'" + (f" {url.scheme}://{url.netloc}" if url.netloc else "")
        # WebSockets are named apart.
        sockets = f" {url.scheme.replace('http', 'ws')}://{url.netloc}" if url.netloc else ""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Cache-Control", "no-store")
        self.send_header(
            "Content-Security-Policy",
            f"default-src 'self'; img-src 'self' data:; script-src {source}; connect-src {source}{sockets}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
        )
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", PORT), Handler) as server:
        print(f"notifications on http://127.0.0.1:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
