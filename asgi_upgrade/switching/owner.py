"""The protocol that owns a connection after the switch: what a server tells it, besides what asyncio does."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["deliver", "linger", "replay", "shut_down"]


def shut_down(protocol: Any, transport: asyncio.BaseTransport) -> None:
    """Tell what owns a connection that the server stops, or close ``transport`` if it does not want to know."""
    getattr(protocol, "shutdown", transport.close)()


def linger(protocol: Any) -> asyncio.Future[None] | None:
    """Return what is done when the transport of ``protocol`` is gone, if it is about to close that by itself."""
    closing = getattr(protocol, "closing", None)
    return None if closing is None else closing()


def deliver(protocol: asyncio.BufferedProtocol, data: bytes | bytearray) -> int:
    """Copy the start of ``data`` to where a buffered protocol wants it.

    The caller calls ``buffer_updated`` then.

    Args:
        protocol: The protocol.
        data: Not empty.

    Returns:
        How many bytes were copied: as many as there was room for.
    """
    buffer = memoryview(protocol.get_buffer(len(data))).cast("B")
    size = min(len(buffer), len(data))
    buffer[:size] = data[:size]
    return size


def replay(protocol: Any, data: bytes) -> None:
    """Give ``protocol`` bytes that arrived before it owned the connection.

    Args:
        protocol: A streaming or a buffered protocol.
        data: Not empty.
    """
    if not isinstance(protocol, asyncio.BufferedProtocol):
        protocol.data_received(data)
        return
    while data:
        size = deliver(protocol, data)
        protocol.buffer_updated(size)
        data = data[size:]
