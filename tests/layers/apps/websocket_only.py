"""Shapes of middleware that is written for WebSockets, and lets everything else pass."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.datastructures import MutableHeaders
from starlette.websockets import WebSocket

from tests.layers.apps.credentials import RIGHT, header_token, must_have_token, query_token
from tests.layers.apps.journal import see

if TYPE_CHECKING:
    from starlette.authentication import BaseUser
    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Layer:
    """Keeps the next application, as nearly all middleware does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app


class CloseGuard(Layer):
    """The usual one: close before the accept, which clients see as 403."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "websocket" and query_token(scope) != RIGHT:
            await send({"type": "websocket.close", "code": 4401, "reason": "no token"})
            return
        await self.app(scope, receive, send)


class InheritedGuard(CloseGuard):
    """All that makes it a guard is in its parent."""


class WebSocketGuard(Layer):
    """Leaves at once where there is no WebSocket, and uses Starlette's class."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        websocket = WebSocket(scope, receive, send)
        if header_token(scope) == RIGHT:
            await self.app(scope, receive, send)
        else:
            await websocket.close(1008, "no token")


class DenyingGuard(Layer):
    """Answers with a status of its own where the server can."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] != "websocket" or query_token(scope) == RIGHT:
            await self.app(scope, receive, send)
        elif "websocket.http.response" in scope.get("extensions", {}):
            await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b"no token"})
        else:
            await send({"type": "websocket.close"})


class AcceptingGuard(Layer):
    """Accepts, so that a browser's script may read the code with which it closes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "websocket" and query_token(scope) != RIGHT:
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4401, "reason": "no token"})
            return
        await self.app(scope, receive, send)


class FirstMessageGuard(Layer):
    """Wants the token as the first message, which the application never sees."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        connect = await receive()
        await send({"type": "websocket.accept"})
        if (await receive()).get("text") != RIGHT:
            await send({"type": "websocket.close", "code": 4401, "reason": "no token"})
            return
        pending = [connect]

        async def receive_later() -> Message:
            return pending.pop() if pending else await receive()

        async def send_all_but_accept(message: Message) -> None:
            if message["type"] != "websocket.accept":
                await send(message)

        await self.app(scope, receive_later, send_all_but_accept)


class ConnectionLimit(Layer):
    """Lets one WebSocket in at a time."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        if self.open:
            await send({"type": "websocket.close", "code": 1013, "reason": "try again later"})
            return
        self.open += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.open -= 1


class MessageLimit(Layer):
    """Closes at the third message."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        left = 2

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            if message["type"] == "websocket.receive":
                left -= 1
                if left < 0:
                    await send({"type": "websocket.close", "code": 1008, "reason": "too many"})
                    return {"type": "websocket.disconnect", "code": 1008}
            return message

        await self.app(scope, counted, send)


class HeaderOnAccept(Layer):
    """Adds a header to the answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "websocket.accept":
                MutableHeaders(scope=message).append("x-layer", "HeaderOnAccept")
            await send(message)

        await self.app(scope, receive, dressed)


class SubprotocolChooser(Layer):
    """Picks the subprotocol, because the endpoint knows of none."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return

        async def chosen(message: Message) -> None:
            if message["type"] == "websocket.accept" and "chat" in scope["subprotocols"]:
                message = {**message, "subprotocol": "chat"}
            await send(message)

        await self.app(scope, receive, chosen)


class ConnectionNumber(Layer):
    """Counts, refuses nobody, and tells the endpoint."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "websocket":
            scope.setdefault("state", {})["connection"] = "numbered"
        await self.app(scope, receive, send)


class TokenBackend(AuthenticationBackend):
    """For `AuthenticationMiddleware`; knows nobody but WebSockets."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        if conn.scope["type"] != "websocket":
            return None
        see(conn.scope, self)
        if query_token(conn.scope) != RIGHT:
            return None
        return AuthCredentials(["authenticated"]), SimpleUser("ada")


def is_websocket(scope: Scope) -> bool:
    return bool(scope["type"] == "websocket")


class HelpedGuard(Layer):
    """The same, but nothing in the class says so."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if is_websocket(scope) and query_token(scope) != RIGHT:
            await WebSocket(scope, receive, send).close()
            return
        await self.app(scope, receive, send)


class HelpedFromElsewhere(Layer):
    """The same, and the helper is in another module."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if must_have_token(scope) and query_token(scope) != RIGHT:
            await WebSocket(scope, receive, send).close()
            return
        await self.app(scope, receive, send)


def guarding(app: ASGIApp) -> ASGIApp:
    """Middleware that is a function."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, "guarding")
        if scope["type"] == "websocket" and query_token(scope) != RIGHT:
            await send({"type": "websocket.close", "code": 4401})
            return
        await app(scope, receive, send)

    return guard


def wrapping(app: ASGIApp) -> ASGIApp:
    """The same, with the attributes of what it wraps."""

    @functools.wraps(app)
    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, "wrapping")
        if scope["type"] == "websocket" and query_token(scope) != RIGHT:
            await send({"type": "websocket.close", "code": 4401})
            return
        await app(scope, receive, send)

    return guard


class KeepingGuard:
    """Keeps the next application where nobody looks for it."""

    def __init__(self, app: ASGIApp) -> None:
        self.__kept = {"the next": [app]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "websocket" and query_token(scope) != RIGHT:
            await send({"type": "websocket.close", "code": 4401})
            return
        await self.__kept["the next"][0](scope, receive, send)
