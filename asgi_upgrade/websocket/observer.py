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
    """How a handshake has ended. The values can be labels of metrics."""

    ACCEPTED = "accepted"
    """The WebSocket is open."""
    REFUSED = "refused"
    """The application, or middleware, has refused the handshake, with a status of its own."""
    REFUSED_ORIGIN = "refused_origin"
    """The origin may not open a WebSocket: 403."""
    BAD_REQUEST = "bad_request"
    """The request is not a valid handshake: 400, 405, 426 or 431."""
    UNGUARDED = "unguarded"
    """Middleware may not have seen the handshake: 503. See ``insecure_allow_unguarded``."""
    TIMED_OUT = "timed_out"
    """Within ``open_timeout`` the application has not answered, or the 101 has not reached the server."""
    STOPPED = "stopped"
    """The server stopped before the handshake was answered."""
    CLIENT_LEFT = "client_left"
    """The client has gone before the handshake was answered, or before the connection was switched."""
    FAILED = "failed"
    """The application, or middleware, has raised an exception, or has answered with 500 or above, or not at all."""


@dataclass(frozen=True)
class HandshakeEnded:
    """A WebSocket handshake has ended: it has been answered, or will get no answer.

    Attributes:
        outcome: How it ended.
        status: The status of the response; 101 if it was accepted. This is the status that left the outermost observed
            layer. ``None``: there was no response.
        route: The template of the route, such as ``"/rooms/{room}"``, with the templates of the mounts around it. It is
            never the path, because clients choose paths. ``None``: no WebSocket route has this path, or it is unknown.
        seconds: The time from the arrival of the handshake to its answer.
        scope: The ``http`` scope of the handshake. Only read it.
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
        code: The close code of the client or of the application; 1006 if the connection was lost.
        route: See `HandshakeEnded`.
        seconds: The time from the accept to the end.
        messages_received: How many messages have come from the client.
        bytes_received: How many bytes have come. If this package carries the connection, these are the bytes on the
            wire, without TLS: all frames with their headers, also pings, pongs and the close frame, and compressed data
            as it came. If the server carries the connection, these are the bytes of the messages only.
        messages_sent: How many messages the application has sent.
        bytes_sent: How many bytes were sent, counted in the same way.
        scope: The ``http`` scope of the handshake. Only read it.
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
    """The open connections of a route, and the messages and bytes that they have carried so far.

    Attributes:
        connections: How many are open.
        messages_received: As in `ConnectionClosed`, of all these connections together.
        bytes_received: As in `ConnectionClosed`, together.
        messages_sent: As in `ConnectionClosed`, together.
        bytes_sent: As in `ConnectionClosed`, together.
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
    """Gets told of the WebSockets of an `UpgradeMiddleware`: when a handshake ends, and when a connection ends.

    It is not told of messages. Derive a class from it, and override the methods that you need. Both are called on the
    event loop. So they must be quick, and must not be coroutine functions. If one of them raises an exception, the
    exception is logged, but only once, and the WebSockets go on.
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
        """Called when a handshake has ended. If it was accepted, `connection_closed` is called later."""

    def connection_closed(self, event: ConnectionClosed) -> None:
        """Called when a connection has ended."""

    def open_totals(self) -> dict[str | None, OpenTotals]:
        """Return the connections that are open now, by route. See `HandshakeEnded.route`.

        Connections that have ended are not counted: `connection_closed` told of them. This method looks at each
        connection. That takes about a millisecond for a thousand of them. It may be called in any thread.
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
