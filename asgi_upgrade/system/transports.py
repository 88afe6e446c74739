"""Small helpers for asyncio's transports."""

from __future__ import annotations

import asyncio
from contextlib import suppress

__all__ = ["end_output"]


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
