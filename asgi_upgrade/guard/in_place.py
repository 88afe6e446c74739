"""`InPlace`: lets an application answer a handshake, which it got as a request, in WebSocket messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asgi_upgrade.guard.handshake import Handshake
from asgi_upgrade.switching.extension import get_extension
from asgi_upgrade.switching.refusal import refuse
from asgi_upgrade.websocket.bridge import get_bridge
from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.frames import CloseCode
from asgi_upgrade.websocket.handshake import Accept, Reject, negotiate
from asgi_upgrade.websocket.session import WebSocketSession
from asgi_upgrade.websocket.settings import WebSocketSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["InPlace", "in_place", "without_policy"]

_SETTINGS = WebSocketSettings()


def in_place(app: ASGIApp) -> ASGIApp:
    """Return ``app``, which may answer handshakes in WebSocket messages.

    No policy decides about these: whoever answers stands around all of them, and is asked as by the plain server.

    Args:
        app: What the server calls.
    """

    def understood(scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        return InPlace(scope, receive, send).run(app)

    return understood


def without_policy(scope: Scope) -> Handshake | Reject | None:
    """Return the handshake that a request is, or why it cannot be one, before a policy has been asked."""
    extension, bridge = get_extension(scope), get_bridge(scope)
    carrier = extension or bridge
    if carrier is None:
        return None
    accept = negotiate(scope) if extension is not None else Accept(b"", bridge.subprotocols if bridge else ())
    return Handshake(carrier, accept, None, _SETTINGS, ()) if isinstance(accept, Accept) else accept


class InPlace:
    """Understands both answers to a handshake: an HTTP response, and ``websocket.accept`` or ``websocket.close``.

    Args:
        scope: The ``http`` scope of the handshake.
        receive: Its ``receive``.
        send: Its ``send``.
        handshake: What the request is; by default what it is `without_policy`, asked for with the first WebSocket
            message.

    Attributes:
        status: The status of the application's HTTP response, ``None`` as long as there is none.
    """

    __slots__ = ("_handshake", "_receive", "_refused", "_scope", "_send", "_session", "_task", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send, handshake: Handshake | None = None) -> None:
        self.status: int | None = None
        self._scope = scope
        self._receive = receive  # of the request, or of the WebSocket from its first message on
        self._send = send
        self._handshake = handshake
        self._session: WebSocketSession | None = None
        self._task: asyncio.Task[Any] | None = None
        self._refused = False

    async def run(self, app: ASGIApp) -> Any:
        """Run ``app`` until it has answered, or until its WebSocket is closed; return what it returns."""
        result: Any = None
        try:
            result = await app(self._scope, self.receive, self.send)  # type: ignore[func-returns-value]
        except BaseException as error:  # noqa: BLE001 - `finish` raises it again
            await self.finish(error)
        else:
            await self.finish(None)
        return result

    async def finish(self, error: BaseException | None) -> None:
        """The application has returned, or has raised ``error``: end its WebSocket, or raise that again."""
        if self._session is not None:
            assert self._task is not None
            await self._session.finish(self._task, error)
        elif error is not None and not (self._refused and isinstance(error, ClientDisconnected)):
            raise error

    def receive(self) -> Awaitable[Message]:
        """ASGI ``receive``: of the request, and of the WebSocket once the application speaks that."""
        return self._receive() if self._session is None else self._receive_message()

    async def _receive_message(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.connect":
            # It had the request in place of this.
            message = await self._receive()
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI ``send``."""
        if self.status is None and self._session is None:
            kind = message["type"]
            if kind == "http.response.start":
                self.status = message["status"]
            elif kind.startswith("websocket."):
                return self._send_first(message)
        return self._send(message)

    async def _send_first(self, message: Message) -> None:
        await self._begin(message)
        await self._send(message)

    async def _begin(self, message: Message) -> None:
        handshake = self._handshake or without_policy(self._scope)
        if handshake is None:
            raise RuntimeError(f"Unexpected ASGI message '{message['type']}': the request is no WebSocket handshake.")
        if isinstance(handshake, Reject):
            self._refused = True
            await refuse(
                self._scope,
                self._receive,
                self._send,
                status=handshake.status,
                reason=handshake.reason,
                headers=handshake.headers,
            )
            raise ClientDisconnected(CloseCode.ABNORMAL_CLOSURE, handshake.reason)
        self._session = session = WebSocketSession(self._scope, self._receive, self._send, handshake=handshake)
        self._task = session.arm()
        self._receive, self._send = session.ends
