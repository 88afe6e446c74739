"""Pings, and whether the client still answers (RFC 6455 §5.5.2)."""

from __future__ import annotations

import asyncio
from typing import Protocol

from asgi_upgrade.system.progress import measure
from asgi_upgrade.system.timers import Timer, Timers
from asgi_upgrade.websocket.frames import CloseCode

__all__ = ["Keepalive"]

# How often to look for a sign of life before a client that shows none is given up, and seconds for a last look.
_LOOKS = 4
_LAST_LOOK = 0.01


class Pinged(Protocol):
    """The connection that is kept alive."""

    bytes_received: int

    @property
    def reads(self) -> bool:
        """Whether what the client sends is read now."""

    def ping(self) -> None:
        """Send a ping."""

    def fail(self, code: int, reason: str) -> None:
        """End the connection at once."""


class Keepalive:
    """Sends pings, and ends a connection whose client shows no sign of life, until it is stopped.

    Any bytes are one, not only the pong: it has to wait behind the message that the client is sending, and may be for
    another ping (RFC 6455 §5.5.3). So is a client that takes what is in front of the ping. What does not count is time
    in which we could not have noticed: while reading was paused, or something held the loop up.

    Args:
        connection: The connection.
        transport: Its transport.
        interval: Seconds between two pings.
        timeout: Seconds after a ping in which a sign of life must have come; ``None`` if none is asked for.
    """

    __slots__ = (
        "_connection",
        "_doubted",
        "_due",
        "_heard_until",
        "_interval",
        "_loop",
        "_ping_end",
        "_pinged",
        "_received",
        "_timeout",
        "_timer",
        "_transport",
        "_untaken",
    )

    def __init__(
        self, connection: Pinged, transport: asyncio.Transport, interval: float, timeout: float | None
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._interval = interval
        self._timeout = timeout
        self._loop: asyncio.AbstractEventLoop | None = None  # while it runs
        self._timer: Timer | None = None
        self._due = 0.0  # when the next look at the client should be taken
        self._pinged = 0.0  # when the ping went out that waits for an answer; 0.0 if none does
        self._heard_until = 0  # `bytes_received` then; -1 if the client has read since
        self._ping_end = 0  # what the client will have taken of all that was sent when it has the ping
        self._untaken = 0  # how much of that was missing when we looked last
        self._received = 0  # what had come from it then
        self._doubted = False  # the time is up, unless there is something to read

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; the first ping comes after an interval."""
        self._loop = loop
        self._look_in(loop, self._interval)

    def stop(self) -> None:
        """Send no more pings."""
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()

    def client_reads(self) -> None:
        """Note that the client takes what it is sent: a sign of life."""
        self._heard_until = -1

    def _look(self) -> None:
        """Send a ping, or look whether the client has shown a sign of life since the last one."""
        loop = self._loop
        if loop is None:
            return
        now = loop.time()
        if self._pinged:
            if self._timeout is not None and self._connection.bytes_received == self._heard_until:
                self._await_sign(loop, now, self._timeout)
                return
            waited = now - self._pinged
            self._pinged = 0.0
            if waited < self._interval:
                self._look_in(loop, self._interval - waited)
                return
        self._connection.ping()
        self._pinged = now
        self._heard_until = self._connection.bytes_received
        self._doubted = False
        self._note_ping()
        self._look_in(loop, self._interval if self._timeout is None else min(self._interval, self._timeout / _LOOKS))

    def _await_sign(self, loop: asyncio.AbstractEventLoop, now: float, timeout: float) -> None:
        """Nothing has come since the ping: wait on, or give the client up."""
        self._pinged += max(now - self._due, 0.0)
        # Both must look, so that the next look compares with this one.
        if self._client_moves() or not self._connection.reads:
            self._pinged = now
        waited = now - self._pinged
        if waited < timeout:
            self._doubted = False
            self._look_in(loop, min(self._interval, timeout / _LOOKS, timeout - waited))
        elif not self._doubted:
            # Its answer may have come: the loop has to read before we can know.
            self._doubted = True
            self._look_in(loop, _LAST_LOOK)
        else:
            self._connection.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")

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

    def _look_in(self, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        self._due = loop.time() + delay
        if self._timer is not None:
            self._timer.cancel()
        self._timer = Timers.of(loop).start(loop, delay, self._look)
