"""One request that offers an upgrade, up to the switch or to another answer: the same on all servers.

The application announces a protocol by ``connect`` of the extension. Its 101 comes here through the middleware around
it, and the server gives the connection away. Every other response goes to the server as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_upgrade.switching.extension import EXTENSION, VERSION
from asgi_upgrade.switching.fields import check_essential, fields_of_101
from asgi_upgrade.switching.request import name_http_schemes

__all__ = ["InPlaceAnswer", "Phase", "Side", "Switchover"]

# Messages that an application may send in vain before other tasks get their turn.
_DISCARDED_IN_TURN = 64

_REFUSAL = b"The connection could not be switched to another protocol.\n"


class Side(Protocol):
    """The server's side of a switchover: one request and its connection."""

    def is_gone(self) -> bool:
        """Tell whether the client has gone."""

    def is_stopping(self) -> bool:
        """Tell whether the server has begun to stop."""

    def receive(self) -> Awaitable[Message]:
        """ASGI ``receive``."""

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI ``send`` for a response that is no 101."""

    async def complete_request(self) -> None:
        """Wait until all of the request has arrived, and all that was sent before is on its way.

        RFC 9110 §7.8: the new protocol begins behind the request, and its body is part of it.
        """

    def give_away(self, protocol: Any, fields: list[tuple[bytes, bytes]]) -> Awaitable[None] | None:
        """Write the 101 and give the connection to ``protocol``, with what has come early; wait for what is returned.

        Args:
            protocol: The new owner.
            fields: Those of the 101, names in lower case.
        """

    def end(self) -> None:
        """The application has returned, and with it whatever it did with the connection has ended."""


class InPlaceAnswer(Protocol):
    """An application that answers the request in WebSocket messages, see `asgi_upgrade.guard.in_place.InPlace`."""

    def receive(self) -> Awaitable[Message]:
        """ASGI ``receive``."""

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI ``send``."""

    async def finish(self, error: BaseException | None) -> None:
        """The application has returned, or has raised ``error``; raise it again if it is nobody else's."""


class Phase(IntEnum):
    """How far the answer is. It goes down this list, and may skip lines."""

    WAITING = 0
    """There is none."""
    ANSWERED = 1
    """A response that is no 101 has begun."""
    SWITCHING = 2
    """A 101 has arrived here."""
    SWITCHED = 3
    """The connection belongs to the new protocol."""
    REFUSED = 4
    """The 101 could not go out: nobody has announced it, or it was too late."""
    ENDED = 5
    """The application has returned, and the connection stays what it was."""


class Rules(NamedTuple):
    """The actions allowed in a phase.

    Attributes:
        announces: ``connect`` takes an announcement; else its future says at once that there will be no switch.
        starts: A response may begin.
        forwards: What the application sends goes to the server; else it is discarded.
    """

    announces: bool
    starts: bool
    forwards: bool


# By phase.
RULES = (
    Rules(announces=True, starts=True, forwards=True),  # WAITING
    Rules(announces=False, starts=False, forwards=True),  # ANSWERED
    Rules(announces=False, starts=False, forwards=False),  # SWITCHING
    Rules(announces=False, starts=False, forwards=False),  # SWITCHED
    Rules(announces=False, starts=False, forwards=False),  # REFUSED
    Rules(announces=False, starts=False, forwards=True),  # ENDED
)


class Switchover:
    """Serves one request with ``http.upgrade`` in its scope.

    After a switch it holds on to nothing of HTTP, and leaves no circle of references.

    Args:
        side: The server's side.
        understand: Makes an `InPlaceAnswer` of scope, ``receive`` and ``send``, for applications that answer in
            WebSocket messages.

    Attributes:
        phase: How far the answer is.
    """

    __slots__ = (
        "_discarded",
        "_essential",
        "_in_place",
        "_on_shutdown",
        "_protocol",
        "_scope",
        "_side",
        "_switched",
        "_understand",
        "phase",
    )

    def __init__(self, side: Side, understand: Callable[[Scope, Receive, Send], InPlaceAnswer]) -> None:
        self.phase = Phase.WAITING
        self._side: Side | None = side  # until the application has returned
        self._understand = understand
        self._scope: Scope | None = None
        self._in_place: InPlaceAnswer | None = None
        self._discarded = 0
        self._protocol: Any = None  # what was announced last
        self._essential: list[tuple[bytes, bytes]] = []
        self._switched: asyncio.Future[bool] | None = None  # what ``connect`` has returned then
        self._on_shutdown: Callable[[], None] | None = None  # what the application wants to be called before a switch

    def offer(self, scope: Scope, limits: Mapping[str, Any] | None, **entry: Any) -> None:
        """Put the extension into the scope of the request.

        Args:
            scope: The request. Its scheme of ``X-Forwarded-Proto`` becomes one of HTTP.
            limits: The server's own settings for WebSockets, if it has any.
            entry: What else stands in the entry: ``version``, ``protocol``, ``lingers``.
        """
        entry.setdefault("version", VERSION)
        entry["connect"] = self._connect
        entry["on_shutdown"] = self._call_on_shutdown
        if limits:
            entry["websocket"] = limits
        scope.setdefault("extensions", {})[EXTENSION] = entry
        scope["headers"] = name_http_schemes(scope["headers"])

    async def serve(self, app: ASGIApp, scope: Scope) -> Any:
        """Call the application; return what it returns, because servers report what is not ``None``."""
        self._scope = scope
        try:
            result: Any = await app(scope, self.receive, self.send)  # type: ignore[func-returns-value]
        except BaseException as error:
            if self._in_place is None:
                raise
            result = None
            await self._in_place.finish(error)
        else:
            if self._in_place is not None:
                await self._in_place.finish(None)
        finally:
            self._end()
        return result

    def _end(self) -> None:
        self.withdraw()
        side = self._side
        self._on_shutdown = self._scope = None  # `_in_place` tells tasks that are left over of the end
        if self.phase is Phase.SWITCHED:
            self._side = None
        elif RULES[self.phase].forwards:
            self.phase = Phase.ENDED
        if side is not None:
            side.end()

    # The extension

    def __deepcopy__(self, memo: dict[int, Any]) -> Switchover:
        return self  # its methods stand in a scope, which middleware may copy

    def _connect(self, protocol: asyncio.BaseProtocol, headers: list[tuple[bytes, bytes]]) -> asyncio.Future[bool]:
        essential = check_essential(headers)
        switched: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._side is None or not RULES[self.phase].announces or self._side.is_gone():
            switched.set_result(False)
        else:
            self.withdraw()
            self._protocol, self._essential, self._switched = protocol, essential, switched
        return switched

    def _call_on_shutdown(self, callback: Callable[[], None]) -> None:
        if self._side is not None and self._side.is_stopping():
            callback()
        else:
            self._on_shutdown = callback

    def withdraw(self) -> None:
        """Say that there will be no switch, if that is not decided."""
        if self._switched is not None and not self._switched.done():
            self._switched.set_result(False)

    def shut_down(self) -> None:
        """The server begins to stop, and the connection has not been switched."""
        callback, self._on_shutdown = self._on_shutdown, None
        if callback is not None:
            callback()

    # What the application calls

    def receive(self) -> Awaitable[Message]:
        """ASGI ``receive``: the server's, or that of an application that answers in WebSocket messages."""
        if self._in_place is not None:
            return self._in_place.receive()
        return _receive_disconnect() if self._side is None else self._side.receive()

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI ``send``."""
        scope, side = self._scope, self._side
        if self._in_place is None and self.phase is Phase.WAITING and message["type"].startswith("websocket."):
            assert scope is not None
            assert side is not None
            self._in_place = self._understand(scope, side.receive, self._answer)
        return self._answer(message) if self._in_place is None else self._in_place.send(message)

    async def _answer(self, message: Message) -> None:
        """Take a message of an HTTP response."""
        side, rules = self._side, RULES[self.phase]
        if not rules.forwards or side is None:
            self._discarded += 1
            if self._discarded % _DISCARDED_IN_TURN == 0:
                await asyncio.sleep(0)  # somebody may send for ever
            return
        if rules.starts and message["type"] == "http.response.start":
            if message["status"] == 101:
                fields = fields_of_101(self._essential, message.get("headers", ()))
                self.phase = Phase.SWITCHING
                if not await self._switch(side, fields):
                    self.phase = Phase.REFUSED
                    await _refuse_101(side.send)
                return
            self.phase = Phase.ANSWERED
            self.withdraw()
        await side.send(message)

    async def _switch(self, side: Side, fields: list[tuple[bytes, bytes]]) -> bool:
        """Answer with the 101 and give the connection away. ``False`` if there is nothing to give it to."""
        switched = self._switched
        if switched is None:
            return False
        await side.complete_request()
        if switched.done():
            return side.is_gone()
        if side.is_gone():
            self.withdraw()
            return True
        self.phase = Phase.SWITCHED
        waiting = side.give_away(self._protocol, fields)
        if waiting is not None:
            await waiting
        if not switched.done():  # it may have been cancelled meanwhile
            switched.set_result(True)
        self._protocol, self._essential, self._switched = None, [], None
        return True


async def _refuse_101(send: Send) -> None:
    """Answer in place of a 101 that cannot go out."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_REFUSAL))]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": _REFUSAL, "more_body": False})


async def _receive_disconnect() -> Message:
    await asyncio.sleep(0)  # somebody may ask for ever
    return {"type": "http.disconnect"}
