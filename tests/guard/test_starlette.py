"""What we rely on inside Starlette and FastAPI: these fail, and say where to look, when a new version changes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIWebSocketRoute
from starlette.applications import Starlette
from starlette.routing import Host, Match, Mount, Route, Router, WebSocketRoute

from asgi_upgrade.guard.gate import Gate, chain, is_handshake
from asgi_upgrade.guard.leaves import Kind, kind_of
from asgi_upgrade.switching.extension import EXTENSION, HTTP2_VERSION, VERSION
from asgi_upgrade.websocket.bridge import HANDSHAKE
from tests.guard.apps.applications import UpgradeMiddleware, base, echo, fastapi, page, pure, starlette, upgrade
from tests.guard.conftest import EXPLICIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive, Scope, Send

    from tests.guard.support.deployments import Uvicorn


async def receive() -> Message:
    raise AssertionError


async def send(message: Message) -> None:
    raise AssertionError


def handshake(path: str, **changes: Any) -> Scope:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "root_path": "",
        "headers": [(b"host", b"here"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket")],
        "extensions": {EXTENSION: {"version": VERSION, "connect": None}},
        **changes,
    }


@pytest.fixture(params=["starlette", "fastapi"])
def application(request: pytest.FixtureRequest) -> Starlette:
    return starlette(base, pure, upgrade) if request.param == "starlette" else fastapi("upgrade", "base", "pure")


def test_a_stack_is_a_chain_of_app_attributes_from_its_gate_to_the_router(application: Starlette) -> None:
    application.middleware_stack = application.build_middleware_stack()
    first, *nodes = chain(application.middleware_stack)
    assert isinstance(first, Gate)
    assert any(isinstance(node, UpgradeMiddleware) for node in nodes)
    assert application.router in nodes


def test_each_stack_begins_with_a_gate_if_it_has_the_middleware(application: Starlette) -> None:
    for _ in range(2):
        application.middleware_stack = application.build_middleware_stack()
        kinds = [type(node) for node in chain(application.middleware_stack)]
        assert kinds[0] is Gate
        assert kinds.count(Gate) == 1
    other = starlette(base)
    other.middleware_stack = other.build_middleware_stack()
    assert not isinstance(other.middleware_stack, Gate)


def test_the_stack_is_looked_up_for_each_connection(application: Starlette) -> None:
    called = []

    async def stack(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope["app"])

    vars(application)["middleware_stack"] = stack
    for kind in ("http", "websocket", "lifespan"):
        asyncio.run(application({"type": kind}, receive, send))
    assert called == [application] * 3


@pytest.mark.parametrize("name", ["default", "middleware_stack"])
def test_the_router_looks_up_what_it_leads_to_for_each_connection(application: Starlette, name: str) -> None:
    called = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope["type"])

    setattr(application.router, name, app)
    asyncio.run(application.router({"type": "http", "method": "GET", "path": "/nowhere", "headers": []}, receive, send))
    assert called == ["http"]


def test_the_methods_that_know_handshakes_are_those_of_starlette(application: Starlette) -> None:
    """A new version that has others must be looked at."""
    application.build_middleware_stack()
    room = "asgi_upgrade.guard.routing"
    assert [method.__module__ for method in (Route.matches, WebSocketRoute.matches, Router.__call__)] == [room] * 3
    assert [kind.handle.__module__ for kind in (WebSocketRoute, Mount, Host)] == [room] * 3


def test_the_function_of_a_route_is_a_leaf() -> None:
    app = fastapi()
    for route in (WebSocketRoute("/", echo), APIWebSocketRoute("/", echo, dependency_overrides_provider=app)):
        assert kind_of(route.app) is Kind.LEAF


def included(app: FastAPI) -> None:
    router = APIRouter()
    router.add_api_websocket_route("/rooms/{room}", echo)
    router.add_api_route("/rooms/{room}", page)
    app.include_router(router, prefix="/api")


@pytest.mark.parametrize(
    ("app", "path"),
    [(starlette(upgrade), "/echo"), (fastapi("upgrade"), "/echo"), (fastapi("upgrade", included), "/api/rooms/blue")],
    ids=["starlette", "fastapi", "include_router"],
)
def test_a_route_matches_a_handshake_on_its_way(app: Starlette, path: str) -> None:
    app.build_middleware_stack()

    def matches(scope: Scope) -> bool:
        found = any(route.matches(scope)[0] is Match.FULL for route in app.routes)
        assert scope["type"] == "http"
        return found

    assert matches(handshake(path, **{HANDSHAKE: None}))
    assert not matches(handshake("/http", **{HANDSHAKE: None})), "a page"
    assert matches(handshake("/http")), "for others it is a page"
    assert not matches(handshake("/nowhere", **{HANDSHAKE: None}))


def test_what_a_handshake_is() -> None:
    assert is_handshake(handshake("/"))
    over_http2 = {EXTENSION: {"version": HTTP2_VERSION, "protocol": "websocket", "connect": None}}
    assert is_handshake(handshake("/", extensions=over_http2, http_version="2", headers=[]))
    assert not is_handshake(handshake("/", extensions={})), "a server that cannot switch"
    assert not is_handshake(handshake("/", method="POST"))
    assert not is_handshake(handshake("/", headers=[(b"connection", b"Upgrade"), (b"upgrade", b"h2c")]))


@pytest.mark.parametrize("how", EXPLICIT)
def test_an_application_without_the_middleware_is_left_alone(servers: Callable[[str], Uvicorn], how: str) -> None:
    """Others in its process have taught Starlette's routes by now."""
    servers(how).shake("starlette first")
    outcome = servers(how).shake("no UpgradeMiddleware")
    assert outcome.status == 404
    assert outcome.all("x-guard") == ["base"]
