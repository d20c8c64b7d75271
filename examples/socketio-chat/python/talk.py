"""The Socket.IO chat example's back end in Python, standard library only.

    python3 examples/socketio-chat/python/talk.py

Pages speak Socket.IO with Shaveet, which asks here, by signed requests, what to
do about each thing that they say. The answers say it: what to acknowledge, which
room to join, what to emit. See ../README.md.
"""

import hashlib
import hmac
import html
import json
import os
import re
import sys
import threading
import time
import unicodedata
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RPC_URL = os.environ.get("SHAVEET_RPC") or "http://127.0.0.1:8082/"
PUBLIC_URL = (os.environ.get("SHAVEET_PUBLIC") or "http://127.0.0.1:8082").rstrip("/")
TOKEN = os.environ.get("SHAVEET_TOKEN", "")
SECRET = os.environ.get("CHAT_SECRET") or "for trying out only"  # that of shaveet.toml
PORT = os.environ.get("PORT") or "5000"

PAGE = Path(__file__).resolve().parent.parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
NAMESPACE = "/chat"
MAX_NAME, MAX_TEXT = 20, 2000  # characters
MAX_CALL = 4 << 20  # bytes
WINDOW = 300  # seconds that a call may be old, or early
LOST = 660  # seconds after which a number that is missing stays so: longer than handler_retry_time


class Refusal(Exception):
    """A request that is not answered."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def shaveet(*calls):
    """Makes the calls, each a method and its parameters, one after the other in
    one request, and returns the results."""
    requests = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(calls)]
    headers = {"Content-Type": "application/json"}
    if TOKEN:
        headers["Authorization"] = "Bearer " + TOKEN
    request = urllib.request.Request(RPC_URL, json.dumps(requests).encode(), headers)
    with urllib.request.urlopen(request, timeout=3) as response:
        answers = json.load(response)
    if any("result" not in answer for answer in answers):
        raise OSError(f"Shaveet answers {answers!r:.200}")
    return [answer["result"] for answer in answers]


# ---- the chat


class Talk:
    """Who is there: the one thing to keep. It also stands in the data that
    Shaveet keeps with each socket, so it can be had from there: by a process that
    has just begun, and by one that was away so long that something was not told
    to it. All methods are called with the lock held."""

    def __init__(self):
        self.lock = threading.Lock()
        self.epoch = ""  # of Shaveet's life; another one knows none of the sockets of the last
        self.people = {}  # sid: Person, with "nickname" and "room", either of which may be missing
        self.taken = {}  # nickname: sid
        self.last = 0  # serial number of calls
        self.missing = {}  # those that have not come, and since when
        self.version = 0  # of the list of nicknames

    def notice(self, epoch, serial):
        """Notes that a call has come, and asks for everybody if one never will."""
        now = time.monotonic()
        if epoch != self.epoch:
            self.ask_for_all()
            self.epoch, self.last, self.missing = epoch, serial, {}
        self.missing.pop(serial, None)
        if serial > self.last + 1000:  # too many to wait for each
            self.ask_for_all()
            self.missing = {}
        else:
            self.missing |= {n: now for n in range(self.last + 1, serial)}
        self.last = max(self.last, serial)
        if self.missing and now - min(self.missing.values()) > LOST:
            self.ask_for_all()
            self.missing = {}

    def ask_for_all(self):
        people, after = {}, ""
        while True:
            (part,) = shaveet(("fetch_sockets", {"namespace": NAMESPACE, "limit": 1000, "after": after}))
            people |= {s["sid"]: Person(s["sid"], s["data"]) for s in part["sockets"] if s["data"]}
            after = part.get("next", "")
            if not after:
                break
        taken = {p["nickname"]: sid for sid, p in people.items() if "nickname" in p}
        before, self.people, self.taken = self.taken, people, taken
        if before.keys() != taken.keys():
            self.say(self.list())

    @staticmethod
    def say(*events):
        shaveet(*(("emit", event | {"namespace": NAMESPACE}) for event in events))

    def list(self):
        """The nicknames, and a number that rises with each list: answers to calls
        that were made at once may be performed in another order."""
        self.version = max(self.version + 1, int(time.time() * 1000))
        return {"event": "nicknames", "args": [list(self.taken), self.version]}

    def connect(self, call):
        # Who is back says its nickname again: another may have it now.
        return {"data": None} if call["recovered"] else None

    def join(self, me, room=None, *_):
        if not plain_text(room, MAX_NAME) or room.startswith(("~", "client:")):  # those are somebody
            return [False]
        former = me.get("room", room)
        me["room"] = room
        return {"ack": [True], "leave": [former] if former != room else [], "join": [room], "data": me}

    def nickname(self, me, name=None, *_):
        if not plain_text(name, MAX_NAME):
            return [False]
        if self.taken.get(name, me.sid) != me.sid:
            return [False]
        before = me.get("nickname")
        self.taken.pop(before, None)
        self.taken[name] = me.sid
        me["nickname"] = name
        done = {"ack": [True, name], "data": me}
        if before == name:
            return done
        text = f"{before} is now known as {name}" if before else f"{name} has connected"
        return done | {"emit": [{"event": "announcement", "args": [text]}, self.list()]}

    def message(self, me, text=None, *_):
        if "nickname" not in me or "room" not in me or not plain_text(text, MAX_TEXT):
            return [False]
        said = {"event": "msg_to_room", "args": [me["nickname"], text], "to": me["room"], "except": me.sid}
        return {"ack": [True], "emit": said}

    EVENTS = {"join": join, "nickname": nickname, "user message": message}

    def event(self, call):
        answer = self.EVENTS.get(call["event"])
        if answer is None:
            return [{"error": {"type": "unknown_event", "message": "nobody answers this event"}}]
        me = self.people.setdefault(call["sid"], Person(call["sid"]))
        return answer(self, me, *call["args"])

    def disconnect(self, call):
        """There is nobody to answer, so what it comes to is said by the admin API.
        If that fails, Shaveet tells us again. The data is that of the socket: a
        process that has just begun has never heard of it."""
        sid = call["sid"]
        name = self.people.get(sid, call["data"] or {}).get("nickname")
        if name is not None and self.taken.get(name, sid) == sid:
            self.taken.pop(name, None)
            try:
                self.say({"event": "announcement", "args": [f"{name} has disconnected"]}, self.list())
            except OSError:
                self.taken[name] = sid
                raise
        self.people.pop(sid, None)

    METHODS = {"connect": connect, "event": event, "disconnect": disconnect}

    def answer(self, method, params):
        """Returns the result of a call."""
        with self.lock:
            self.notice(params["epoch"], params["serial"])
            if method not in self.METHODS:
                return None  # a notification that is none of ours
            return self.METHODS[method](self, params)


class Person(dict):
    """What is kept with a socket."""

    def __init__(self, sid, data=()):
        super().__init__(data)
        self.sid = sid


def plain_text(text, limit):
    """1 to limit characters without control characters; a message may have line
    breaks and tabs."""
    return (
        isinstance(text, str)
        and text.strip() != ""
        and len(text) <= limit
        and not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in text)
    )


# ---- the calls


class Memory:
    """Which calls were heard, as long as they would be taken again."""

    def __init__(self):
        self.lock = threading.Lock()
        self.answers = {}  # id: when it came, and its answer; None: under way

    def take(self, call_id, now):
        """Returns what a call was answered if it was heard before."""
        with self.lock:
            while self.answers and next(iter(self.answers.values()))[0] < now - 2 * WINDOW:
                del self.answers[next(iter(self.answers))]
            if call_id not in self.answers:
                self.answers[call_id] = (now, None)
                return None
            answer = self.answers[call_id][1]
        if answer is None:
            raise Refusal(503, "this call is under way")
        return answer

    def done(self, call_id, answer):
        """None: it has failed, and may come again."""
        with self.lock:
            if answer is None:
                del self.answers[call_id]
            else:
                self.answers[call_id] = (self.answers[call_id][0], answer)


def verify(headers, body, now):
    """Refuses what Shaveet has not signed, or not within the last minutes."""
    stamp = headers.get("Shaveet-Timestamp", "")
    given = headers.get("Shaveet-Signature", "").replace(" ", "").split(",")
    if not re.fullmatch("[0-9]{1,12}", stamp):
        raise Refusal(401, "the call is not signed")
    want = "v1=" + hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not any(hmac.compare_digest(want.encode(), one.encode("utf-8", "replace")) for one in given):
        raise Refusal(401, "the signature is not that of the call")
    if abs(now - int(stamp)) > WINDOW:
        raise Refusal(401, "the call is too old, or too early")


TALK = Talk()
MEMORY = Memory()


def webhook(headers, body):
    """Answers a call of Shaveet's."""
    now = time.time()
    verify(headers, body, now)
    call = json.loads(body)
    # The id in the header is not signed, so it has to be that in the body.
    if call["id"] != headers.get("Shaveet-Id"):
        raise Refusal(400, "the call's id is not that of its header")
    answer = MEMORY.take(call["id"], now)
    if answer is not None:
        return answer
    try:
        result = TALK.answer(call["method"], call["params"])
        answer = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}).encode()
    finally:
        MEMORY.done(call["id"], answer)
    return answer


# ---- the door


def content_security_policy():
    script, connect = "'self'", "'self'"
    url = urllib.parse.urlsplit(PUBLIC_URL)
    if url.netloc:
        origin = f"{url.scheme}://{url.netloc}"
        script += " " + origin
        connect += f" {origin} ws{origin.removeprefix('http')}"  # wss for https
    return (
        f"default-src 'none'; img-src data:; style-src 'self'; script-src {script}; connect-src {connect}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # Shaveet keeps its connections for a moment
    timeout = 30
    disable_nagle_algorithm = True

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        name = "index.html" if path == "/" else path[1:]
        if name not in FILES or path == "/index.html":
            self.send(404, b"no such page\n", "text/plain")
            return
        self.send(200, FILES[name], TYPES[Path(name).suffix] + "; charset=utf-8")

    def do_POST(self):
        try:
            if self.path != "/shaveet":
                raise Refusal(404, "no such page")
            length = self.headers.get("Content-Length", "")
            if not re.fullmatch("[0-9]{1,7}", length) or int(length) > MAX_CALL:
                raise Refusal(413, "the call is too long, or of unknown length")
            self.send(200, webhook(self.headers, self.rfile.read(int(length))), "application/json")
        except Refusal as refusal:
            self.close_connection = True  # what was left unread is no request
            self.send(refusal.status, f"{refusal}\n".encode(), "text/plain")
        except Exception as error:  # whatever it is, Shaveet is told that it has failed
            self.log_error("a call has failed: %r", error)
            self.send(500, b"failed\n", "text/plain")

    def send(self, status, body, media_type):
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", content_security_policy())
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_):
        pass  # one line for each thing that is said would be many


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # connections that wait to be accepted; 5 are few when many speak at once

    def handle_error(self, *where):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # who has hung up needs no answer
            super().handle_error(*where)


FILES = {path.name: path.read_bytes() for path in PAGE.iterdir() if path.suffix in TYPES}
FILES["index.html"] = FILES["index.html"].replace(b"__SHAVEET__", html.escape(PUBLIC_URL).encode())

if __name__ == "__main__":
    with Server(("127.0.0.1", int(PORT)), Handler) as server:
        print(f"chat on http://127.0.0.1:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
