"""`Watch`: tells observers how one handshake, and the connection that it opened, has ended."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from asgi_upgrade.websocket.bridge import REFUSED, CountedMessages
from asgi_upgrade.websocket.frames import CloseCode
from asgi_upgrade.websocket.observer import ConnectionClosed, HandshakeEnded, Outcome, begin, end, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from asgi_upgrade.websocket.observer import Observer, Traffic

__all__ = ["REST", "WATCH", "Watch"]

# Key of a scope whose handshake is observed: its `Watch`.
WATCH = "asgi_upgrade.watch"

# What Starlette puts behind the path of a `Mount`.
REST = "/{path}"


class Watch:
    """Tells observers of one handshake. It lies in the scope of its request, and in what is made of that.

    Args:
        scope: The ``http`` scope, or the ``websocket`` scope of a server.
        find_template: Finds the template of the route that a scope is for, where it has not come to one.

    Attributes:
        outcome: What becomes of the handshake, where somebody knows more than its status says.
        traffic: Who counts for the connection, from the accept on.
    """

    __slots__ = (
        "_began",
        "_ended",
        "_find_template",
        "_found",
        "_observers",
        "_opened_at",
        "_path",
        "_prefix",
        "_scope",
        "_status",
        "outcome",
        "traffic",
    )

    def __init__(self, scope: Scope, find_template: Callable[[Scope], str | None]) -> None:
        self.outcome: Outcome | None = None
        self.traffic: Traffic | None = None
        self._scope = scope
        self._find_template = find_template
        self._found: list[str | None] = []  # what that has found, once it was asked
        self._observers: list[Observer] = []
        self._began = monotonic()
        self._opened_at = 0.0
        self._status: int | None = None
        self._ended = False  # the observers know what has become of it
        self._prefix = ""  # templates of the mounts that it has passed
        self._path: str | None = None  # that of its route

    def __deepcopy__(self, memo: dict[int, Any]) -> Watch:
        # Some middlewares copy the scope deeply; the handshake stays the one there is.
        return self

    @property
    def route(self) -> str | None:
        """The template of the route that the handshake is for, see `HandshakeEnded`."""
        if self._path is not None:
            return self._prefix + self._path
        if self._prefix:
            return self._prefix + REST
        if not self._found:
            self._found.append(self._find_template(self._scope))
        return self._found[0]

    def add(self, observer: Observer) -> None:
        """Have one more observer told."""
        if observer not in self._observers:
            self._observers.append(observer)

    def dismiss(self) -> None:
        """Tell nobody anything: it was no handshake."""
        self._observers = []

    def passed(self, route: Any) -> None:
        """Take note of a route that the handshake has come to.

        Args:
            route: A route of Starlette's. A `Host` has no path.
        """
        path: str | None = getattr(route, "path_format", None)
        if path is None:
            return
        if hasattr(route, "endpoint"):
            self._path = path
        else:
            self._prefix += path.removesuffix(REST)

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Any:
        """Serve the handshake, and tell how that ended."""

        async def watching(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._status = message["status"]
            await send(message)

        error: BaseException | None = None
        try:
            return await app(scope, receive, watching)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._settle(error)

    async def run_websocket(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """The same for a WebSocket of the server, which is delivered as it is.

        Args:
            app: The application.
            scope: The ``websocket`` scope.
            receive: Its ``receive``.
            send: Its ``send``.
        """
        counted = CountedMessages(receive, send)

        async def watching(message: Message) -> None:
            kind = message["type"]
            if kind == "websocket.http.response.start":
                self._status, self.outcome = message["status"], Outcome.REFUSED
            elif kind == "websocket.close" and not self._ended:
                self._status, self.outcome = REFUSED, Outcome.REFUSED
            await counted.send(message)
            if kind == "websocket.accept":
                self.opened(counted)

        error: BaseException | None = None
        try:
            await app(scope, counted.receive, watching)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._settle(error)

    def _settle(self, error: BaseException | None) -> None:
        """Tell what nobody has told."""
        if self.traffic is not None:
            # A server that carries it closes it now.
            code = CloseCode.NORMAL_CLOSURE if error is None else CloseCode.INTERNAL_ERROR
            self.closed(int(self.traffic.closed_with or code))
        elif not self._ended:
            self._tell_handshake(self.outcome or self._outcome_by(error))

    def _outcome_by(self, error: BaseException | None) -> Outcome:
        if error is not None:
            return Outcome.STOPPED if isinstance(error, asyncio.CancelledError) else Outcome.FAILED
        if self._status is None or self._status == 101:
            return Outcome.CLIENT_LEFT
        return Outcome.REFUSED if self._status < 500 else Outcome.FAILED

    def opened(self, traffic: Traffic) -> bool:
        """Tell that the handshake is accepted; ``False`` if somebody further out has done so for the same.

        Args:
            traffic: Who counts for the connection.
        """
        if self._ended:
            return False
        self._opened_at = monotonic()
        self._status = 101
        self.traffic = traffic
        for observer in self._observers:
            begin(observer, self)
        self._tell_handshake(Outcome.ACCEPTED)
        return True

    def closed(self, code: int) -> None:
        """Tell that the connection has ended; nothing to do if that was told.

        Args:
            code: The close code.
        """
        traffic = self.traffic
        if traffic is None:
            return
        self.traffic = None
        event = ConnectionClosed(
            code,
            self.route,
            monotonic() - self._opened_at,
            traffic.messages_received,
            traffic.bytes_received,
            traffic.messages_sent,
            traffic.bytes_sent,
            self._scope,
        )
        for observer in self._observers:
            end(observer, self)
            tell(observer, event)

    def _tell_handshake(self, outcome: Outcome) -> None:
        self._ended = True
        event = HandshakeEnded(outcome, self._status, self.route, monotonic() - self._began, self._scope)
        for observer in self._observers:
            tell(observer, event)
