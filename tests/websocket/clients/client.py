"""Opens WebSockets by the library websockets, as the argument says, and tells
on stdout what happens to them: one line of JSON for each event."""

import asyncio
import json
import sys

import websockets


def tell(name, event, **more):
    print(json.dumps({"name": name, "event": event, **more}), flush=True)


async def follow(connection, compression):
    name = connection["name"]
    async with websockets.connect(
        connection["url"],
        subprotocols=connection["protocols"] or None,
        compression="deflate" if compression else None,
    ) as socket:
        extensions = ", ".join(extension.name for extension in socket.extensions)
        tell(name, "open", protocol=socket.subprotocol or "", extensions=extensions)
        if connection["hello"]:
            await socket.send(connection["hello"])
        try:
            while True:
                data = await socket.recv()
                tell(name, "message" if isinstance(data, str) else "binary", data=str(data))
        except websockets.ConnectionClosed as closed:
            clean = closed.rcvd is not None and closed.rcvd_then_sent is True
            tell(name, "close", code=closed.rcvd.code if closed.rcvd else 1006, clean=clean)


async def main(said):
    await asyncio.gather(*(follow(c, said["compression"]) for c in said["connections"]))


asyncio.run(main(json.loads(sys.argv[1])))
