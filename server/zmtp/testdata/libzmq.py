"""A socket of libzmq that does as it is told.

Reads calls from its input, a line of JSON each, [name, argument...], and
answers each with a line. Bytes are in hexadecimal. It ends with its input.
"""

import json
import select
import sys
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

context = zmq.Context()
patience = 30_000  # milliseconds


class Calls:
    def open(self, kind, options):
        self.socket = context.socket(getattr(zmq, kind))
        self.socket.linger = 0
        self.socket.rcvtimeo = self.socket.sndtimeo = patience
        for name, value in options.items():
            value = bytes.fromhex(value) if isinstance(value, str) else value
            self.socket.setsockopt(getattr(zmq, name), value)
        self.monitor = self.socket.get_monitor_socket()

    def bind(self, endpoint):
        self.socket.bind(endpoint)
        return self.socket.last_endpoint.decode()

    def connect(self, endpoint):
        self.socket.connect(endpoint)

    def option(self, name, value):
        self.socket.setsockopt(getattr(zmq, name), bytes.fromhex(value))

    def send(self, *frames):
        self.socket.send_multipart([bytes.fromhex(f) for f in frames])

    def send_many(self, n, frames, size):
        """Messages of so many frames that begin with the numbers of both."""
        for i in range(n):
            self.socket.send_multipart([b"%d %d " % (i, j) + b"x" * size for j in range(frames)])

    def receive(self):
        return [f.hex() for f in self.socket.recv_multipart()]

    def events(self, until, limit):
        """The names of events until one of those, or for so many milliseconds."""
        names = []
        end = time.monotonic() + limit / 1000
        while not set(names) & set(until):
            left = end - time.monotonic()
            if left <= 0 or not self.monitor.poll(left * 1000):
                break
            names.append(zmq.Event(recv_monitor_message(self.monitor)["event"]).name)
        return names


def lines():
    """The lines of the input. Meanwhile the socket sees to what it has to do,
    which libzmq does only while it is called."""
    while True:
        while not select.select([sys.stdin], [], [], 0.05)[0]:
            if hasattr(calls, "socket"):
                calls.socket.events
        line = sys.stdin.readline()
        if not line:
            return
        yield line


calls = Calls()
for line in lines():
    name, *arguments = json.loads(line)
    print(json.dumps(getattr(calls, name)(*arguments)), flush=True)
context.destroy(linger=0)
