"""Applications that send without end and wait for nothing of their own, and others that should not notice."""

import time
from itertools import repeat
from typing import Any
from urllib.parse import parse_qs

from notes import note
from plain import app as application
from starlette.types import Receive, Scope, Send

from asgi_upgrade import H2CSettings, UpgradeMiddleware, UpgradeStream


def size(scope: Scope) -> int:
    return int(parse_qs(scope["query_string"].decode())["size"][-1])


async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Send messages of one size for ever."""
    await receive()
    await send({"type": "websocket.accept"})
    message = {"type": "websocket.send", "bytes": bytes(size(scope))}
    try:
        for _ in repeat(None):
            await send(message)
    except OSError:
        note(scope, "raised")


async def response(scope: Scope, receive: Receive, send: Send) -> None:
    """A response without an end: `send` does not tell of the client's, so it stops by itself, when nobody looks."""
    until = time.monotonic() + 10
    await send({"type": "http.response.start", "status": 200, "headers": []})
    message = {"type": "http.response.body", "body": bytes(size(scope)), "more_body": True}
    while time.monotonic() < until:
        await send(message)


async def stream(connection: UpgradeStream) -> None:
    """Send bytes for ever."""
    try:
        for _ in repeat(None):
            await connection.send(bytes(16 * 1024))
    except Exception as error:
        note(connection.scope, "raised", type=type(error).__name__)
        raise


async def pair(connection: UpgradeStream) -> None:
    """The same with asyncio's pair of streams."""
    _, writer = connection.asyncio_streams()
    try:
        for _ in repeat(None):
            writer.write(bytes(16 * 1024))
            await writer.drain()
    except Exception as error:
        note(connection.scope, "raised", type=type(error).__name__)
        raise


async def paths(scope: Scope, receive: Receive, send: Send) -> None:
    application_: Any = application
    if scope["type"] == "websocket" and scope["path"] == "/greedy":
        application_ = websocket
    elif scope["type"] == "http" and scope["path"] == "/greedy":
        application_ = response
    await application_(scope, receive, send)


app = UpgradeMiddleware(paths, h2c=H2CSettings(), protocols={"greedy": stream, "greedy-pair": pair})
