"""What joins the web applications of the chatterbox example: two ZeroMQ sockets,
and the lines that have come by them."""

import json
import threading

import zmq

CHANNEL = "chatterbox"  # as in ../shaveet.toml
HELD = 1000  # lines, to know one that comes again
HANDED_OUT = 100  # of these, to newcomers
LIMITS = {"u": 40, "m": 2000, "id": 64, "w": 40}  # characters


class Away(Exception):
    """Nobody takes what is said."""


class Bus:
    """Says lines to Shaveet, and hears what was said on the channel, whoever has
    said it. Its methods may be called by any thread."""

    def __init__(self, pull, pub, lines):
        context = zmq.Context.instance()
        self._lines = lines
        self._lock = threading.Lock()  # guards _push: a socket is one thread's at a time
        self._push = context.socket(zmq.PUSH)
        # It takes nothing while Shaveet is away: otherwise a thousand lines would
        # wait in it, and visitors would be told that they were said.
        self._push.immediate = True
        self._push.linger = 1000  # ms
        self._sub = context.socket(zmq.SUB)
        self._sub.subscribe(CHANNEL)
        for socket, endpoint in ((self._push, pull), (self._sub, pub)):
            socket.heartbeat_ivl = 5000  # ms: who vanishes without a word is noticed
            try:
                socket.connect(endpoint)  # and again by itself, whenever Shaveet is there
            except zmq.ZMQError as error:
                raise SystemExit(f"{endpoint}: {error.strerror}") from None
        threading.Thread(target=self._hear, daemon=True).start()

    def say(self, line):
        """Hands a line to ZeroMQ. That it was said is not known before it is heard."""
        with self._lock:
            try:
                self._push.send(json.dumps(line, ensure_ascii=False).encode(), zmq.NOBLOCK)
            except zmq.Again:
                raise Away from None

    def _hear(self):
        while True:
            channel, *message = self._sub.recv_multipart()
            if channel != CHANNEL.encode():
                continue  # another one that begins so
            try:
                self._lines.add(map(parse, message))
            except (ValueError, RecursionError):
                continue  # deeper than Python can read, which is no line


def parse(text):
    """Reads JSON that others have written parts of: a number of thousands of
    digits is no reason to refuse the rest."""
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 20 else float(digits))


class Lines:
    """What was said lately, the oldest first. A line is there once, however often
    and by whichever way it comes."""

    def __init__(self):
        self._changed = threading.Condition()  # its lock guards the other one
        self._held = {}  # key: line

    def add(self, messages):
        """Adds messages as Shaveet's readers hear them. What is no line is passed
        over: whoever reaches the socket can say anything."""
        with self._changed:
            for line in filter(None, map(line_of, messages)):
                self._held.setdefault(key_of(line), line)
            newest = sorted(self._held.items(), key=lambda item: (item[1]["time"], item[1]["id"]))[-HELD:]
            self._held = dict(newest)
            self._changed.notify_all()

    def newest(self):
        with self._changed:
            return list(self._held.values())[-HANDED_OUT:]

    def hears(self, line_id, seconds):
        """Whether this line comes within so many seconds, or was there before."""
        with self._changed:
            return self._changed.wait_for(lambda: line_id in self._held, seconds)


def line_of(message):
    """The message with what pages want of it, or None if it is no line."""
    data = message["data"]
    if not isinstance(data, dict):
        return None
    data = {name: data.get(name, "") for name in LIMITS}
    if not all(isinstance(text, str) and len(text) <= LIMITS[name] for name, text in data.items()):
        return None
    if not data["u"] or not data["m"]:
        return None
    return {"id": message["id"], "pos": message["pos"], "time": message["time"], "data": data}


def key_of(line):
    """What it is known by: the id that its web application gave it, so that a
    second attempt is not a second line, or else its place in Shaveet's log."""
    return line["data"]["id"] or line["pos"]
