"""The body of a request: what has arrived of it, what the application has taken, and who waits for more."""

from __future__ import annotations

import asyncio

from starlette.types import Message

__all__ = ["RequestBody"]


class RequestBody:
    """Holds as much as the client's window lets it send.

    Attributes:
        arrived: What the application has not taken yet.
        ended: Whether all of it has arrived.
        given: Whether the application has taken all of it.
    """

    __slots__ = ("_wakeup", "arrived", "ended", "given")

    def __init__(self) -> None:
        self.arrived = bytearray()
        self.ended = False
        self.given = False
        self._wakeup: asyncio.Event | None = None

    def feed(self, data: bytes) -> None:
        """A part of it."""
        self.arrived += data
        self.wake()

    def feed_eof(self) -> None:
        """Nothing follows."""
        self.ended = True
        self.wake()

    def wake(self) -> None:
        """Let whoever waits look again."""
        if self._wakeup is not None:
            self._wakeup.set()

    async def wait(self) -> None:
        """Wait until something has changed."""
        if self._wakeup is None:
            self._wakeup = asyncio.Event()
        else:
            self._wakeup.clear()
        await self._wakeup.wait()

    def readable(self) -> bool:
        """Tell whether there is a message for the application."""
        return bool(self.arrived) or (self.ended and not self.given)

    def take(self) -> bytes:
        """Give all that has arrived away."""
        data = bytes(self.arrived)
        self.arrived.clear()
        return data

    def message(self) -> Message:
        """The next message of ``receive``; there has to be one."""
        self.given = self.ended
        return {"type": "http.request", "body": self.take(), "more_body": not self.ended}
