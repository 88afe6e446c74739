"""What ``benchmarks.stream_echo`` compares: `UpgradeStream` under uvicorn, and asyncio's own streams.

``python -m benchmarks.stream_servers PORT`` runs the latter, which speaks just enough HTTP to answer 101.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop

from asgi_upgrade import UpgradeMiddleware, UpgradeResponse, UpgradeStream

CHUNK = 65536
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


async def echo(stream: UpgradeStream) -> None:
    async for data in stream:
        await stream.send(data)


async def count(stream: UpgradeStream) -> None:
    """Receive to the end, then say how much it was."""
    received = 0
    async for data in stream:
        received += len(data)
    await stream.send(b"%d" % received)


async def pour(stream: UpgradeStream) -> None:
    """Send as many bytes as the query says."""
    left, piece = int(stream.scope["query_string"]), bytes(CHUNK)
    while left:
        await stream.send(piece[:left])
        left -= min(left, CHUNK)


HANDLERS = {"/": echo, "/count": count, "/pour": pour}


async def respond(scope: Any, receive: Any, send: Any) -> None:
    """Give the connection to the handler that the path names."""
    if scope["type"] == "http":
        await UpgradeResponse(HANDLERS[scope["path"]])(scope, receive, send)
        return
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


app = UpgradeMiddleware(respond)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The same echo as asyncio's documentation has it."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the load generator leaves without ceremony
    finally:
        writer.close()


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(int(sys.argv[1])))
