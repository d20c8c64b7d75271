"""A socket of libzmq that does as it is told.

Reads calls from its input, a line of JSON each, [name, argument...], and
answers each with a line. It ends with its input.
"""

import json
import sys
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

context = zmq.Context()


class Calls:
    def open(self, kind, options):
        self.socket = context.socket(getattr(zmq, kind))
        self.socket.linger = 0
        for name, value in options.items():
            value = value.encode() if isinstance(value, str) else value
            self.socket.setsockopt(getattr(zmq, name), value)
        self.monitor = self.socket.get_monitor_socket()

    def connect(self, endpoint):
        self.socket.connect(endpoint)

    def bind(self, endpoint):
        self.socket.bind(endpoint)
        return self.socket.last_endpoint.decode()

    def option(self, name, value):
        self.socket.setsockopt(getattr(zmq, name), value.encode())

    def send(self, *frames):
        self.socket.send_multipart([f.encode() for f in frames])

    def send_size(self, size):
        """One JSON string of so many bytes, the quotes included."""
        self.socket.send(b'"' + b"x" * (size - 2) + b'"')

    def receive(self, limit):
        """A message, or nothing for so many milliseconds."""
        if not self.socket.poll(limit):
            return None
        return [f.decode() for f in self.socket.recv_multipart()]

    def flood(self, first, n, channels, size, per_second, count_refused):
        """Numbered messages, to the channels in turn, each with so many bytes
        beside its number; as fast as it goes when per_second is 0. Whether
        libzmq has no room for one any more it tells if that is asked for;
        otherwise it blocks, or drops it without a word."""
        pad = "x" * size
        flags = zmq.NOBLOCK if count_refused else 0
        refused = 0
        began = time.monotonic()
        for i in range(n):
            if per_second and i % 10 == 0:
                time.sleep(max(0, began + i / per_second - time.monotonic()))
            body = b'{"n":%d,"pad":"%s"}' % (first + i, pad.encode())
            try:
                self.socket.send_multipart([channels[i % len(channels)].encode(), body], flags)
            except zmq.Again:
                refused += 1
        return {"refused": refused, "seconds": time.monotonic() - began}

    def collect(self, last, limit):
        """The numbers that come, until one is the last or nothing comes for so
        many milliseconds: how many, and whether each is larger than before.
        Those below 0 are passed over."""
        count, at, ordered = 0, -1, True
        while at < last and self.socket.poll(limit):
            n = json.loads(self.socket.recv_multipart()[1])["data"]["n"]
            if n >= 0:
                count, at, ordered = count + 1, n, ordered and n > at
        return {"count": count, "last": at, "ordered": ordered}

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


calls = Calls()
for line in sys.stdin:
    name, *arguments = json.loads(line)
    print(json.dumps(getattr(calls, name)(*arguments)), flush=True)
context.destroy(linger=0)
