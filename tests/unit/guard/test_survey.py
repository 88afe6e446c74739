"""A survey finds what a handshake passes, and a real handshake passes just that."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_upgrade import HandshakeMiddleware, UpgradeMiddleware
from asgi_upgrade.guard.survey import Survey, SurveyedRoute, survey
from asgi_upgrade.testing.anonymous import Answer, try_anonymously
from asgi_upgrade.testing.transport import UpgradeTransport

OURS = Middleware(UpgradeMiddleware)
PASSED: list[tuple[str, str]] = []


class Counting:
    """Notes what it is called with."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            PASSED.append((type(self).__name__, scope["type"]))
        await self.app(scope, receive, send)


class Outer(Counting): ...


class Inner(Counting): ...


class ForWebSockets(Counting):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/never":
            await send({"type": "websocket.close"})
            return
        await super().__call__(scope, receive, send)


def closure(app: Any) -> Any:
    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        PASSED.append(("middleware", scope["type"]))
        await app(scope, receive, send)

    return middleware


async def endpoint(websocket: WebSocket) -> None:
    await websocket.accept()


async def raw(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


def depend() -> None: ...


def names(route: SurveyedRoute) -> list[tuple[str, str]]:
    """The layers of this module, and in which form they see a handshake."""
    return [
        (layer.name.rpartition(".")[2], layer.form if layer.sees else "unseen")
        for layer in route.layers
        if layer.name.startswith(__name__)
    ]


def by_path(found: Survey) -> dict[str, SurveyedRoute]:
    return {route.path: route for route in found.routes}


SUB = [WebSocketRoute("/ws/{n:int}", endpoint, middleware=[Middleware(Inner)])]
SHAPES: dict[str, Any] = {
    "stack": lambda: Starlette(routes=[WebSocketRoute("/ws", endpoint)], middleware=[Middleware(Outer), OURS]),
    "behind the policy": lambda: Starlette(
        routes=[WebSocketRoute("/ws", endpoint)], middleware=[OURS, Middleware(Outer)]
    ),
    "around the application": lambda: Outer(Starlette(routes=[WebSocketRoute("/ws", endpoint)], middleware=[OURS])),
    "closure": lambda: closure(Starlette(routes=[WebSocketRoute("/ws", endpoint)], middleware=[OURS])),
    "mount": lambda: Starlette(
        routes=[Mount("/sub", routes=SUB, middleware=[Middleware(Outer)])], middleware=[Middleware(Outer), OURS]
    ),
    "application in an application": lambda: Starlette(
        routes=[Mount("/sub", Starlette(routes=SUB, middleware=[Middleware(ForWebSockets)]))], middleware=[OURS]
    ),
    "closure around a mounted application": lambda: Starlette(
        routes=[Mount("/sub", closure(Starlette(routes=SUB)))], middleware=[OURS]
    ),
    "router with middleware": lambda: Starlette(
        routes=[Mount("/sub", Router(SUB, middleware=[Middleware(Outer)]))], middleware=[OURS]
    ),
    "for WebSockets": lambda: Starlette(
        routes=[WebSocketRoute("/ws", endpoint)], middleware=[Middleware(ForWebSockets), OURS, Middleware(Outer)]
    ),
    "raw leaf": lambda: Starlette(routes=[Mount("/raw", Outer(raw))], middleware=[OURS]),
    "policy by hand": lambda: Outer(UpgradeMiddleware(Router(SUB))),
    "default": lambda: Outer(UpgradeMiddleware(Router([], default=Inner(raw)))),
    "skipped": lambda: Starlette(
        routes=[WebSocketRoute("/ws", endpoint)],
        middleware=[
            Middleware(Outer),
            Middleware(ForWebSockets),
            Middleware(UpgradeMiddleware, insecure_skip_http_middleware=["/ws"]),
        ],
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_handshake_passes_what_was_found(shape: str, anyio_backend: str) -> None:
    app = SHAPES[shape]()
    [route] = survey(app).routes
    PASSED.clear()
    trial = await try_anonymously(route.sample, UpgradeTransport(app))
    assert trial.answer is Answer.LET_IN, trial
    seen = [(name, "unseen" if name == "Outer" and route.bypassed else kind) for name, kind in PASSED]
    assert seen == names(route)
    assert seen
    assert route.bypassed == (shape == "skipped")
    assert route.has_policy


def test_paths_and_endpoints_and_hosts() -> None:
    app = Starlette(
        routes=[
            Route("/page", endpoint),
            WebSocketRoute("/{room}/{rest:path}", endpoint),
            Mount("/a/{key:uuid}", routes=SUB),
            Host("api.example.com", Router([WebSocketRoute("/h", endpoint)])),
            Mount("/raw", raw),
        ],
        middleware=[OURS],
    )
    found = survey(app)
    assert [(route.path, route.host, route.sample) for route in found.routes] == [
        ("/{room}/{rest:path}", None, "/1/1"),
        ("/a/{key:uuid}/ws/{n:int}", None, "/a/00000000-0000-4000-8000-000000000000/ws/1"),
        ("/h", "api.example.com", "/h"),
        ("/raw/{rest:path}", None, "/raw/"),
    ]
    assert [route.endpoint for route in found.routes] == [f"{__name__}.endpoint"] * 3 + [f"{__name__}.raw"]
    assert found.problems == []


def test_fastapi_with_routers_and_dependencies_and_functions() -> None:
    app = FastAPI()
    router = APIRouter(prefix="/in")

    @router.websocket("/ws", dependencies=[Depends(depend)])
    async def talk(websocket: WebSocket) -> None: ...

    app.include_router(router, prefix="/api")
    app.add_middleware(UpgradeMiddleware)
    app.add_middleware(CORSMiddleware)

    @app.middleware("http")
    async def login(request: Any, call_next: Any) -> Any: ...

    route = by_path(survey(app))["/api/in/ws"]
    assert names(route) == [("login", "http"), ("depend", "dependency")]
    may_refuse = [layer.name.rpartition(".")[2] for layer in route.layers if layer.may_refuse]
    assert may_refuse == ["login", "depend"]


def test_without_a_policy_what_is_for_http_sees_nothing() -> None:
    class Dispatching(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any: ...

    layers = [Middleware(Dispatching), Middleware(Outer), Middleware(ForWebSockets)]
    found = survey(Starlette(routes=[WebSocketRoute("/ws", endpoint)], middleware=layers))
    [route] = found.routes
    assert [form for _, form in names(route)] == ["unseen", "unseen", "websocket"]
    assert not route.has_policy
    assert found.policies == []


def test_several_policies_are_found_from_the_outside() -> None:
    inner = UpgradeMiddleware(Router(SUB), allowed_origins=["https://b.example"])
    outer = UpgradeMiddleware(Starlette(routes=[Mount("/x", inner)]), allowed_origins=["https://a.example"])
    found = survey(HandshakeMiddleware(outer))
    assert found.policies == [outer, inner]
    assert list(by_path(found)) == ["/x/ws/{n:int}"]


def test_a_policy_in_a_mounted_application_is_not_reached_by_the_lifespan() -> None:
    inner = Starlette(routes=SUB, middleware=[OURS])
    found = survey(Starlette(routes=[Mount("/x", inner)]))
    assert (len(found.policies), found.starting) == (1, [])
    assert survey(Outer(inner)).starting


def test_what_cannot_be_looked_into_is_said() -> None:
    class Custom(BaseRoute):
        def matches(self, scope: Any) -> Any: ...

    found = survey(Starlette(routes=[Custom()], middleware=[OURS]))
    assert found.routes == []
    [problem] = found.problems
    assert "Custom is not Starlette's" in problem


def test_layers_without_end_are_given_up() -> None:
    first = Outer(None)
    first.app = Outer(first)
    [problem] = survey(first).problems
    assert "more than 64 layers" in problem
