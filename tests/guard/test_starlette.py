"""What we rely on inside Starlette and FastAPI: these fail, and say where to look, when a new version changes it."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Match, Mount, Route, Router, WebSocketRoute

from asgi_upgrade.extension import EXTENSION, HTTP2_VERSION, VERSION
from asgi_upgrade.starlette.matching import match_handshakes
from asgi_upgrade.starlette.nested import RouteGuard
from asgi_upgrade.starlette.stack import Gate, chain, convert_before_router, find_application, guard_stack
from tests.guard.apps.applications import UpgradeMiddleware, base, echo, fastapi, page, pure, starlette, upgrade
from tests.guard.conftest import EXPLICIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import Message, Receive, Scope, Send

    from tests.guard.support.deployments import Uvicorn


async def serve(scope: Scope, receive: Receive, send: Send, app: object) -> None:
    raise AssertionError


async def receive() -> Message:
    raise AssertionError


async def send(message: Message) -> None:
    raise AssertionError


def types(nodes: Iterable[Any]) -> list[str]:
    return [type(node).__name__ for node in nodes]


def handshake(app: Starlette, path: str, **changes: Any) -> Scope:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "root_path": "",
        "headers": [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")],
        "extensions": {EXTENSION: {"version": VERSION, "connect": None}},
        "app": app,
        **changes,
    }


@pytest.fixture(params=["starlette", "fastapi"])
def application(request: pytest.FixtureRequest) -> Starlette:
    return starlette(base, pure) if request.param == "starlette" else fastapi("base", "pure")


def test_the_stack_is_a_chain_of_app_attributes_and_ends_with_exception_middleware_and_router(
    application: Starlette,
) -> None:
    nodes = list(chain(application.build_middleware_stack()))
    position = next(index for index, node in enumerate(nodes) if isinstance(node, ExceptionMiddleware))
    assert {"BaseGuard", "BaseHTTPMiddleware"} & set(types(nodes[:position]))
    assert "PureGuard" in types(nodes[:position])
    assert application.router in nodes[position:]


def test_the_conversion_is_placed_right_before_exception_middleware(application: Starlette) -> None:
    assert convert_before_router(application, serve)
    assert convert_before_router(application, serve), "once only"
    pairs = types(chain(application.middleware_stack))
    assert pairs.count("Converter") == 1
    assert ("Converter", "ExceptionMiddleware") in itertools.pairwise(pairs)


def test_the_stack_is_looked_up_for_each_connection(application: Starlette) -> None:
    called = []

    async def stack(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope["app"])

    for kind in ("http", "websocket", "lifespan"):
        application.build_middleware_stack()
        application.middleware_stack = stack
        asyncio.run(application({"type": kind}, receive, send))
    assert called == [application] * 3


def test_the_router_looks_its_stack_up_for_each_connection(application: Starlette) -> None:
    called = []

    async def stack(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope["type"])

    application.router.middleware_stack = stack
    asyncio.run(application.router({"type": "http"}, receive, send))
    assert called == ["http"]


def test_the_middleware_finds_the_application_it_was_added_to(application: Starlette) -> None:
    application.add_middleware(UpgradeMiddleware)
    application.middleware_stack = application.build_middleware_stack()
    middleware = next(node for node in chain(application.middleware_stack) if isinstance(node, UpgradeMiddleware))
    assert find_application(middleware, {"type": "lifespan", "app": application}) == (application, True)
    wrapper = UpgradeMiddleware(application)
    assert find_application(wrapper, {"type": "lifespan"}) == (application, False)
    other = starlette()
    assert find_application(wrapper, {"type": "http", "app": other}) == (application, False), "mounted in another one"


def test_mounted_applications_are_found() -> None:
    sub = starlette(base)
    for app in (
        starlette(upgrade, routes=[Mount("/sub", sub)]),
        fastapi("upgrade", lambda app: app.mount("/sub", sub)),
    ):
        sub.middleware_stack = None
        assert RouteGuard(app, serve).update() == []
        assert isinstance(sub.middleware_stack, Gate)
        assert types(chain(sub.middleware_stack))[:4] == ["Gate", "ServerErrorMiddleware", "BaseGuard", "Converter"]


def test_mount_and_router_and_route_keep_their_middleware_where_it_is_looked_for() -> None:
    mount = Mount("/a", routes=[Route("/http", page)], middleware=[base])
    router = Router([WebSocketRoute("/echo", echo)], middleware=[base])
    route = WebSocketRoute("/c", echo, middleware=[base])
    app = starlette(routes=[mount, Mount("/b", router), route])
    assert RouteGuard(app, serve).update() == []
    assert types(chain(mount.app))[:4] == ["Gate", "BaseGuard", "Converter", "Router"]
    assert types(chain(router.middleware_stack)) == ["Gate", "BaseGuard", "Converter", "method"]
    assert types(chain(route.app)) == ["Gate", "BaseGuard", "Converter", "function"]


def included(app: FastAPI) -> None:
    router = APIRouter()
    router.add_api_websocket_route("/rooms/{room}", echo)
    app.include_router(router, prefix="/api")


@pytest.mark.parametrize(
    ("app", "path"),
    [(starlette(upgrade), "/echo"), (fastapi("upgrade"), "/echo"), (fastapi("upgrade", included), "/api/rooms/blue")],
    ids=["starlette", "fastapi", "include_router"],
)
def test_a_route_matches_a_handshake_that_will_be_converted(app: Starlette, path: str) -> None:
    def matches(**changes: Any) -> bool:
        scope = handshake(app, path, **changes)
        found = any(route.matches(scope)[0] is Match.FULL for route in app.routes)
        assert scope["type"] == "http"
        return found

    match_handshakes()
    match_handshakes()
    assert not matches(), "nothing will convert it yet"
    guard_stack(app)
    assert matches()
    over_http2 = {EXTENSION: {"version": HTTP2_VERSION, "protocol": "websocket", "connect": None}}
    assert matches(extensions=over_http2, http_version="2", headers=[])
    assert not matches(extensions={}), "a server that cannot switch"
    assert not matches(method="POST")
    assert not matches(headers=[(b"connection", b"Upgrade"), (b"upgrade", b"h2c")])
    path = "/nowhere"
    assert not matches()


@pytest.mark.parametrize("how", EXPLICIT)
def test_an_application_without_the_middleware_is_left_alone(servers: Callable[[str], Uvicorn], how: str) -> None:
    """Others in its process have changed `WebSocketRoute` by now."""
    servers(how).shake("starlette first")
    outcome = servers(how).shake("no UpgradeMiddleware")
    assert outcome.status == 404
    assert outcome.all("x-guard") == ["base"]
