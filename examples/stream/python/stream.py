"""The stream example's back end in Python, standard library only.

    python3 examples/stream/python/stream.py

Two threads tell Shaveet a line again and again, and whoever wants to listen is
handed what it takes. The lines come to browsers and terminals from Shaveet,
never from here. See ../README.md.
"""

import html
import json
import os
import random
import secrets
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RPC_URL = os.environ.get("SHAVEET_RPC") or "http://127.0.0.1:8082/"
PUBLIC_URL = (os.environ.get("SHAVEET_PUBLIC") or "http://127.0.0.1:8082").rstrip("/")
TOKEN = os.environ.get("SHAVEET_TOKEN", "")
PORT = os.environ.get("PORT") or "5000"

PAGE = Path(__file__).resolve().parent.parent / "page"
CHANNELS = {"": "stream:hello", "hello": "stream:hello", "random": "stream:random"}
LIFE = secrets.token_hex(8)  # numbers begin at 1 at each start, so publish ids need more than them

# How many lines wait for Shaveet when it is away. What is older is given up,
# for who listens to something live wants to hear of now.
KEPT = 10


class ShaveetError(Exception):
    """Shaveet did not answer, or answered with an error."""


def shaveet(method, timeout=10, **params):
    """Calls one method of Shaveet's admin API and returns its result."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    headers = {"Content-Type": "application/json"}
    if TOKEN:
        headers["Authorization"] = "Bearer " + TOKEN
    request = urllib.request.Request(RPC_URL, body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer = json.load(response)
    except (OSError, ValueError) as error:  # HTTP errors are OSErrors too
        raise ShaveetError(f"{method}: {error}") from error
    if answer.get("error"):
        raise ShaveetError(f"{method}: {answer['error']['message']}")
    return answer["result"]


def hello(number):
    """What the tutorial's producer says, once a second."""
    return {"number": number, "text": "Hello World", "time": int(time.time() * 1000)}


def random_data(number):
    """What the tutorial's WebSocket says, twice a second. Its x is the line's
    number."""
    return {"x": number, "y": random.randint(1, 5)}


class Producer:
    """Says a line on a channel again and again, whether anybody listens or not.
    It belongs to the thread that runs it."""

    def __init__(self, channel, every, content):
        self.channel, self.every, self.content = channel, every, content
        self.number = 0  # of the last line
        self.waiting = []  # (number, data), the oldest first
        self.told = 0  # the last line that Shaveet may have, though it has not said so
        self.away = False  # Shaveet did not take the last line that it was told

    def run(self, stop):
        """Says lines until stop is set."""
        due = time.monotonic() + self.every
        while not stop.wait(max(0, due - time.monotonic())):
            due = max(due + self.every, time.monotonic())  # who was held up does not hurry after it
            self.add()
            self.say()

    def add(self):
        """Makes the next line. If too many wait the oldest is given up of those
        that Shaveet has never been told, so that it is really lost. The one
        behind it, which it has never been told either, will say so."""
        self.number += 1
        self.waiting.append((self.number, self.content(self.number) | {"producer": LIFE}))
        if len(self.waiting) > KEPT:
            oldest = 1 if self.waiting[0][0] == self.told else 0
            _, given_up = self.waiting.pop(oldest)
            self.waiting[oldest][1]["lost"] = given_up.get("lost", 0) + 1

    def say(self):
        """Tells Shaveet what waits, the oldest first, and stops where it cannot:
        by then the next line is due. It need not know whether an attempt came
        through that brought no answer. The next one has the same publish id, and
        with that the line is said once, by any one Shaveet: its memory ends when
        it does."""
        end = time.monotonic() + self.every
        while self.waiting and (left := end - time.monotonic()) > 0:
            number, data = self.waiting[0]
            self.told = number
            publish_id = f"{self.channel}-{LIFE}-{number}"
            try:
                shaveet("publish", left, channel=self.channel, data=data, publish_id=publish_id)
            except ShaveetError as error:
                if not self.away:
                    print(f"{self.channel}: line {number} waits: {error}", flush=True)
                self.away = True
                return
            if self.away:
                lost = self.waiting[1][1].get("lost", 0) if len(self.waiting) > 1 else 0
                print(f"{self.channel}: line {number} is said, {lost} after it are lost", flush=True)
            self.away = False
            self.waiting.pop(0)


def credentials(channel):
    """Makes a client, whoever asks, and subscribes it: what is said from then on
    it can hear. It is told in two forms. As clientId, key and url it is for the
    page; as clients and cursor the answer is, as it is, the body of a request to
    Shaveet, which passes over what it does not know."""
    client_id = "stream-" + secrets.token_hex(16)
    key = shaveet("create_client", client_id=client_id)
    position = shaveet("subscribe", client_id=client_id, channel_name=channel, position=True)["position"]
    return {
        "url": PUBLIC_URL,
        "channel": channel,
        "clientId": client_id,
        "key": key,
        "clients": [{"id": client_id, "key": key}],
        "cursor": position,
    }


FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/websocket": ("websocket.html", "text/html; charset=utf-8"),
    "/stream.css": ("stream.css", "text/css; charset=utf-8"),
    "/reader.js": ("reader.js", "text/javascript; charset=utf-8"),
    "/stream.js": ("stream.js", "text/javascript; charset=utf-8"),
    "/websocket.js": ("websocket.js", "text/javascript; charset=utf-8"),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # header and body leave together

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path in FILES:
            name, media_type = FILES[path]
            text = (PAGE / name).read_text(encoding="utf-8")
            if name.endswith(".html"):
                text = text.replace("__SHAVEET__", html.escape(PUBLIC_URL))
            self.send(200, text.encode(), media_type)
        elif path == "/credentials":
            self.send_credentials(urllib.parse.parse_qs(query).get("channel", [""])[0])
        else:
            self.send_json(404, {"error": "no such page"})

    def do_POST(self):
        self.close_connection = True  # its body stays unread
        known = self.path.partition("?")[0] in (*FILES, "/credentials")
        self.send_json(405 if known else 404, {"error": "nothing takes a POST"})

    def send_credentials(self, name):
        # A page of another site could have clients made in numbers, by images.
        # Terminals say nothing of this kind.
        if self.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            self.send_json(403, {"error": "another site cannot do that"})
            return
        if name not in CHANNELS:
            self.send_json(404, {"error": "the channels are hello and random"})
            return
        try:
            self.send_json(200, credentials(CHANNELS[name]))
        except ShaveetError as error:
            self.log_error("shaveet: %s", error)
            self.send_json(502, {"error": "the push server does not answer"})

    def send_json(self, status, value):
        self.send(status, json.dumps(value).encode() + b"\n", "application/json")

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


def main():
    producers = [Producer("stream:hello", 1, hello), Producer("stream:random", 0.5, random_data)]
    stop = threading.Event()
    threads = [threading.Thread(target=producer.run, args=(stop,)) for producer in producers]
    with listen() as server:
        for thread in threads:
            thread.start()
        print(f"stream on http://127.0.0.1:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            stop.set()
            for thread in threads:
                thread.join()


if __name__ == "__main__":
    main()
