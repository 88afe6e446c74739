"""Small helpers for asyncio's transports."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

__all__ = ["end_output", "fill_buffer", "replay"]


def end_output(transport: asyncio.WriteTransport) -> None:
    """End our direction of a connection, behind all that was written.

    Nothing happens if the peer has gone: asyncio raises OSError from here if it has reset the connection, and tells the
    protocol of the loss later.

    Args:
        transport: One whose ``can_write_eof`` is true.
    """
    if not transport.is_closing():
        with suppress(OSError):
            transport.write_eof()


def fill_buffer(protocol: Any, data: bytes | bytearray | memoryview) -> int:
    """Copy the start of ``data`` to where a buffered protocol wants it, and return how much fitted.

    The caller tells the protocol by ``buffer_updated``.

    Args:
        protocol: An `asyncio.BufferedProtocol`, or one of uvloop's that is like it.
        data: Not empty.

    Raises:
        RuntimeError: The protocol has no room, which asyncio does not allow either.
    """
    buffer = memoryview(protocol.get_buffer(len(data))).cast("B")
    size = min(len(buffer), len(data))
    if not size:
        raise RuntimeError("get_buffer() returned an empty buffer")
    buffer[:size] = data[:size]
    return size


def replay(protocol: Any, data: bytes) -> None:
    """Give ``protocol`` bytes that arrived before it owned the connection.

    Args:
        protocol: A streaming or a buffered protocol.
        data: Not empty.
    """
    if not hasattr(protocol, "get_buffer"):
        protocol.data_received(data)
        return
    while data:
        size = fill_buffer(protocol, data)
        protocol.buffer_updated(size)
        data = data[size:]
