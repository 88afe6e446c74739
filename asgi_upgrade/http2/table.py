"""`StreamTable`: the streams, by number, on which the application is still running."""

from __future__ import annotations

import asyncio

from asgi_upgrade.http2.owner import Outlet
from asgi_upgrade.http2.stream import Stream

__all__ = ["StreamTable"]


class StreamTable:
    """The streams that a connection serves at the moment. One that was reset is here until its application returns.

    Args:
        now: The time, by the loop's clock.

    Attributes:
        running: The streams.
        last_served: The highest number that the application was called for.
        idle_since: When the last of them has left, by the loop's clock.
    """

    def __init__(self, now: float) -> None:
        self.running: dict[int, Stream] = {}
        self.last_served = 1
        self.idle_since = now

    def add(self, stream: Stream) -> None:
        """The application is about to be called for a stream."""
        self.running[stream.id] = stream
        self.last_served = max(self.last_served, stream.id)

    def remove(self, stream: Outlet, now: float) -> None:
        """The application has returned. One that was cancelled is told twice."""
        self.running.pop(stream.id, None)
        if not self.running:
            self.idle_since = now

    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks that run the application."""
        return [stream.task for stream in self.running.values() if stream.task is not None]

    def disconnect(self) -> None:
        """Tell all that the client has gone."""
        for stream in list(self.running.values()):
            stream.disconnect()

    def shutdown(self) -> None:
        """Tell all that the server begins to stop."""
        for stream in list(self.running.values()):
            stream.shutdown()
