"""Timers of thousands of connections, which nearly all are stopped before their time has come.

An event loop keeps each of its timers in order. Here those that end within the same fraction of a second are one timer
of the loop together, so starting and stopping one costs little, and it takes little memory while it waits. It may
ring up to `_TICK` late, and never early. Times too short for that are left to the event loop.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from contextvars import Context
from weakref import WeakKeyDictionary

__all__ = ["Timer", "Timers"]

# Seconds; a power of two, so that a time is one tick exactly.
_TICK = 1 / 32
_TICKS_PER_SECOND = 32
# Timers of fewer seconds than this are the event loop's own.
_SHORT = 0.5


class Timer:
    """One timer, until it rings or is cancelled.

    Attributes:
        when: When it rings, by the clock of the event loop, in seconds.
    """

    __slots__ = ("_callback", "_together", "when")

    def __init__(self, when: float, callback: Callable[[], None], together: set[Timer]) -> None:
        self.when = when
        self._callback: Callable[[], None] | None = callback
        self._together = together

    def cancel(self) -> None:
        """Stop it, and let go of what it would have called. Nothing happens if it has rung."""
        self._callback = None
        self._together.discard(self)

    def ring(self) -> None:
        """Call what it is for; nothing if it was cancelled, and nothing a second time."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Timers:
    """All timers of an event loop."""

    # Not the loop, which could never be freed then.
    __slots__ = ("_next", "_ticks", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[int, set[Timer]] = {}  # by the tick in which they ring
        self._ticks: list[int] = []  # the same ticks, as a heap
        self._next: int | None = None  # the one that the loop will call us for

    @staticmethod
    def of(loop: asyncio.AbstractEventLoop) -> Timers:
        """Return those of ``loop``."""
        timers = _timers.get(loop)
        if timers is None:
            timers = _timers[loop] = Timers()
        return timers

    def start(self, loop: asyncio.AbstractEventLoop, delay: float, callback: Callable[[], None]) -> Timer:
        """Have ``callback`` called once.

        Args:
            loop: The event loop.
            delay: In how many seconds.
            callback: What to call.
        """
        when = loop.time() + delay
        if delay < _SHORT:
            timer = Timer(when, callback, set())
            loop.call_at(when, timer.ring, context=Context())
            return timer
        tick = int(when * _TICKS_PER_SECOND) + 1
        together = self._waiting.get(tick)
        if together is None:
            together = self._waiting[tick] = set()
            heapq.heappush(self._ticks, tick)
            self._schedule(loop)
        timer = Timer(when, callback, together)
        together.add(timer)
        return timer

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        first = self._ticks[0]
        if self._next is None or first < self._next:
            self._next = first
            # In no context of a request, which would be kept that long.
            loop.call_at(first * _TICK, self._ring, loop, first, context=Context())

    def _ring(self, loop: asyncio.AbstractEventLoop, tick: int) -> None:
        """Ring all whose time has come, those of ``tick`` among them."""
        due = max(tick, int(loop.time() * _TICKS_PER_SECOND))
        if self._next is not None and self._next <= due:
            self._next = None
        while self._ticks and self._ticks[0] <= due:
            together = self._waiting.pop(heapq.heappop(self._ticks))
            while together:
                try:
                    together.pop().ring()
                except Exception as error:  # noqa: BLE001
                    # As the loop does with a callback: the others have done nothing wrong.
                    message = "Exception in a timer of a connection"
                    loop.call_exception_handler({"message": message, "exception": error})
        if self._ticks:
            self._schedule(loop)


_timers: WeakKeyDictionary[asyncio.AbstractEventLoop, Timers] = WeakKeyDictionary()
