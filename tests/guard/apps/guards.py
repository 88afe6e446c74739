"""HTTP middleware that refuses with 401 when the request says so, and else adds a header to the response."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse

from tests.guard.apps.notes import note

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.middleware.base import RequestResponseEndpoint
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


def must_refuse(scope: Scope, name: str) -> bool:
    return (b"x-refuse", name.encode()) in scope["headers"]


def refusal(name: str) -> Response:
    return PlainTextResponse(f"refused by {name}", 401, {"www-authenticate": "Bearer"})


def dispatch(name: str) -> Callable[[Request, RequestResponseEndpoint], Awaitable[Response]]:
    """What a user would decorate with `@app.middleware("http")`."""

    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        note(request.scope, f"{name} http")
        if must_refuse(request.scope, name):
            return refusal(name)
        response = await call_next(request)
        response.headers.append("x-guard", name)
        return response

    return guard


class BaseGuard(BaseHTTPMiddleware):
    def __init__(self, app: ASGIApp, name: str) -> None:
        super().__init__(app, dispatch(name))


class PureGuard:
    """A pure ASGI middleware. Like most of them it leaves anything but HTTP alone."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        self.app = app
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            note(scope, f"{self.name} {scope['type']}")
        await (self.serve if scope["type"] == "http" else self.app)(scope, receive, send)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if must_refuse(scope, self.name):
            await refusal(self.name)(scope, receive, send)
            return

        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("x-guard", self.name)
            await send(message)

        await self.app(scope, receive, send_with_header)


class OpaqueGuard:
    """A `PureGuard` that keeps the next application where nobody looks for it."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        self._guard = PureGuard(app, name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guard(scope, receive, send)


class CopyingGuard(PureGuard):
    """Gives everything inside a deep copy of the scope, as some middlewares for proxies do."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope if scope["type"] == "lifespan" else deepcopy(scope), receive, send)


@dataclass(frozen=True)
class FrozenGuard:
    """A `PureGuard` whose attributes cannot be set."""

    app: ASGIApp
    name: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PureGuard(self.app, self.name)(scope, receive, send)
