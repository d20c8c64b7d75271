"""The live graph example's producer in Python, with pyzmq (Debian: python3-zmq).

    python3 examples/live-graph/python/producer.py

It makes a sine and sends it by a ZeroMQ socket, a point every tenth of a
second. See ../README.md.
"""

import argparse
import json
import math
import sys
import time

try:
    import zmq
    from zmq.utils.monitor import recv_monitor_message
except ImportError:
    raise SystemExit("pyzmq is missing: in Debian it is python3-zmq, elsewhere pip has it") from None

LATE = 1.0  # seconds after which a point is not made any more


def point(x):
    return {"x": x, "y": 2.5 * (1 + math.sin(x / 500))}


def times(interval):
    """Yields one Unix ms after the other, when its time has come. They are
    multiples of the interval, whenever they are really yielded: so whoever gets
    the points can tell that one is missing."""

    def following():
        return (int(time.time() * 1000) // interval + 1) * interval

    due = following()
    while True:
        wait = due / 1000 - time.time()
        if not -LATE <= wait <= 2 * interval / 1000:  # the machine has slept, or the clock was set
            due = following()
        time.sleep(max(0, due / 1000 - time.time()))
        yield due
        due += interval


class Watch:
    """Says when the server comes and goes: one line for each change."""

    def __init__(self, socket, endpoint):
        self.endpoint, self.well = endpoint, None
        self.events = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_DISCONNECTED)

    def look(self):
        while self.events.poll(0):
            well = recv_monitor_message(self.events)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if well != self.well:
                print("connected" if well else "not connected", self.endpoint, file=sys.stderr, flush=True)
            self.well = well


def main():
    options = argparse.ArgumentParser(description="Sends a sine by a ZeroMQ socket.")
    options.add_argument("--endpoint", default="tcp://127.0.0.1:5555", help="where the server's SUB (or PULL) socket is bound")
    options.add_argument("--push", action="store_true", help="be a PUSH socket instead of a PUB socket")
    options.add_argument("--interval", type=int, default=100, help="ms between two points")
    options.add_argument("--print", action="store_true", help="print the points")
    parser, options = options, options.parse_args()
    if options.interval < 1:
        parser.error("--interval: must be a millisecond at least")
    with zmq.Context() as context, context.socket(zmq.PUSH if options.push else zmq.PUB) as socket:
        socket.linger = 0
        if not options.push:
            # Nobody wants a live sine of a minute ago. Without this, as many as a
            # thousand points would wait for a server that has gone.
            socket.immediate = True
        watch = Watch(socket, options.endpoint)
        try:
            socket.connect(options.endpoint)  # and again by itself, whenever there is a server
        except zmq.ZMQError as error:
            parser.error(f"--endpoint {options.endpoint}: {error.strerror}")
        for x in times(options.interval):
            text = json.dumps(point(x))
            if options.print:
                print(text, flush=True)
            watch.look()
            socket.send_string(text)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
