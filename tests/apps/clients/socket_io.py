"""python-socketio's clients: by WebSocket, and from polling on."""

from __future__ import annotations

from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import socketio

from .background import in_background

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from tests.server.support.process import Server


@contextmanager
def talking(server: Server, headers: Mapping[str, str], transports: list[str]) -> Iterator[Any]:
    with socketio.SimpleClient() as client:
        client.connect(server.url("http", ""), headers=dict(headers), transports=transports, wait_timeout=20)
        called = [client.call("echo", text, timeout=20) for text in ("hello", "long " * 10000)]
        told = [client.receive(timeout=20) for _ in called]
        yield client.transport, called, told


def by_websocket(server: Server, headers: Mapping[str, str], path: str) -> AbstractContextManager[Any]:
    return talking(server, headers, ["websocket"])


def from_polling(server: Server, headers: Mapping[str, str], path: str) -> AbstractContextManager[Any]:
    return talking(server, headers, ["polling", "websocket"])


@asynccontextmanager
async def connected(url: str, headers: Mapping[str, str]) -> AsyncIterator[Any]:
    async with socketio.AsyncSimpleClient(reconnection=False) as client:
        await client.connect(url, headers=dict(headers), transports=["websocket"], wait_timeout=20)
        yield client.transport, await client.call("echo", "hello", timeout=20), await client.receive(timeout=20)


def asynchronous(server: Server, headers: Mapping[str, str], path: str) -> AbstractContextManager[Any]:
    return in_background(connected(server.url("http", ""), headers))
