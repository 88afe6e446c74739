"""Shapes of middleware that handles requests and WebSockets, alike or each in its own way."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.websockets import WebSocket

from tests.layers.apps.credentials import RIGHT, header_token, query_token, subprotocol_token
from tests.layers.apps.journal import see

if TYPE_CHECKING:
    from starlette.authentication import BaseUser
    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Layer:
    """Keeps the next application, as nearly all middleware does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app


class SubprotocolGuard(Layer):
    """Takes the token of a WebSocket from the subprotocols, that of a request from Authorization."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "http" and header_token(scope) != RIGHT:
            await PlainTextResponse("no token", 401)(scope, receive, send)
        elif scope["type"] == "websocket" and subprotocol_token(scope) != RIGHT:
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, send)


class ServerKey(Layer):
    """As vLLM's: it names both types, and asks for the method, which a WebSocket does not have."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] not in {"http", "websocket"} or scope["method"] == "OPTIONS":
            await self.app(scope, receive, send)
            return
        if header_token(scope) != RIGHT:
            await JSONResponse({"error": "Unauthorized"}, 401)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class AnswersAsHTTP(Layer):
    """One check for both, and an answer that only a request can have."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] in ("http", "websocket") and header_token(scope) != RIGHT:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"no token"})
            return
        await self.app(scope, receive, send)


class ReadsRequest(Layer):
    """Makes a `Request` of whatever comes, as starlette-csrf does; a WebSocket is none."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        if request.query_params.get("token") == RIGHT:
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse("no token", 403)(scope, receive, send)


class NetworkGuard(Layer):
    """Refuses each in its own protocol, by the same rule."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "lifespan" or query_token(scope) == RIGHT:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(1008, "not from here")
        else:
            await PlainTextResponse("not from here", 403)(scope, receive, send)


class TicketBackend(AuthenticationBackend):
    """For `AuthenticationMiddleware`: each ticket is good for one connection."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        see(conn.scope, self)
        ticket = query_token(conn.scope)
        if not ticket.startswith(RIGHT) or ticket in self.used:
            raise AuthenticationError("no such ticket")
        self.used.add(ticket)
        return AuthCredentials(["authenticated"]), SimpleUser("ada")


class OneSlot(Layer):
    """Serves one connection of any type at a time; the next waits."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.slot: asyncio.Semaphore | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        self.slot = self.slot or asyncio.Semaphore(1)
        async with self.slot:
            await self.app(scope, receive, send)


class Once(Layer):
    """Serves each client once; the second time is one too many."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.served: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        client = query_token(scope)
        if client not in self.served:
            self.served.add(client)
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1013})
        else:
            await PlainTextResponse("once only", 429)(scope, receive, send)


request_id: ContextVar[str] = ContextVar("request_id", default="none")


class RequestId(Layer):
    """Gives each connection an id: a context variable for what is inside, a header for what is outside."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.number = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        self.number += 1
        request_id.set(f"id {self.number}")

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("x-request-id", request_id.get())
            await send(message)

        await self.app(scope, receive, with_id)


class Spans(Layer):
    """As OpenTelemetry's: a span for a request, or one for a WebSocket and more for its messages."""

    spans: list[str]

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.spans = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        self.spans.append(scope["type"])

        async def traced(message: Message) -> None:
            if message["type"] == "websocket.send":
                self.spans.append("websocket send")
            elif message["type"] == "http.response.start":
                self.spans.append(f"http status {message['status']}")
            await send(message)

        scope.setdefault("state", {})["span"] = scope["type"]
        await self.app(scope, receive, traced)


class Catcher(Layer):
    """As Sentry's: one transaction for either, and errors noted on their way."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except LookupError:
            see(scope, "caught")
            raise


class Delay(Layer):
    """Takes its time with either."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] in ("http", "websocket"):
            await asyncio.sleep(0.01)
        await self.app(scope, receive, send)


class Copying(Layer):
    """Gives what is inside a deep copy, as hypercorn's `ProxyFixMiddleware` does."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] in {"http", "websocket"}:
            # The application does not let itself be copied.
            app = scope.pop("app", None)
            scope = deepcopy(scope)
            if app is not None:
                scope["app"] = app
            scope["client"] = ("203.0.113.1", 1)
        await self.app(scope, receive, send)


class Dispatcher(Layer):
    """As Panel's: its own paths never reach the application, WebSockets included."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not scope["path"].startswith("/panel/"):
            await self.app(scope, receive, send)
            return
        see(scope, self)
        if scope["type"] == "websocket":
            await self.serve(WebSocket(scope, receive, send))
        elif scope["path"].endswith("/ws"):
            await PlainTextResponse("can upgrade to WebSocket only", 400)(scope, receive, send)
        else:
            await PlainTextResponse("panel")(scope, receive, send)

    async def serve(self, websocket: WebSocket) -> None:
        if query_token(websocket.scope) != RIGHT:
            await websocket.close()
            return
        await websocket.accept()
        await websocket.send_json({"panel": websocket.scope["path"]})
        async for text in websocket.iter_text():
            await websocket.send_text(text)


class Deadline(Layer):
    """Runs what is inside in a task of its own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] in ("http", "websocket"):
            await asyncio.wait_for(self.app(scope, receive, send), 30)
        else:
            await self.app(scope, receive, send)


class Variadic(Layer):
    """Does not look at what it is given."""

    async def __call__(self, *asgi: Any) -> None:
        see(asgi[0], self)
        await self.app(*asgi)
