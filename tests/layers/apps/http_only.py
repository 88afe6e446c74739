"""Shapes of middleware that is written for requests, and lets WebSockets pass unseen on a plain server."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Match
from starlette.websockets import WebSocket

from tests.layers.apps.credentials import RIGHT, denial, deny, header_token, query_token
from tests.layers.apps.journal import see

if TYPE_CHECKING:
    from starlette.middleware.base import RequestResponseEndpoint
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Layer:
    """Keeps the next application, as nearly all middleware does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app


class Gate(Layer):
    """The usual one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "http" and header_token(scope) != RIGHT:
            await PlainTextResponse("no token", 401)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class DispatchGate(BaseHTTPMiddleware):
    """As from `@app.middleware("http")`."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        see(request.scope, self)
        if request.query_params.get("token") != RIGHT:
            return PlainTextResponse("no token", 401)
        request.state.gate = "passed"
        response = await call_next(request)
        response.headers["x-status"] = str(response.status_code)
        return response


class Scrubber(Layer):
    """Checks the token, and takes it away, so that it is in nobody's log."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if query_token(scope) != RIGHT:
            await PlainTextResponse("no token", 401)(scope, receive, send)
            return
        left = [(name, value) for name, value in parse_qsl(scope["query_string"].decode()) if name != "token"]
        await self.app({**scope, "query_string": urlencode(left).encode()}, receive, send)


class SessionWriter(BaseHTTPMiddleware):
    """Changes the session, which another layer outside has opened."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        see(request.scope, self)
        request.session["visitor"] = "ada"
        return await call_next(request)


class RateLimit(Layer):
    """One request for each token."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.seen: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "http":
            token = query_token(scope)
            if token in self.seen:
                await PlainTextResponse("too many", 429)(scope, receive, send)
                return
            self.seen.add(token)
        await self.app(scope, receive, send)


class RouteCounter(Layer):
    """Looks the route up as Prometheus' middlewares do, and counts the answer under its template."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        templates = [route.path for route in scope["app"].routes if route.matches(scope)[0] is Match.FULL]

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                see(scope, f"{message['status']} {' '.join(templates)}")
            await send(message)

        await self.app(scope, receive, counted)


class BodyReader(Layer):
    """Reads the body, and gives it to what is inside again and again."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        message = await receive()
        assert message["type"] == "http.request"

        async def replay() -> Message:
            return message

        await self.app(scope, replay, send)


class Insisting(Layer):
    """Is sure that there is nothing else but requests and the lifespan."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] != "lifespan":
            assert scope["type"] == "http"
        await self.app(scope, receive, send)


class SkipsWebSockets(Layer):
    """Names WebSockets, but only to let them pass: it knows no better on a plain server."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] in ("lifespan", "websocket") or header_token(scope) == RIGHT:
            await self.app(scope, receive, send)
            return
        await PlainTextResponse("no token", 401)(scope, receive, send)


class RaisingGate(Layer):
    """The same, but it leaves the answer to the handlers of exceptions around it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "lifespan" and header_token(scope) != RIGHT:
            raise HTTPException(401, "no token")
        await self.app(scope, receive, send)


class NotingGate(Layer):
    """The same, but it looks at WebSockets before it lets them pass."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.noted: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "websocket":
            self.noted.append(WebSocket(scope, receive, send).url.path)
        elif scope["type"] != "lifespan" and header_token(scope) != RIGHT:
            raise HTTPException(401, "no token")
        await self.app(scope, receive, send)


class UpgradeGate(BaseHTTPMiddleware):
    """Guards handshakes alone, which it knows by their header. It never sees one on a plain server."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        see(request.scope, self)
        if request.headers.get("upgrade", "").lower() == "websocket" and query_token(request.scope) != RIGHT:
            return denial()
        return await call_next(request)


class DelegatingGate(Layer):
    """The same, but the answer is somebody else's."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] in {"lifespan", "websocket"} or header_token(scope) == RIGHT:
            await self.app(scope, receive, send)
        else:
            await deny(scope, receive, send)


def gate(app: ASGIApp) -> ASGIApp:
    """A gate that is a function, with the attributes of what it wraps, as asgi-csrf makes it."""

    @functools.wraps(app)
    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, "gate")
        if scope["type"] == "http" and header_token(scope) != RIGHT:
            await PlainTextResponse("no token", 401)(scope, receive, send)
            return
        await app(scope, receive, send)

    return guard


class Keeper:
    """A gate that keeps the next application where nobody looks for it."""

    def __init__(self, app: ASGIApp) -> None:
        self.__kept = {"the next": [app]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "http" and header_token(scope) != RIGHT:
            await PlainTextResponse("no token", 401)(scope, receive, send)
            return
        await self.__kept["the next"][0](scope, receive, send)


class TaskGate(Layer):
    """A gate that wraps `send`, and runs what is inside in a task of its own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if scope["type"] == "http" and header_token(scope) != RIGHT:
            await PlainTextResponse("no token", 401)(scope, receive, send)
            return

        async def passed_on(message: Message) -> None:
            await send(message)

        await asyncio.ensure_future(self.app(scope, receive, passed_on))
