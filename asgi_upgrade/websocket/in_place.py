"""For applications that get a handshake as an HTTP request and answer it in WebSocket messages, as Engine.IO does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from asgi_upgrade.guard.handshake import Handshake
    from asgi_upgrade.websocket.session import WebSocketSession

__all__ = ["InPlace"]


class InPlace:
    """Understands both answers to a handshake: an HTTP response, and ``websocket.accept`` or ``websocket.close``.

    Args:
        scope: The ``http`` scope of the handshake.
        receive: Its ``receive``.
        send: Its ``send``.
        handshake: Gives what is known of the handshake; called with the first WebSocket message.

    Attributes:
        status: The status of the application's HTTP response, ``None`` as long as there is none.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, handshake: Callable[[], Handshake]) -> None:
        self.status: int | None = None
        self._scope = scope
        self._http_receive = receive
        self._http_send = send
        self._handshake = handshake
        self._session: WebSocketSession | None = None
        self._receive: Receive = receive  # of the WebSocket, from its first message on
        self._send: Send = send
        self._connected = False
        self._task: asyncio.Task[Any] | None = None

    async def run(self, app: ASGIApp) -> None:
        """Run ``app`` until it has answered, or until its WebSocket is closed."""
        error: BaseException | None = None
        try:
            await app(self._scope, self.receive, self.send)
        except BaseException as raised:
            if self._session is None:
                raise
            error = raised
        if self._session is not None:
            assert self._task is not None
            await self._session.finish(self._task, error)

    async def receive(self) -> Message:
        """ASGI ``receive``: of the request first, of the WebSocket once the application speaks that."""
        if self._session is None:
            return await self._http_receive()
        message = await self._receive()
        if message["type"] == "websocket.connect":
            # It had the request in place of this.
            message = await self._receive()
        return message

    async def send(self, message: Message) -> None:
        """ASGI ``send``."""
        if message["type"].startswith("websocket."):
            if self._session is None:
                self._begin()
            await self._send(message)
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._http_send(message)

    def _begin(self) -> None:
        from asgi_upgrade.websocket.session import WebSocketSession

        self._session = session = WebSocketSession(
            self._scope, self._http_receive, self._http_send, handshake=self._handshake()
        )
        self._task = session.arm()
        self._receive, self._send = session.ends
