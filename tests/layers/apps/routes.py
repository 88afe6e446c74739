"""Guards behind the router, in every place that somebody may have put one, and applications that are no Starlette.

Each serves a WebSocket at `/x/ws/blue`, and has `Gate`, which wants a header, somewhere on the way.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, FastAPI, routing
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from tests.layers.apps.credentials import RIGHT, header_token, must_have_token
from tests.layers.apps.endpoint import fastapi, page, room, talk
from tests.layers.apps.http_only import Gate, Keeper, RaisingGate
from tests.layers.apps.http_only import gate as http_gate
from tests.layers.apps.journal import see
from tests.layers.apps.websocket_only import HelpedFromElsewhere, WebSocketGuard
from tests.layers.support.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from starlette.middleware.base import RequestResponseEndpoint
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/x/ws/blue"
gate = [Middleware(Gate)]
websocket_guard = [Middleware(WebSocketGuard)]
BY_CLOSURE = ("closure http", "endpoint websocket")
BY_WEBSOCKET_GUARD = ("WebSocketGuard websocket", "endpoint websocket")


def visit(token: str | None) -> Visit:
    return Visit(PATH, {} if token is None else {"Authorization": f"Bearer {token}"})


def sub() -> Starlette:
    """An application to be mounted."""
    return Starlette(routes=[WebSocketRoute("/ws/{room}", room), Route("/page", page)])


def whole(*middleware: Middleware) -> Starlette:
    """An application that knows its full path."""
    return Starlette(routes=[WebSocketRoute(PATH, room)], middleware=list(middleware))


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    """An application of no framework: it tells the types apart, as ASGI wants."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await talk(WebSocket(scope, receive, send))
    elif scope["type"] == "http":
        see(scope, "raw")
        await PlainTextResponse("raw page", 404)(scope, receive, send)


class Raw:
    """The same as a class."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await talk(WebSocket(scope, receive, send))
        elif scope["type"] == "http":
            see(scope, "raw")
            await PlainTextResponse("raw page", 404)(scope, receive, send)


async def in_messages(scope: Scope, receive: Receive, send: Send) -> None:
    """As Engine.IO: it looks at the headers alone, and answers a handshake in WebSocket messages."""
    see(scope, "endpoint")
    if (b"upgrade", b"websocket") not in scope["headers"] and scope["type"] == "http":
        await PlainTextResponse("polling")(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": '{"engine": "io"}'})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


class Second(Gate):
    """Another one."""


def closure(app: ASGIApp) -> ASGIApp:
    """A guard that is a function, and keeps the application where only functions keep things."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, "closure")
        if scope["type"] == "http" and header_token(scope) != RIGHT:
            await PlainTextResponse("no token", 401)(scope, receive, send)
            return
        await app(scope, receive, send)

    return guard


def wrapped_closure(app: ASGIApp) -> ASGIApp:
    """The same, with the name and the module of what it wraps."""

    @wraps(app)
    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, "closure")
        if scope["type"] == "http" and header_token(scope) != RIGHT:
            await PlainTextResponse("no token", 401)(scope, receive, send)
            return
        await app(scope, receive, send)

    return guard


def passing(app: ASGIApp) -> ASGIApp:
    """Refuses nobody."""

    async def passing_on(scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, "passing")
        await app(scope, receive, send)

    return passing_on


def with_default(app: ASGIApp) -> ASGIApp:
    """A guard that keeps the application as a default."""

    async def guard(scope: Scope, receive: Receive, send: Send, *, app: ASGIApp = app) -> None:
        await Gate(app)(scope, receive, send)

    return guard


async def given_app(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """A guard that is given the application first."""
    await Gate(app)(scope, receive, send)


def with_helper(app: ASGIApp) -> ASGIApp:
    """A guard in two parts."""

    async def go_on(scope: Scope, receive: Receive, send: Send, token: str | None) -> None:
        if token == RIGHT or scope["type"] != "http":
            await app(scope, receive, send)
        else:
            await PlainTextResponse("no token", 401)(scope, receive, send)

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, "helped")
        await go_on(scope, receive, send, header_token(scope))

    return guard


class Endpoint(WebSocketEndpoint):
    """An endpoint that is a class."""

    async def dispatch(self) -> None:
        await room(WebSocket(self.scope, self.receive, self.send))


class AwaitedEndpoint:
    """The same, of the user's own."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.websocket = WebSocket(scope, receive, send)

    def __await__(self) -> Generator[Any, None, None]:
        return room(self.websocket).__await__()


class Holder:
    """Keeps the application under a name of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.protected = Gate(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.protected(scope, receive, send)


class ByTenant:
    """Has an application for each tenant."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self.tenants = dict(apps)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.tenants["blue" if scope["path"].endswith("blue") else "red"](scope, receive, send)


class PrefixRoute(BaseRoute):
    """A route of the user's own."""

    def __init__(self, app: ASGIApp) -> None:
        self.behind = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.FULL if scope["path"].startswith("/x/") else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.behind(scope, receive, send)


class Guarding(Starlette):
    """Guards itself."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            await Gate(super().__call__)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class Bound:
    """An application that is a method."""

    def __init__(self, app: ASGIApp) -> None:
        self.gate = Gate(app)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.gate(scope, receive, send)


class HelpedByHeader(HelpedFromElsewhere):
    """Wants its token elsewhere."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        see(scope, self)
        if must_have_token(scope) and header_token(scope) != RIGHT:
            await WebSocket(scope, receive, send).close()
            return
        await self.app(scope, receive, send)


unrecognised = HelpedByHeader(sub())


class WebSocketHolder:
    """Keeps the application, in a WebSocket guard, under a name of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.protected = WebSocketGuard(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.protected(scope, receive, send)


class DispatchAll(BaseHTTPMiddleware):
    """Refuses nobody; like each of its kind it runs what is inside in a task."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


def with_dispatch() -> Starlette:
    return Starlette(routes=sub().routes, middleware=[Middleware(DispatchAll)])


class Tasked:
    """The same, of the user's own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.ensure_future(self.app(scope, receive, send))


class GuardingWebSockets(Starlette):
    """Guards its own WebSockets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            see(scope, self)
            if header_token(scope) != RIGHT:
                await send({"type": "websocket.close", "code": 4401})
                return
        await super().__call__(scope, receive, send)


class GuardingWebSocketsRouter(Router):
    """Guards its own WebSockets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and header_token(scope) != RIGHT:
            await WebSocket(scope, receive, send).close(4401)
            return
        await super().__call__(scope, receive, send)


class TokenRoute(WebSocketRoute):
    """Guards its endpoint."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if header_token(scope) != RIGHT:
            await WebSocket(scope, receive, send).close(4401)
            return
        await super().handle(scope, receive, send)


class MessageRoute(WebSocketRoute):
    """Guards its endpoint, with a message of its own."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and header_token(scope) != RIGHT:
            await send({"type": "websocket.close", "code": 4401})
            return
        await super().handle(scope, receive, send)


def websocket_closure(app: ASGIApp) -> ASGIApp:
    """A WebSocket guard that is a function."""

    async def websocket_guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and header_token(scope) != RIGHT:
            await send({"type": "websocket.close", "code": 4401})
            return
        await app(scope, receive, send)

    return websocket_guard


behind_global_websocket = WebSocketGuard(sub())


async def calls_global_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Nothing of it leads to the WebSocket guard but the name in its code."""
    await behind_global_websocket(scope, receive, send)


behind_global = Gate(sub())


async def calls_global(scope: Scope, receive: Receive, send: Send) -> None:
    """Nothing of it leads to the guard but the name in its code."""
    await behind_global(scope, receive, send)


class WSGIMiddleware:
    """As a2wsgi's: it knows that it cannot serve a WebSocket, and serves requests by calling a function."""

    def __init__(self, app: Callable[..., list[bytes]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            see(scope, self)
            await PlainTextResponse(self.app({}, None)[0])(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})


def wsgi(environ: dict[str, str], start_response: object) -> list[bytes]:
    return [b"WSGI"]


def swapping() -> list[BaseRoute]:
    """Replaces the open application by a guarded one, in place, when a page asks for it."""

    async def swap(request: Request) -> Response:
        routes = request.app.router.routes
        (index,) = (index for index, route in enumerate(routes) if getattr(route, "path", "") == "/x")
        routes[index] = Mount("/x", Gate(sub()))
        return PlainTextResponse("swapped")

    return [Mount("/x", sub()), Route("/swap", swap)]


def included() -> list[BaseRoute]:
    """A router that is included, with what is mounted in it."""
    app, router = FastAPI(), APIRouter()
    router.mount("/x", Gate(sub()))
    app.include_router(router)
    return list(app.routes)


def by_route(*middleware: Any, endpoint: Any = room) -> Callable[[], list[BaseRoute]]:
    """A route with middleware, the first of which is outermost."""
    return lambda: [WebSocketRoute(PATH, endpoint, middleware=[Middleware(each) for each in middleware])]


def by_fastapi(*decorators: Callable[[ASGIApp], ASGIApp]) -> Callable[[], list[BaseRoute]]:
    """A route of FastAPI with a dependency, whose application is decorated; the last decorator is outermost."""

    async def dependency() -> None:
        """Let everybody in."""

    def make() -> list[BaseRoute]:
        route = routing.APIWebSocketRoute(PATH, room, dependencies=[Depends(dependency)])
        for decorate in decorators:
            route.app = decorate(route.app)
        return [route]

    return make


@dataclass(frozen=True)
class Place:
    """Where a guard is, or a foreign application.

    Attributes:
        routes: Makes the routes of the application.
        seen: What sees the handshake of the right visitor. The last is "endpoint websocket" if it is served.
        refused: The class that the log names, because nobody knows what it hides, so that nobody gets in. `None` where
            somebody does, or where the refusal is a route's, which nobody can name.
        outside: Middleware of the application.
        default: What serves paths that have no route.
        options: Of `UpgradeMiddleware`.
        plain: What anonymous and right visitors get on a plain server, if it can be run there.
    """

    routes: Callable[[], Sequence[BaseRoute]]
    seen: Sequence[str] = ("Gate http", "endpoint websocket")
    refused: str | None = None
    outside: Sequence[Middleware] = ()
    default: ASGIApp | None = None
    options: dict[str, Any] = field(default_factory=dict)
    plain: tuple[int, int] | None = (101, 101)

    def make(self, position: str) -> FastAPI:
        """The application, with `UpgradeMiddleware` in this position: innermost, outermost, or plain, without it."""
        layers = list(self.outside)
        if position != "plain":
            from tests.layers.apps.upgrade import upgrade

            layers.insert(0 if position == "outermost" else len(layers), upgrade(**self.options))
        app = fastapi(layers)
        app.router.routes.extend(self.routes())
        if self.default is not None:
            app.router.default = self.default
        return app


def cured(app: ASGIApp) -> ASGIApp:
    """What the log recommends: `UpgradeMiddleware` inside the guard."""
    from asgi_upgrade import UpgradeMiddleware

    return UpgradeMiddleware(app)


GUARDS = {
    "mounted": Place(lambda: [Mount("/x", Gate(sub()))]),
    "mounted FastAPI": Place(lambda: [Mount("/x", Gate(fastapi()))]),
    "mounted, two nested": Place(
        lambda: [Mount("/x", Gate(Second(sub())))], ("Gate http", "Second http", "endpoint websocket")
    ),
    "mounted, a closure": Place(lambda: [Mount("/x", closure(sub()))], ("closure http", "endpoint websocket")),
    "mounted, a closure in a guard": Place(
        lambda: [Mount("/x", Gate(closure(sub())))], ("Gate http", "closure http", "endpoint websocket")
    ),
    "mounted application with middleware": Place(
        lambda: [Mount("/x", Starlette(routes=[WebSocketRoute("/ws/{room}", room)], middleware=gate))]
    ),
    "mounted in a mounted one": Place(
        lambda: [Mount("/", Starlette(routes=[Mount("/x", Gate(sub()))], middleware=[Middleware(Second)]))],
        ("Second http", "Gate http", "endpoint websocket"),
    ),
    "holder": Place(lambda: [Mount("/x", Holder(sub()))]),
    "method": Place(lambda: [Mount("/x", Bound(sub()).serve)]),
    "partial": Place(lambda: [Mount("/x", partial(Gate(sub()).__call__))]),
    "function that calls a global": Place(lambda: [Mount("/x", calls_global)]),
    "dispatcher with a dict": Place(lambda: [Mount("/x", ByTenant({"blue": Gate(sub()), "red": sub()}))]),
    "application that guards itself": Place(lambda: [Mount("/x", Guarding(routes=sub().routes))]),
    "custom route": Place(lambda: [PrefixRoute(Gate(whole()))]),
    "host": Place(lambda: [Host("127.0.0.1", Gate(whole()))]),
    "default": Place(list, default=Gate(whole())),
    "router's default": Place(lambda: [Mount("/x", Router(default=Gate(sub())))]),
    "closure that wraps": Place(lambda: [Mount("/x", http_gate(sub()))], ("gate http", "endpoint websocket")),
    "keeper": Place(lambda: [Mount("/x", Keeper(sub()))], ("Keeper http", "endpoint websocket")),
    "raising gate of a mount": Place(
        lambda: [Mount("/x", routes=sub().routes, middleware=[Middleware(RaisingGate)])],
        ("RaisingGate http", "endpoint websocket"),
    ),
    "middleware of a mount": Place(lambda: [Mount("/x", routes=sub().routes, middleware=gate)]),
    "middleware of a router": Place(lambda: [Mount("/x", Router(sub().routes, middleware=gate))]),
    "middleware of a route": Place(lambda: [WebSocketRoute(PATH, room, middleware=gate)]),
    "route whose endpoint is an application": Place(lambda: [WebSocketRoute(PATH, whole(*gate))]),
    "route whose endpoint is a guarded application": Place(lambda: [WebSocketRoute(PATH, Gate(whole()))]),
    "route whose endpoint is a router": Place(
        lambda: [WebSocketRoute(PATH, Router([WebSocketRoute(PATH, room)], middleware=gate))]
    ),
    "route whose endpoint is a holder": Place(lambda: [WebSocketRoute(PATH, Holder(whole()))]),
    "function, UpgradeMiddleware inside the guard": Place(lambda: [Mount("/x", Gate(cured(raw)))], plain=None),
    "two guards, UpgradeMiddleware inside": Place(
        lambda: [Mount("/x", Gate(Second(cured(raw))))],
        ("Gate http", "Second http", "endpoint websocket"),
        plain=None,
    ),
    # Functions.
    "closure of a route": Place(by_route(closure), BY_CLOSURE),
    "closure of a route that passes on": Place(
        by_route(passing, closure), ("passing http", "closure http", "endpoint websocket")
    ),
    "closure of a route that wraps": Place(by_route(wrapped_closure), BY_CLOSURE),
    "closures of a route": Place(by_route(closure, closure), ("closure http", *BY_CLOSURE)),
    "closure of a route in a class": Place(by_route(Gate, closure), ("Gate http", *BY_CLOSURE)),
    "closure of a route around a class": Place(
        by_route(closure, Gate), ("closure http", "Gate http", "endpoint websocket")
    ),
    "closure of a route around a WebSocket guard": Place(
        by_route(closure, WebSocketGuard), ("closure http", *BY_WEBSOCKET_GUARD), plain=(403, 101)
    ),
    "closure of a route in a WebSocket guard": Place(
        by_route(WebSocketGuard, passing),
        ("WebSocketGuard websocket", "passing http", "endpoint websocket"),
        plain=(403, 101),
    ),
    "closure of a route in two parts": Place(by_route(with_helper), ("helped http", "endpoint websocket")),
    "default of a route": Place(by_route(with_default)),
    "partial of a route": Place(by_route(lambda app: partial(given_app, app))),
    "method of a route": Place(by_route(lambda app: Bound(app).serve)),
    "closure of a route in a mounted application": Place(
        lambda: [Mount("/x", Starlette(routes=[WebSocketRoute("/ws/{room}", room, middleware=[Middleware(closure)])]))],
        BY_CLOSURE,
    ),
    "closure of a route of a router": Place(
        lambda: [Mount("/x", routes=[WebSocketRoute("/ws/{room}", room, middleware=[Middleware(closure)])])],
        BY_CLOSURE,
    ),
    "closure of a route of FastAPI": Place(by_fastapi(closure), BY_CLOSURE),
    "closure of a route of FastAPI that wraps": Place(by_fastapi(wrapped_closure), BY_CLOSURE),
    "closure of a route of FastAPI in a class": Place(by_fastapi(closure, Gate), ("Gate http", *BY_CLOSURE)),
    "closure of a mount": Place(
        lambda: [Mount("/x", routes=sub().routes, middleware=[Middleware(closure)])], BY_CLOSURE
    ),
    "closure of a mount around a function": Place(
        lambda: [Mount("/x", raw, middleware=[Middleware(closure)])], BY_CLOSURE
    ),
    "closure of a router": Place(
        lambda: [Mount("/x", Router(sub().routes, middleware=[Middleware(closure)]))], BY_CLOSURE
    ),
    # Endpoints that are no functions.
    "route of a class": Place(by_route(Gate, endpoint=Endpoint)),
    "closure of a route of a class": Place(by_route(closure, endpoint=Endpoint), BY_CLOSURE),
    "route of a class of the user's own": Place(by_route(Gate, endpoint=AwaitedEndpoint)),
    "closure of a route of a class of the user's own": Place(by_route(closure, endpoint=AwaitedEndpoint), BY_CLOSURE),
    "closure of a route of an application": Place(by_route(closure, endpoint=Raw()), BY_CLOSURE),
    "closure of a route of a guarded application": Place(
        by_route(closure, endpoint=Gate(whole())), ("closure http", "Gate http", "endpoint websocket")
    ),
    # Written for WebSockets alone.
    "WebSocket guard of a route, a closure": Place(
        by_route(websocket_closure), ("endpoint websocket",), plain=(403, 101)
    ),
    "WebSocket guard of a route, a closure around a class": Place(
        by_route(websocket_closure, Gate), ("Gate http", "endpoint websocket"), plain=(403, 101)
    ),
    "WebSocket guard of a route of FastAPI, a closure": Place(
        by_fastapi(websocket_closure), ("endpoint websocket",), plain=(403, 101)
    ),
    "WebSocket guard of a route of a class": Place(
        by_route(websocket_closure, endpoint=Endpoint), ("endpoint websocket",), plain=(403, 101)
    ),
    "WebSocket guard that is a closure": Place(
        lambda: [Mount("/x", websocket_closure(sub()))], ("endpoint websocket",), plain=(403, 101)
    ),
    "WebSocket guard that is a closure, in a guard": Place(
        lambda: [Mount("/x", Gate(websocket_closure(sub())))], ("Gate http", "endpoint websocket"), plain=(403, 101)
    ),
    "WebSocket guard that is a closure around a function": Place(
        lambda: [Mount("/x", websocket_closure(raw))], ("endpoint websocket",), plain=(403, 101)
    ),
    "WebSocket guard that is a closure, of a mount": Place(
        lambda: [Mount("/x", Gate(raw), middleware=[Middleware(websocket_closure)])],
        ("Gate http", "endpoint websocket"),
        plain=(403, 101),
    ),
    "WebSocket guard that is a closure, of a router": Place(
        lambda: [Mount("/x", Router(sub().routes, middleware=[Middleware(websocket_closure)]))],
        ("endpoint websocket",),
        plain=(403, 101),
    ),
    "WebSocket guard of a mount": Place(
        lambda: [Mount("/x", routes=sub().routes, middleware=websocket_guard)], BY_WEBSOCKET_GUARD, plain=(403, 101)
    ),
    "WebSocket guard of a mounted application": Place(
        lambda: [Mount("/x", Starlette(routes=sub().routes, middleware=websocket_guard))],
        BY_WEBSOCKET_GUARD,
        plain=(403, 101),
    ),
    "WebSocket guard of a route": Place(
        lambda: [WebSocketRoute(PATH, room, middleware=websocket_guard)], BY_WEBSOCKET_GUARD, plain=(403, 101)
    ),
    "WebSocket guard around what is mounted": Place(
        lambda: [Mount("/x", WebSocketGuard(sub()))], BY_WEBSOCKET_GUARD, plain=(403, 101)
    ),
    "WebSocket guard inside a guard": Place(
        lambda: [Mount("/x", Gate(WebSocketGuard(sub())))], ("Gate http", *BY_WEBSOCKET_GUARD), plain=(403, 101)
    ),
    "guard that nobody could recognise, told by itself": Place(
        lambda: [Mount("/x", unrecognised)],
        ("HelpedByHeader websocket", "endpoint websocket"),
        options={"websocket_middleware": [unrecognised]},
        plain=(403, 101),
    ),
    "WebSocket guard in a route's endpoint": Place(
        lambda: [WebSocketRoute(PATH, whole(*websocket_guard))], BY_WEBSOCKET_GUARD, plain=(403, 101)
    ),
}

if hasattr(routing, "_IncludedRouter"):
    # Before, FastAPI forgot what is mounted in a router that it includes.
    GUARDS["included"] = Place(included)

# Applications that are no Starlette, and get a `websocket` scope as on a plain server.
LEAVES = {
    "function": Place(lambda: [Mount("/x", raw)], outside=gate),
    "class": Place(lambda: [Mount("/x", Raw())], outside=gate),
    "function that answers in messages": Place(lambda: [Mount("/x", in_messages)], outside=gate),
    "default": Place(list, outside=gate, default=raw),
    "guard around a function": Place(lambda: [Mount("/x", Gate(raw))]),
    "guard around a class": Place(lambda: [Mount("/x", Gate(Raw()))]),
    "two guards around a function": Place(
        lambda: [Mount("/x", Gate(Second(raw)))], ("Gate http", "Second http", "endpoint websocket")
    ),
    "holder of a function": Place(lambda: [Mount("/x", Holder(raw))]),
    "function, by a route": Place(lambda: [WebSocketRoute(PATH, Raw())], outside=gate),
    "application that knows its path": Place(lambda: [Mount("/", whole())], outside=gate),
}

# Nobody can tell what is inside: the guard's answer counts, and what it would let in is not a WebSocket.
HIDDEN = {
    "closure around a function": Place(
        lambda: [Mount("/x", closure(raw))], ("closure http", "raw http"), refused="guard"
    ),
    "dispatcher to a function": Place(
        lambda: [Mount("/x", ByTenant({"blue": Gate(raw)}))], ("Gate http", "raw http"), refused="ByTenant"
    ),
    "custom route to a function": Place(lambda: [PrefixRoute(raw)], ("Gate http", "raw http"), outside=gate),
    "custom route to a guarded function": Place(lambda: [PrefixRoute(Gate(raw))], ("Gate http", "raw http")),
}

# Guards that are written for WebSockets, where nothing but the code around leads to them. Each serves the right one or
# nobody, and then the log tells why.
BURIED = {
    "holder": Place(lambda: [Mount("/x", WebSocketHolder(sub()))]),
    "holder by a route": Place(lambda: [WebSocketRoute(PATH, WebSocketHolder(whole()))]),
    "guard by a route": Place(lambda: [WebSocketRoute(PATH, WebSocketGuard(whole()))]),
    "dispatcher": Place(lambda: [Mount("/x", ByTenant({"blue": WebSocketGuard(sub()), "red": sub()}))]),
    "closure around a guarded function": Place(lambda: [Mount("/x", websocket_closure(Gate(raw)))]),
    "closure around a guarded function, in a guard": Place(lambda: [Mount("/x", Gate(websocket_closure(Gate(raw))))]),
    "in a closure": Place(lambda: [Mount("/x", closure(WebSocketGuard(sub())))]),
    "method": Place(lambda: [Mount("/x", WebSocketHolder(sub()).__call__)]),
    "partial": Place(lambda: [Mount("/x", partial(WebSocketGuard(sub()).__call__))]),
    "function that calls a global": Place(lambda: [Mount("/x", calls_global_websocket)]),
    "custom route": Place(lambda: [PrefixRoute(WebSocketGuard(whole()))]),
    "host": Place(lambda: [Host("127.0.0.1", WebSocketGuard(whole()))]),
    "default": Place(list, default=WebSocketGuard(whole())),
    "router's default": Place(lambda: [Mount("/x", Router(default=WebSocketGuard(sub())))]),
    "router": Place(lambda: [Mount("/x", Router(sub().routes, middleware=websocket_guard))]),
    "application's own": Place(lambda: [Mount("/x", GuardingWebSockets(routes=sub().routes))]),
    "application's own, in a guard": Place(lambda: [Mount("/x", Gate(GuardingWebSockets(routes=sub().routes)))]),
    "router's own": Place(lambda: [Mount("/x", GuardingWebSocketsRouter(sub().routes))]),
    "route's own": Place(lambda: [TokenRoute(PATH, room)]),
    "route's own, with a message": Place(lambda: [MessageRoute(PATH, room)]),
    "around a function": Place(lambda: [Mount("/x", WebSocketGuard(raw))]),
    "around a function, in a guard": Place(lambda: [Mount("/x", Gate(WebSocketGuard(raw)))]),
    "around a guarded function": Place(lambda: [Mount("/x", WebSocketGuard(Gate(raw)))]),
    "application with middleware in a holder": Place(
        lambda: [Mount("/x", ByTenant({"blue": Starlette(routes=sub().routes, middleware=websocket_guard)}))]
    ),
    "application with middleware in a custom route": Place(lambda: [PrefixRoute(whole(*websocket_guard))]),
    # A task between the guard and the endpoint.
    "dispatcher, around one that uses tasks": Place(
        lambda: [Mount("/x", ByTenant({"blue": WebSocketGuard(DispatchAll(sub())), "red": sub()}))]
    ),
    "dispatcher, around an application that uses tasks": Place(
        lambda: [Mount("/x", ByTenant({"blue": WebSocketGuard(with_dispatch())}))]
    ),
    "custom route, around one that uses tasks": Place(lambda: [PrefixRoute(WebSocketGuard(DispatchAll(whole())))]),
    "dispatcher, around a task": Place(lambda: [Mount("/x", ByTenant({"blue": WebSocketGuard(Tasked(sub()))}))]),
}

# What else a path may be.
MORE = {
    "swapped": Place(swapping, ()),
    "shared path": Place(lambda: [Route(PATH, page), WebSocketRoute(PATH, room)], outside=gate),
    "WSGI": Place(lambda: [Mount("/", WSGIMiddleware(wsgi))], (), plain=None),
}

PLACES: dict[str, Place] = {
    **{f"guard: {name}": place for name, place in GUARDS.items()},
    **{f"leaf: {name}": place for name, place in LEAVES.items()},
    **{f"hidden: {name}": place for name, place in HIDDEN.items()},
    **{f"buried: {name}": replace(place, plain=(403, 101)) for name, place in BURIED.items()},
    **MORE,
}


def applications(position: str) -> dict[str, Callable[[], FastAPI]]:
    """Makes the application of each place, by its name, with `UpgradeMiddleware` in this position."""
    return {
        f"{name} / {position}": partial(place.make, position)
        for name, place in PLACES.items()
        if position != "plain" or place.plain is not None
    }
