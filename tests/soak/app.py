"""The application under test: echoes, numbered messages in both directions, and what it knows of its own state.

Environment:
    SOAK_POLITE: If set, who sends without end gives the event loop a turn after each message. Plain uvicorn would never
        notice that the client has gone, and never do anything else.
    SOAK_FAULT: Names of faults to put into the engine, separated by commas, see `tests.soak.faults`.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import random
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from asgi_upgrade import UpgradeMiddleware, WebSocketSettings
from benchmarks.apps import echo, lifespan, page
from tests.soak import faults
from tests.soak.numbered import Ledger, Totals, messages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

# Seconds. Short, so that what these times end happens in a soak.
PING_INTERVAL = 0.5
CLOSE_TIMEOUT = 2.0
POLITE = "SOAK_POLITE" in os.environ

_running = 0  # endpoints of WebSockets
_totals = Totals()


async def numbered(scope: Scope, receive: Receive, send: Send) -> None:
    """``/numbered/OWNER/COUNT``: take that many messages of OWNER, and send as many of OWNER + 1 meanwhile."""
    owner, count = (int(part) for part in scope["path"].split("/")[2:])
    ledger = Ledger(owner, count)
    sent = 0
    source = random.Random(owner + 1)

    async def write() -> None:
        nonlocal sent
        for message in messages(owner + 1, count):
            kind = "text" if isinstance(message, str) else "bytes"
            await send({"type": "websocket.send", kind: message})
            sent += 1
            if source.random() < 0.01:
                await asyncio.sleep(source.random() * 0.02)

    await receive()
    await send({"type": "websocket.accept"})
    writing = asyncio.ensure_future(write())
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        ledger.take(message["bytes"] if text is None else text)
        if source.random() < 0.01:
            await asyncio.sleep(source.random() * 0.02)
    await asyncio.gather(writing, return_exceptions=True)  # it ends with the connection
    _totals.add(ledger, sent)


async def push(scope: Scope, receive: Receive, send: Send) -> None:
    """Send without end."""
    await receive()
    await send({"type": "websocket.accept"})
    message = {"type": "websocket.send", "bytes": bytes(range(256)) * 64}
    try:
        while True:
            await send(message)
            if POLITE:
                await asyncio.sleep(0)
    except Exception:  # noqa: BLE001 - each server has its own for a client that has gone
        return


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Take a message now and then: reading from the client is paused most of the time."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":  # noqa: ASYNC110 - it waits for nothing
        await asyncio.sleep(0.3)


async def hold(scope: Scope, receive: Receive, send: Send) -> None:
    """``/hold/SECONDS``: take nothing for so long, then everything."""
    await receive()
    await send({"type": "websocket.accept"})
    await asyncio.sleep(float(scope["path"].split("/")[2]))
    while (await receive())["type"] == "websocket.receive":
        pass


async def close(scope: Scope, receive: Receive, send: Send) -> None:
    """Close at once."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 4000})


ENDPOINTS: dict[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {
    "numbered": numbered,
    "push": push,
    "hold": hold,
    "slow": slow,
    "close": close,
    "echo": lambda _, receive, send: echo(receive, send),
}


def _state() -> dict[str, Any]:
    """What should be the same whenever nothing is going on."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # or what the heap has free is taken for memory in use (glibc)
    kinds = [type(each) for each in gc.get_objects()]
    packages = ("asgi_upgrade.", "uvicorn.", "websockets.", "asyncio.")
    counted = Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    objects = {name: count for name, count in counted.items() if name.startswith(packages)}
    return {
        "running": _running,
        "tasks": len(asyncio.all_tasks()),
        "blocks": sys.getallocatedblocks(),
        "objects": objects,
    }


async def _say(send: Send, what: dict[str, Any]) -> None:
    body = json.dumps(what).encode()
    headers = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the endpoints; GET ``/state`` and ``/totals`` give JSON, the latter what is new since the last time."""
    global _running, _totals  # noqa: PLW0603
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        _running += 1
        try:
            await ENDPOINTS[scope["path"].split("/")[1]](scope, receive, send)
        finally:
            _running -= 1
    elif scope["path"] == "/state":
        await _say(send, _state())
    elif scope["path"] == "/totals":
        totals, _totals = _totals, Totals()
        await _say(send, asdict(totals))
    else:
        await page(send)


_by_default = UpgradeMiddleware(plain, websocket=WebSocketSettings(close_timeout=CLOSE_TIMEOUT))
_pinging = UpgradeMiddleware(
    plain, websocket=WebSocketSettings(close_timeout=CLOSE_TIMEOUT, ping_interval=PING_INTERVAL)
)


async def upgraded(scope: Scope, receive: Receive, send: Send) -> None:
    """The same behind `UpgradeMiddleware`, with more pings among the numbered messages than are sent by default."""
    app: ASGIApp = _pinging if scope.get("path", "").startswith("/numbered/") else _by_default
    await app(scope, receive, send)


for fault in filter(None, os.environ.get("SOAK_FAULT", "").split(",")):
    faults.FAULTS[fault]()
