"""The two sides of a stream and its connection, as types: so neither imports the other.

`asgi_upgrade.http2.connection.HTTP2Protocol` is an `Owner`; `asgi_upgrade.http2.stream.Stream` is an `Outlet`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

from asgi_upgrade.http2.server import ServerSide
from asgi_upgrade.http2.settings import H2CSettings
from asgi_upgrade.system.progress import Progress

__all__ = ["Outlet", "Owner"]


class Outlet(Protocol):
    """A source that a connection sends from.

    Attributes:
        id: The number of its stream.
        outgoing: What waits to be sent.
        ending: Whether the stream ends behind that.
        queued: Whether the connection will come back to it.
        gone: Nobody takes anything any more: the client has reset the stream, or has gone.
        progressed: When the client has last taken a part of what waits, by the loop's clock.
    """

    id: int
    outgoing: deque[memoryview]
    ending: bool
    queued: bool
    gone: bool
    progressed: float

    def sent(self, size: int, *, last: bool) -> None:
        """``size`` bytes of `outgoing` are on their way; ``last`` tells that the stream has ended with them."""


class Owner(Protocol):
    """A stream's connection."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that everything runs on."""

    @property
    def settings(self) -> H2CSettings:
        """Limits and times."""

    @property
    def server(self) -> ServerSide:
        """The server's part in each request."""

    @property
    def stopping(self) -> bool:
        """True if the connection ends when its requests have."""

    def send_headers(self, stream: Outlet, headers: list[tuple[bytes, bytes]], *, end_stream: bool = ...) -> None:
        """Send a HEADERS frame.

        Args:
            stream: The stream.
            headers: Checked fields, names in lower case, ``:status`` first.
            end_stream: Whether nothing follows. Default: ``False``.
        """

    def send_soon(self, stream: Outlet) -> None:
        """Send what the stream has in `Outlet.outgoing`, when it is its turn and the client lets it."""

    def acknowledge(self, stream: Outlet, size: int) -> None:
        """Let the client send ``size`` more bytes on a stream."""

    def reset(self, stream: Outlet, code: int) -> None:
        """End a stream at once, in both directions, if it has not ended."""

    def forget(self, stream: Outlet) -> None:
        """The application has returned."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell about the connection's transport."""

    def measure(self) -> Progress | None:
        """Tell what the client has taken of all that the connection has sent."""
