"""Applications that send without end, and a broadcast to all who are connected: what others notice of them."""

from __future__ import annotations

import time
from itertools import repeat
from typing import TYPE_CHECKING

from asgi_upgrade import UpgradeMiddleware, UpgradeStream
from benchmarks.apps import echo, lifespan, page

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

TEXT = b'{"type": "feed", "text": "market update delivery north", "value": 12.5}, '

_room: dict[int, Send] = {}
_running: set[object] = set()


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """``/greedy/SIZE`` sends messages for ever, ``/room`` waits for GET ``/broadcast``; the rest is an echo or a page.

    GET ``/running`` says how many endless loops there are.
    """
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        if scope["path"] == "/broadcast":
            await _broadcast()
        elif scope["path"] == "/running":
            await _say(send, len(_running))
            return
        await page(send)
    elif scope["path"].startswith("/greedy/"):
        await receive()
        await send({"type": "websocket.accept"})
        await _send_for_ever(int(scope["path"].rpartition("/")[2]), send)
    elif scope["path"] == "/echo":
        await echo(receive, send)
    else:
        await _wait_in_room(receive, send)


async def _send_for_ever(size: int, send: Send) -> None:
    message = {"type": "websocket.send", "bytes": (TEXT * (size // len(TEXT) + 1))[:size]}
    token = object()
    _running.add(token)
    try:
        for _ in repeat(None):
            await send(message)
    except Exception:  # noqa: BLE001 - each server has its own for a client that has gone
        return
    finally:
        _running.discard(token)


async def _wait_in_room(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    _room[id(send)] = send
    try:
        while (await receive())["type"] != "websocket.disconnect":
            pass
    finally:
        del _room[id(send)]


async def _broadcast() -> None:
    """Tell all when it began, by the system's clock that all its processes share."""
    message = {"type": "websocket.send", "text": str(time.monotonic_ns())}
    for send in list(_room.values()):
        await send(message)


async def _say(send: Send, number: int) -> None:
    body = str(number).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(stream: UpgradeStream) -> None:
    token = object()
    _running.add(token)
    try:
        for _ in repeat(None):
            await stream.send(bytes(16 * 1024))
    finally:
        _running.discard(token)


upgraded = UpgradeMiddleware(plain, protocols={"greedy": _stream})
