"""Observers: told of each handshake and of each connection, for metrics, dashboards and audit logs."""

from __future__ import annotations

import enum
import inspect
import logging
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import Scope

__all__ = [
    "ConnectionClosed",
    "HandshakeEnded",
    "Observer",
    "Open",
    "OpenTotals",
    "Outcome",
    "Traffic",
    "begin",
    "check_observer",
    "end",
    "tell",
]

logger = logging.getLogger("asgi_upgrade")


class Outcome(str, enum.Enum):
    """The end of a handshake. The values are fit to be labels of metrics."""

    ACCEPTED = "accepted"
    """There is a connection."""
    REFUSED = "refused"
    """The application, or middleware, has refused it, with a status of its own."""
    REFUSED_ORIGIN = "refused_origin"
    """Its origin may not open a WebSocket: 403."""
    BAD_REQUEST = "bad_request"
    """It is no valid handshake: 400, 405, 426 or 431."""
    UNGUARDED = "unguarded"
    """Middleware may not have seen it, see ``insecure_allow_unguarded``: 503."""
    TIMED_OUT = "timed_out"
    """The application has not answered, or the 101 has not got out, within ``open_timeout``."""
    STOPPED = "stopped"
    """The server stopped before it was answered."""
    CLIENT_LEFT = "client_left"
    """The client has gone before it was answered, or before the connection was switched."""
    FAILED = "failed"
    """The application, or middleware, has raised an exception, or has answered with 500 or above, or not at all."""


@dataclass(frozen=True)
class HandshakeEnded:
    """A WebSocket handshake has been answered, or will not be.

    Attributes:
        outcome: What became of it.
        status: The status of the response, as it left the outermost layer that is observed; 101 if it was accepted.
            ``None``: there was no response.
        route: The template of the route that it was for, such as ``"/rooms/{room}"``, with those of the mounts around.
            Never the path, which clients choose. ``None``: no WebSocket route has its path, or it is not known.
        seconds: From its arrival to the answer.
        scope: Its ``http`` scope, to be read only.
    """

    outcome: Outcome
    status: int | None
    route: str | None
    seconds: float
    scope: Scope


@dataclass(frozen=True)
class ConnectionClosed:
    """A WebSocket connection has ended.

    Attributes:
        code: The close code: the client's, or the application's; 1006 if it was lost.
        route: See `HandshakeEnded`.
        seconds: From the accept to the end.
        messages_received: Messages that have come from the client.
        bytes_received: Their bytes. Where this package carries the connection, those on the wire before TLS: frames
            with their headers, compressed where that was agreed, pings, pongs and the close frame too. Where the server
            does: of the messages themselves.
        messages_sent: Messages that the application has sent.
        bytes_sent: Their bytes, in the same way.
        scope: The ``http`` scope of the handshake, to be read only.
    """

    code: int
    route: str | None
    seconds: float
    messages_received: int
    bytes_received: int
    messages_sent: int
    bytes_sent: int
    scope: Scope


@dataclass(frozen=True)
class OpenTotals:
    """The connections of a route that are open, and what they have carried so far.

    Attributes:
        connections: How many there are.
        messages_received: See `ConnectionClosed`, also for the others.
        bytes_received: See there.
        messages_sent: See there.
        bytes_sent: See there.
    """

    connections: int = 0
    messages_received: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    bytes_sent: int = 0


class Traffic(Protocol):
    """The counters of one connection."""

    @property
    def messages_received(self) -> int:
        """Messages that have come."""

    @property
    def bytes_received(self) -> int:
        """Their bytes."""

    @property
    def messages_sent(self) -> int:
        """Messages that were sent."""

    @property
    def bytes_sent(self) -> int:
        """Their bytes."""

    @property
    def closed_with(self) -> int | None:
        """The close code, ``None`` as long as there is none."""


class Open(Protocol):
    """A connection that is open."""

    traffic: Traffic | None

    @property
    def route(self) -> str | None:
        """The template of its route."""


class Observer:
    """Is told what becomes of the WebSockets of an `UpgradeMiddleware`: twice for each, never for a message.

    Derive from it, and override what you want to know. Both methods are called on the event loop, between two things
    that it does, so they must be quick, and are no coroutines. What they raise is logged, once, and hurts nobody.
    """

    # Long names, so that those of a subclass are others.
    _asgi_upgrade_open: set[Open]
    _asgi_upgrade_reported: bool

    def __new__(cls, *_: Any, **__: Any) -> Observer:  # noqa: PYI034 - Self is new in Python 3.11
        """Make one; subclasses need not call ``__init__``."""
        observer = super().__new__(cls)
        observer._asgi_upgrade_open = set()
        observer._asgi_upgrade_reported = False
        return observer

    def handshake_ended(self, event: HandshakeEnded) -> None:
        """A handshake has been answered, or will not be. Accepted ones have a `connection_closed` later."""

    def connection_closed(self, event: ConnectionClosed) -> None:
        """A connection has ended."""

    def open_totals(self) -> dict[str | None, OpenTotals]:
        """Return what is open now, and what that has carried so far, by route; see `HandshakeEnded.route`.

        What has ended is not in it: that was in `connection_closed`. It looks at each connection, which takes about a
        millisecond for a thousand of them. May be called in any thread.
        """
        totals: dict[str | None, list[int]] = {}
        for connection in list(self._asgi_upgrade_open):
            traffic = connection.traffic
            if traffic is not None:
                sums = totals.setdefault(connection.route, [0] * 5)
                sums[0] += 1
                sums[1] += traffic.messages_received
                sums[2] += traffic.bytes_received
                sums[3] += traffic.messages_sent
                sums[4] += traffic.bytes_sent
        return {route: OpenTotals(*sums) for route, sums in totals.items()}


def begin(observer: Observer, connection: Open) -> None:
    """Have ``observer`` know of an open connection."""
    observer._asgi_upgrade_open.add(connection)


def end(observer: Observer, connection: Open) -> None:
    """Have ``observer`` forget a connection."""
    observer._asgi_upgrade_open.discard(connection)


def tell(observer: Observer, event: HandshakeEnded | ConnectionClosed) -> None:
    """Tell ``observer`` of an event. What it raises is logged."""
    try:
        if isinstance(event, HandshakeEnded):
            observer.handshake_ended(event)
        else:
            observer.connection_closed(event)
    except Exception:
        if not observer._asgi_upgrade_reported:
            observer._asgi_upgrade_reported = True
            logger.exception(
                "The observer %s raised an exception. WebSockets go on without it. This is logged once.",
                type(observer).__name__,
            )


def check_observer(observer: Any) -> Observer | None:
    """Return ``observer`` if it may be one.

    Raises:
        ValueError: It is none, or one of its methods is a coroutine function.
    """
    if observer is None:
        return None
    if not isinstance(observer, Observer):
        raise ValueError(f"observer must be an asgi_upgrade.Observer, not {observer!r}")
    for method in (observer.handshake_ended, observer.connection_closed):
        if inspect.iscoroutinefunction(method):
            raise ValueError(f"observer must not have coroutine functions, and {method.__qualname__} is one")
    return observer
