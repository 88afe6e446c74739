"""Writes what all connections of an event loop have to send, once in a turn of it.

One callback for all of them costs less than one for each.
"""

from __future__ import annotations

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary

__all__ = ["Flusher"]


class Flushable(Protocol):
    """What has something to send."""

    def flush(self) -> None:
        """Write it."""


class Flusher:
    """Has connections write in the next turn of the event loop that runs."""

    __slots__ = ("_waiting",)  # not the loop, which could never be freed then

    def __init__(self) -> None:
        self._waiting: list[Flushable] = []

    @staticmethod
    def of(loop: asyncio.AbstractEventLoop) -> Flusher:
        """Return the one of ``loop``."""
        flusher = _flushers.get(loop)
        if flusher is None:
            flusher = _flushers[loop] = Flusher()
        return flusher

    def add(self, connection: Flushable) -> None:
        """Have ``connection`` write in the next turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(connection)

    def _flush(self) -> None:
        waiting = self._waiting
        self._waiting = []
        for connection in waiting:
            try:
                connection.flush()
            except Exception as error:  # noqa: BLE001
                # As the loop does with a callback: the others have done nothing wrong.
                context = {"message": f"Exception when {connection!r} writes", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)


_flushers: WeakKeyDictionary[asyncio.AbstractEventLoop, Flusher] = WeakKeyDictionary()
