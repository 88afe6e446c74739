"""An application for each way to put `UpgradeMiddleware` and guards together, by name."""

from __future__ import annotations

import asyncio
import inspect
import os
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter, FastAPI, routing
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_upgrade import HandshakeMiddleware
from asgi_upgrade import UpgradeMiddleware as _UpgradeMiddleware
from asgi_upgrade.guard.gate import chain
from tests.guard.apps.guards import BaseGuard, CopyingGuard, FrozenGuard, OpaqueGuard, PureGuard, dispatch
from tests.guard.apps.notes import note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send


class UpgradeMiddleware(_UpgradeMiddleware):
    """A subclass, as users may write them, and so that the server's process can be told not to attach."""

    def __init__(self, app: ASGIApp, *, insecure_allow_unguarded: bool = False) -> None:
        super().__init__(
            app,
            extend_server="GUARD_TEST_UNATTACHED" not in os.environ,
            insecure_allow_unguarded=insecure_allow_unguarded,
        )


@dataclass(frozen=True)
class Case:
    """An application, and what has to become of its handshakes.

    Attributes:
        make: Makes it.
        guards: The names of the guards that must see a handshake, outermost first.
        path: Where the WebSocket is.
        direct: Those that must see it where the server delivers WebSockets, "same" if all of them; `None` if it must be
            refused there.
        attaches: Whether its lifespan reaches `UpgradeMiddleware`, so that uvicorn is extended.
    """

    make: Callable[[], ASGIApp]
    guards: tuple[str, ...]
    path: str = "/echo"
    direct: tuple[str, ...] | Literal["same"] | None = "same"
    attaches: bool = True

    def guards_where(self, *, direct: bool) -> tuple[str, ...] | None:
        """The guards that must see a handshake, `None` if it must be refused."""
        return self.direct if direct and self.direct != "same" else self.guards


async def page(request: Request) -> Response:
    note(request.scope, "complete")
    return PlainTextResponse("page")


async def echo(websocket: WebSocket) -> None:
    note(websocket.scope, "endpoint")
    await websocket.accept(headers=[(b"x-endpoint", b"echo")])
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """An application of no framework that we know."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "http":
        note(scope, "complete")
        await PlainTextResponse("page")(scope, receive, send)
    else:
        await echo(WebSocket(scope, receive, send))


upgrade = Middleware(UpgradeMiddleware)
base = Middleware(BaseGuard, name="base")
pure = Middleware(PureGuard, name="pure")
opaque = Middleware(OpaqueGuard, name="opaque")
frozen = Middleware(FrozenGuard, name="frozen")
inner = [Middleware(BaseGuard, name="inner base"), Middleware(PureGuard, name="inner pure")]


def starlette(*middleware: Middleware, routes: Sequence[BaseRoute] = ()) -> Starlette:
    own = [Route("/http", page), WebSocketRoute("/echo", echo)]
    return Starlette(routes=[*own, *routes], middleware=list(middleware))


def fastapi(*steps: str | Callable[[FastAPI], object]) -> FastAPI:
    """As a user writes it, one statement after the other: the last middleware added is outermost."""
    app = FastAPI()
    app.add_api_route("/http", page)
    app.add_api_websocket_route("/echo", echo)
    for step in steps:
        if step == "upgrade":
            app.add_middleware(UpgradeMiddleware)
        elif step == "base":
            app.middleware("http")(dispatch("base"))
        elif step == "pure":
            app.add_middleware(PureGuard, name="pure")
        elif callable(step):
            step(app)
    return app


def mount(sub: ASGIApp) -> Callable[[FastAPI], object]:
    return lambda app: app.mount("/sub", sub)


def include_mount(app: FastAPI) -> None:
    router = APIRouter()
    router.mount("/sub", starlette(*inner))
    app.include_router(router, prefix="/api")


def include_routes(app: FastAPI) -> None:
    """Two routers, one in the other."""
    leaf, branch = APIRouter(), APIRouter()
    leaf.add_api_websocket_route("/echo", echo)
    branch.include_router(leaf, prefix="/leaf")
    app.include_router(branch, prefix="/branch")


def host_route() -> Starlette:
    return Starlette(routes=[Host("127.0.0.1", starlette(*inner))], middleware=[base, upgrade])


class TaskGuard(PureGuard):
    """A guard that runs the application in a task of its own, as one that limits its time may."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.serve(scope, receive, send)
        else:
            await asyncio.ensure_future(self.app(scope, receive, send))


class GuardingApplication(Starlette):
    """Guards itself, before its middleware."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PureGuard(super().__call__, "own")(scope, receive, send)


class GuardingStack(Starlette):
    """Has a guard where only Starlette and FastAPI themselves put something: right before the router."""

    def build_middleware_stack(self) -> ASGIApp:
        stack = super().build_middleware_stack()
        *_, last, router = takewhile(lambda node: not inspect.ismethod(node), chain(stack))
        last.app = PureGuard(router, "own")
        return stack


class GuardingRouter(Router):
    """Guards itself, before its middleware."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PureGuard(super().__call__, "own")(scope, receive, send)


def with_guarding_router(*middleware: Middleware) -> Starlette:
    app = Starlette(middleware=list(middleware))
    app.router = GuardingRouter(sub_routes)
    return app


def default_application(app: Starlette) -> Starlette:
    """Where requests go for which there is no route."""
    app.router.default = starlette(*inner, routes=[WebSocketRoute("/default", echo)])
    return app


def wrapping(app: ASGIApp, *wrappers: Callable[[ASGIApp], ASGIApp]) -> ASGIApp:
    """`app` inside `wrappers`, the first of which is outermost."""
    for wrapper in reversed(wrappers):
        app = wrapper(app)
    return app


outside = partial(PureGuard, name="outside")
unguarded = partial(UpgradeMiddleware, insecure_allow_unguarded=True)
sub = "/sub/echo"
BOTH = ("base", "pure")
INNER = ("inner base", "inner pure")
sub_routes = [Route("/http", page), WebSocketRoute("/echo", echo)]

CASES: dict[str, Case] = {
    # Where `UpgradeMiddleware` stands in the stack: the first one added is innermost.
    "starlette first": Case(lambda: starlette(base, pure, upgrade), BOTH),
    "starlette middle": Case(lambda: starlette(base, upgrade, pure), BOTH),
    "starlette last": Case(lambda: starlette(upgrade, base, pure), BOTH),
    "starlette pure outside": Case(lambda: starlette(pure, upgrade, base), BOTH[::-1]),
    "fastapi first": Case(lambda: fastapi("upgrade", "base", "pure"), BOTH[::-1]),
    "fastapi middle": Case(lambda: fastapi("base", "upgrade", "pure"), BOTH[::-1]),
    "fastapi last": Case(lambda: fastapi("base", "pure", "upgrade"), BOTH[::-1]),
    "fastapi included": Case(lambda: fastapi("upgrade", "base", include_routes), ("base",), "/branch/leaf/echo"),
    "added twice": Case(lambda: starlette(upgrade, base, upgrade, pure), BOTH),
    "alone": Case(lambda: starlette(upgrade), ()),
    # Some middleware does not keep the next one in `app`.
    "opaque inside": Case(lambda: starlette(base, upgrade, opaque, pure), ("base", "opaque", "pure")),
    "opaque around": Case(lambda: starlette(base, opaque, upgrade, pure), ("base", "opaque", "pure")),
    "frozen inside": Case(lambda: starlette(upgrade, base, frozen), ("base", "frozen")),
    "frozen inside, wrapped": Case(lambda: UpgradeMiddleware(starlette(base, frozen)), ("base", "frozen")),
    # A guard where there is usually none.
    "own guard": Case(
        lambda: GuardingApplication(routes=sub_routes, middleware=[base, upgrade]), ("own", "base"), direct=None
    ),
    "own guard, with HandshakeMiddleware": Case(
        lambda: HandshakeMiddleware(GuardingApplication(routes=sub_routes, middleware=[base, upgrade])), ("own", "base")
    ),
    "own guard, wrapped": Case(
        lambda: UpgradeMiddleware(GuardingApplication(routes=sub_routes, middleware=[base])), ("own", "base")
    ),
    "own guard before the router": Case(
        lambda: GuardingStack(routes=sub_routes, middleware=[base, upgrade]), ("base", "own")
    ),
    "guard of the router's own": Case(lambda: with_guarding_router(base, upgrade), ("base", "own")),
    # `UpgradeMiddleware` around the application.
    "starlette wrapped": Case(lambda: UpgradeMiddleware(starlette(base, pure)), BOTH),
    "fastapi wrapped": Case(lambda: UpgradeMiddleware(fastapi("base", "pure")), BOTH[::-1]),
    "wrapped with a guard between": Case(
        lambda: wrapping(starlette(base), UpgradeMiddleware, outside), ("outside", "base")
    ),
    # A guard around the application.
    "guard around": Case(lambda: outside(starlette(base, upgrade)), ("outside", "base"), direct=None),
    "guard around the wrapper": Case(
        lambda: wrapping(starlette(base), outside, UpgradeMiddleware), ("outside", "base"), direct=None
    ),
    "guard around, with HandshakeMiddleware": Case(
        lambda: wrapping(starlette(base, upgrade), HandshakeMiddleware, outside), ("outside", "base")
    ),
    "guard around that copies the scope, with HandshakeMiddleware": Case(
        lambda: wrapping(starlette(base, upgrade), HandshakeMiddleware, partial(CopyingGuard, name="outside")),
        ("outside", "base"),
    ),
    "guard around HandshakeMiddleware": Case(
        lambda: wrapping(starlette(base, upgrade), outside, HandshakeMiddleware), ("outside", "base"), direct=None
    ),
    "guard around HandshakeMiddleware, unguarded allowed": Case(
        lambda: wrapping(
            starlette(base, upgrade), outside, partial(HandshakeMiddleware, insecure_allow_unguarded=True)
        ),
        ("outside", "base"),
        direct=("base",),
    ),
    "guard around, unguarded allowed": Case(
        lambda: outside(starlette(base, Middleware(UpgradeMiddleware, insecure_allow_unguarded=True))),
        ("outside", "base"),
        direct=("base",),
    ),
    # Applications that we know nothing of.
    "plain alone": Case(lambda: UpgradeMiddleware(plain), ()),
    "plain": Case(lambda: wrapping(plain, outside, UpgradeMiddleware), ("outside",), direct=None),
    "plain, with HandshakeMiddleware": Case(
        lambda: wrapping(plain, HandshakeMiddleware, outside, UpgradeMiddleware), ("outside",)
    ),
    "plain, unguarded allowed": Case(lambda: wrapping(plain, outside, unguarded), ("outside",), direct=()),
    # Mounted applications.
    "mounted": Case(
        lambda: starlette(base, upgrade, pure, routes=[Mount("/sub", starlette(*inner))]), (*BOTH, *INNER), sub
    ),
    "mounted in a wrapped one": Case(
        lambda: UpgradeMiddleware(fastapi("base", mount(starlette(*inner)))), ("base", *INNER), sub
    ),
    "mounted without middleware": Case(lambda: fastapi("upgrade", "base", mount(fastapi())), ("base",), sub),
    "mounted twice over": Case(
        lambda: fastapi("upgrade", "base", mount(starlette(routes=[Mount("/sub", starlette(*inner))]))),
        ("base", *INNER),
        "/sub/sub/echo",
    ),
    "mounted, both with UpgradeMiddleware": Case(
        lambda: fastapi("upgrade", "base", mount(starlette(inner[0], upgrade, inner[1]))), ("base", *INNER), sub
    ),
    "mounted in a guard": Case(
        lambda: fastapi("upgrade", "base", mount(outside(starlette(*inner)))), ("base", "outside", *INNER), sub
    ),
    "mounted with its own guard": Case(
        lambda: fastapi("upgrade", "base", mount(GuardingApplication(routes=sub_routes, middleware=inner))),
        ("base", "own", *INNER),
        sub,
    ),
    "mounted in a guard, with its own": Case(
        lambda: fastapi("upgrade", "base", mount(outside(GuardingApplication(routes=sub_routes)))),
        ("base", "outside", "own"),
        sub,
    ),
    "mounted router with its own guard": Case(
        lambda: starlette(base, upgrade, routes=[Mount("/sub", GuardingRouter(sub_routes))]), ("base", "own"), sub
    ),
    "mounted router with its own guard and middleware": Case(
        lambda: starlette(base, upgrade, routes=[Mount("/sub", GuardingRouter(sub_routes, middleware=inner))]),
        ("base", "own", *INNER),
        sub,
    ),
    "mounted application, its router with its own guard": Case(
        lambda: starlette(base, upgrade, routes=[Mount("/sub", with_guarding_router())]), ("base", "own"), sub
    ),
    "default application": Case(lambda: default_application(starlette(base, upgrade)), ("base", *INNER), "/default"),
    "host route": Case(host_route, ("base", *INNER)),
    "mounted plain application": Case(lambda: fastapi("upgrade", "base", mount(plain)), ("base",), sub),
    "only the mounted one has UpgradeMiddleware": Case(
        lambda: starlette(base, routes=[Mount("/sub", starlette(*inner, upgrade))]),
        ("base", *INNER),
        sub,
        direct=None,
        attaches=False,
    ),
    "only the mounted one, with HandshakeMiddleware": Case(
        lambda: HandshakeMiddleware(starlette(base, routes=[Mount("/sub", starlette(*inner, upgrade))])),
        ("base", *INNER),
        sub,
        attaches=False,
    ),
    # Middleware of routes.
    "middleware of a mount": Case(
        lambda: starlette(base, upgrade, routes=[Mount("/sub", routes=sub_routes, middleware=inner)]),
        ("base", *INNER),
        sub,
    ),
    "middleware of a mounted plain application": Case(
        lambda: starlette(base, upgrade, routes=[Mount("/sub", plain, middleware=inner)]), ("base", *INNER), sub
    ),
    "middleware of a router": Case(
        lambda: starlette(base, upgrade, routes=[Mount("/sub", Router(sub_routes, middleware=inner))]),
        ("base", *INNER),
        sub,
    ),
    "middleware of a route": Case(
        lambda: starlette(base, upgrade, routes=[WebSocketRoute("/guarded", echo, middleware=inner)]),
        ("base", *INNER),
        "/guarded",
    ),
}
if hasattr(routing, "_IncludedRouter"):
    # Before, FastAPI forgot what is mounted in a router that it includes.
    CASES["mounted in an included router"] = Case(
        lambda: fastapi("upgrade", "base", include_mount), ("base", *INNER), "/api/sub/echo"
    )

# What only uvicorn can tell, or what no `UpgradeMiddleware` is in.
MORE_CASES: dict[str, Case] = {
    "guard around that starts a task": Case(
        lambda: TaskGuard(starlette(base, upgrade), "outside"), ("outside", "base"), direct=None
    ),
    "no UpgradeMiddleware": Case(lambda: fastapi("base"), ("base",)),
}
