"""The protocol that owns a connection after the switch: what a server tells it, besides what asyncio does."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["linger", "shut_down"]


def shut_down(protocol: Any, transport: asyncio.BaseTransport) -> None:
    """Tell what owns a connection that the server stops, or close ``transport`` if it does not want to know."""
    getattr(protocol, "shutdown", transport.close)()


def linger(protocol: Any) -> asyncio.Future[None] | None:
    """Return what is done when the transport of ``protocol`` is gone, if it is about to close that by itself."""
    closing = getattr(protocol, "closing", None)
    return None if closing is None else closing()
