"""Writes what all connections of an event loop have to send, once in a turn of it, or earlier if that is much.

One callback for all of them costs less than one for each. But a turn lasts as long as the application likes: one that
sends to thousands of connections in a loop would keep the first of them waiting for the last. So there is a share for
all connections together, after which what has been encoded is written, and a task that sends again waits for the next
turn. Many tasks that send once each have no reason to wait: nothing would become faster.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, Protocol
from weakref import WeakKeyDictionary

__all__ = ["Flusher"]

# What all connections together may have in one turn: so many of them, or so many seconds since the first.
_CONNECTIONS: Final = 128
_SECONDS = 0.004
# How many are added between two looks at that.
_LOOK: Final = 8


class Flushable(Protocol):
    """A connection that may have something to write."""

    def flush(self) -> None:
        """Write it."""


class Flusher:
    """Has connections write at the latest in the next turn of the event loop that runs.

    Attributes:
        full: All connections together have had their share of this turn: see `sends_again`.
        turn: The number of this turn; only those in which something was added count.
    """

    # Not the loop, which could never be freed then.
    __slots__ = ("_began", "_scheduled", "_sender", "_until_look", "_waiting", "full", "turn")

    def __init__(self) -> None:
        self.full = False
        self.turn = 0
        self._waiting: list[Flushable] = []
        self._scheduled = False
        self._sender: asyncio.Task[object] | None = None  # who has sent last since the turn is full
        self._until_look = 1
        self._began = 0.0

    @staticmethod
    def of(loop: asyncio.AbstractEventLoop) -> Flusher:
        """Return the one of ``loop``."""
        flusher = _flushers.get(loop)
        if flusher is None:
            flusher = _flushers[loop] = Flusher()
        return flusher

    def add(self, connection: Flushable) -> None:
        """Have ``connection`` write, at the latest in the next turn, but not before this returns."""
        self._until_look -= 1
        if not self._until_look:
            self._look()
        self._waiting.append(connection)

    def spend(self) -> int:
        """Note that a connection has had its share of this turn; return the number of the turn."""
        if not self._scheduled:
            self._schedule()
        elif monotonic() - self._began >= _SECONDS:
            self.full = True
        return self.turn

    def sends_again(self) -> bool:
        """Tell, in a turn that is full, whether the current task is the one that was asked about last."""
        task = asyncio.current_task()
        again = task is self._sender
        self._sender = task
        return again

    def _look(self) -> None:
        """Schedule the end of the turn, or see whether the turn has had its share."""
        self._until_look = _LOOK
        if not self._scheduled:
            self._schedule()
        elif len(self._waiting) >= _CONNECTIONS or monotonic() - self._began >= _SECONDS:
            self.full = True
            self._flush()

    def _schedule(self) -> None:
        self._scheduled = True
        self._began = monotonic()
        asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._scheduled = self.full = False
        self._sender = None
        self._until_look = 1  # the first of a turn
        self.turn += 1
        self._flush()

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
