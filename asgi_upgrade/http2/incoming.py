"""The input of a connection: when the client was last heard, whether it is read, and what is ignored at the end."""

from __future__ import annotations

import asyncio

__all__ = ["Incoming"]

# Bytes that are read behind the end: more than the kernel keeps of what a client sends before it can know.
_MOST_IGNORED = 16 * 1024 * 1024


class Incoming:
    """The reading side of a transport.

    Args:
        now: The time, by the loop's clock.

    Attributes:
        transport: Where it comes from; set when the connection is made.
        heard: When a byte has come, by the loop's clock.
        paused: Whether nothing is read for now.
    """

    transport: asyncio.Transport

    def __init__(self, now: float) -> None:
        self.heard = now
        self.paused = False
        self._ignored = 0

    def pause(self) -> None:
        """Read no more: answers for a client that does not take them would pile up."""
        if not self.paused:
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.paused:
            self.paused = False
            self.transport.resume_reading()

    def ignore(self, size: int) -> None:
        """Note bytes that came behind the end, and read no more when they are too many."""
        self._ignored += size
        if self._ignored > _MOST_IGNORED:
            self.pause()
