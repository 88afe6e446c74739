"""Faults that are put into the engine on purpose: the soak must notice each of them."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from asgi_upgrade.websocket.connection import Connection
from asgi_upgrade.websocket.protocol import WebSocketProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[list[Any]], list[Any]]

EVERY = 101  # one in so many
LEAK = 256 * 1024  # bytes
_kept: list[Any] = []


def _drop(messages: list[Any]) -> list[Any]:
    return messages[1:]


def _double(messages: list[Any]) -> list[Any]:
    return [messages[0], *messages]


def _swap(messages: list[Any]) -> list[Any]:
    return [messages[1], messages[0], *messages[2:]]


def _flip(messages: list[Any]) -> list[Any]:
    """Another last character."""
    first = messages[0]
    if isinstance(first, str):
        return [first[:-1] + ("y" if first[-1:] == "x" else "x"), *messages[1:]]
    return [first[:-1] + bytes([first[-1] ^ 1]), *messages[1:]]


def _incoming(change: Change, least: int = 1) -> None:
    """Change what comes out of the bytes of a read, if that is ``least`` messages or more."""
    numbers = count(1)
    original = Connection.receive_data

    def receive_data(self: Connection, data: bytes, queue_size: int = 0) -> list[Any]:
        events: list[Any] = original(self, data, queue_size)
        if self.ended or len(events) < least or next(numbers) % EVERY:
            return events
        return change(events)

    _replace(Connection, "receive_data", receive_data)


def _outgoing(change: Change, least: int = 1) -> None:
    """Change what is sent on a connection, ``least`` messages of it at a time."""
    numbers = count(1)
    collected: dict[Connection, list[Any]] = {}
    send_text, send_bytes = Connection.send_text, Connection.send_bytes

    def pass_on(self: Connection, message: Any) -> None:
        (send_text if isinstance(message, str) else send_bytes)(self, message)

    def send(self: Connection, message: Any) -> None:
        waiting = collected.pop(self, [])
        if not waiting and next(numbers) % EVERY:
            pass_on(self, message)
        elif len(waiting) + 1 < least:
            collected[self] = [*waiting, message]
        else:
            for each in change([*waiting, message]):
                pass_on(self, each)

    _replace(Connection, "send_text", send)
    _replace(Connection, "send_bytes", send)


def _each_connection(leak: Callable[[WebSocketProtocol], object]) -> None:
    """Lose something with each connection."""
    original = WebSocketProtocol.connection_made

    def connection_made(self: WebSocketProtocol, transport: asyncio.BaseTransport) -> None:
        _kept.append(leak(self))
        original(self, transport)

    _replace(WebSocketProtocol, "connection_made", connection_made)


def _replace(owner: type, name: str, method: Callable[..., object]) -> None:
    setattr(owner, name, method)


FAULTS: dict[str, Callable[[], None]] = {
    "drop-incoming": partial(_incoming, _drop),
    "drop-outgoing": partial(_outgoing, _drop),
    "double-incoming": partial(_incoming, _double),
    "double-outgoing": partial(_outgoing, _double),
    "swap-incoming": partial(_incoming, _swap, 2),
    "swap-outgoing": partial(_outgoing, _swap, 2),
    "flip-incoming": partial(_incoming, _flip),
    "flip-outgoing": partial(_outgoing, _flip),
    "leak-tasks": partial(_each_connection, lambda _: asyncio.ensure_future(asyncio.sleep(3600))),
    "leak-descriptors": partial(_each_connection, lambda _: os.dup(0)),
    "leak-objects": partial(_each_connection, lambda protocol: protocol),
    "leak-memory": partial(_each_connection, lambda _: b"x" * LEAK),
}
