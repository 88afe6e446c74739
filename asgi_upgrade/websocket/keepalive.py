"""Watches over an open connection: pings for a client that may have vanished, and the time without a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from asgi_upgrade.system.progress import measure
from asgi_upgrade.system.timers import Timer, Timers

__all__ = ["IdleWatch", "KeepAlive"]

# How often to look for a sign of life before a client that shows none is given up, and seconds for a last look.
_LOOKS = 4
_LAST_LOOK = 0.01


class Watched(Protocol):
    """The connection that a `KeepAlive` watches over.

    Attributes:
        heard: Whether the client has shown a sign of life since this was set to ``False``.
    """

    heard: bool

    @property
    def reading_paused(self) -> bool:
        """Whether nothing is read now."""

    def send_ping(self) -> None:
        """Send a ping with no payload."""

    def give_up(self) -> None:
        """End the connection: the client has vanished."""


class KeepAlive:
    """Sends pings, and looks whether the client has shown a sign of life since the last one.

    Any bytes are one, not only the pong: it has to wait behind the message that the client is sending, and may be for
    another ping (RFC 6455 §5.5.3). So is a client that takes what is in front of the ping. What does not count is time
    in which we could not have noticed: while reading was paused, or something held the loop up.

    It sends the first ping at once. Call `cancel` as soon as the end of the connection begins.

    Args:
        watched: The connection.
        transport: Its transport.
        loop: The loop.
        interval: Seconds between two pings.
        timeout: Seconds for a sign of life, or ``None`` to do without one.
    """

    __slots__ = (
        "_doubted",
        "_interval",
        "_loop",
        "_ping_end",
        "_pinged",
        "_received",
        "_timeout",
        "_timer",
        "_transport",
        "_untaken",
        "_watched",
    )

    _timer: Timer

    def __init__(
        self,
        watched: Watched,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        *,
        interval: float,
        timeout: float | None,
    ) -> None:
        self._watched = watched
        self._transport = transport
        self._loop = loop
        self._interval = interval
        self._timeout = timeout
        self._doubted = False  # the time is up, unless there is something to read
        self._ping_end = 0  # what the client will have taken of all that was sent when it has the ping
        self._untaken = 0  # how much of that was missing when we looked last
        self._received = 0  # what had come from it then
        self._ping()

    def cancel(self) -> None:
        """Stop."""
        self._timer.cancel()

    def _ping(self) -> None:
        self._watched.send_ping()
        self._pinged = self._loop.time()  # 0.0 as soon as there was an answer
        self._watched.heard = self._doubted = False
        self._note_ping()
        timeout = self._timeout
        self._look_in(self._interval if timeout is None else min(self._interval, timeout / _LOOKS))

    def _look_in(self, delay: float) -> None:
        self._timer = Timers.of(self._loop).start(self._loop, delay, self._look)

    def _look(self) -> None:
        timeout = self._timeout
        if self._pinged:
            if not self._watched.heard and timeout is not None:
                self._wait_for_sign(timeout)
                return
            waited = self._loop.time() - self._pinged
            self._pinged = 0.0
            if waited < self._interval:
                self._look_in(self._interval - waited)
                return
        self._ping()

    def _wait_for_sign(self, timeout: float) -> None:
        """The client has shown no sign of life: look again, or give it up."""
        now = self._loop.time()
        self._pinged += max(now - self._timer.when, 0.0)
        # Both must look, so that the next look compares with this one.
        if self._client_moves() or self._watched.reading_paused:
            self._pinged = now
        waited = now - self._pinged
        if waited < timeout:
            self._doubted = False
            self._look_in(min(self._interval, timeout / _LOOKS, timeout - waited))
        elif not self._doubted:
            # Its answer may have come: the loop has to read before we can know.
            self._doubted = True
            self._look_in(_LAST_LOOK)
        else:
            self._watched.give_up()

    def _note_ping(self) -> None:
        """Note where in all that was sent the ping is."""
        progress = measure(self._transport)
        if progress is None:
            self._untaken = self._transport.get_write_buffer_size()
        else:
            self._untaken = progress.waiting
            self._ping_end = progress.taken + progress.waiting
            self._received = progress.received

    def _client_moves(self) -> bool:
        """Tell whether the client has sent anything, or taken anything in front of the ping, since the last look."""
        progress = measure(self._transport)
        if progress is None:
            untaken, received = self._transport.get_write_buffer_size(), self._received
        else:
            untaken, received = max(self._ping_end - progress.taken, 0), progress.received
        moves = untaken < self._untaken or received != self._received
        self._untaken = untaken
        self._received = received
        return moves


class IdleWatch:
    """Tells when no message has moved for some time.

    Args:
        timeout: The time, in seconds.
        loop: The loop.
        on_idle: Called then, once.

    Attributes:
        last: When the last message moved, by the loop's clock: set it for each of them.
    """

    __slots__ = ("_loop", "_on_idle", "_timeout", "_timer", "last")

    def __init__(self, timeout: float, loop: asyncio.AbstractEventLoop, on_idle: Callable[[], None]) -> None:
        self.last = loop.time()
        self._timeout = timeout
        self._loop = loop
        self._on_idle = on_idle
        self._timer = Timers.of(loop).start(loop, timeout, self._look)

    def cancel(self) -> None:
        """Stop."""
        self._timer.cancel()

    def _look(self) -> None:
        left = self.last + self._timeout - self._loop.time()
        if left <= 0:
            self._on_idle()
        else:
            self._timer = Timers.of(self._loop).start(self._loop, left, self._look)
