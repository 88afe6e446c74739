"""A survey finds what a handshake passes, and a real handshake passes just that."""

from __future__ import annotations

import sys
from functools import wraps
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.convertors import CONVERTOR_TYPES, StringConvertor
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from asgi_upgrade import HandshakeMiddleware, UpgradeMiddleware
from asgi_upgrade.guard.survey import Layer, Survey, SurveyedRoute, survey
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


class TwoFaced(Counting):
    """Does something for requests, and something else for WebSockets."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/never":
            await send({"type": "websocket.close"})
        elif scope["type"] == "http" and scope["method"] == "DELETE":
            await PlainTextResponse("no", 405)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class Spare(Counting):
    """Keeps other applications too, for whatever they are."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.spare = [Inner(raw)]


class Hiding(Counting):
    """Keeps the application where nothing can be put in front of it."""

    def __init__(self, app: Any) -> None:
        self.apps = {"/": app}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        PASSED.append((type(self).__name__, scope["type"]))
        await self.apps["/"](scope, receive, send)


class Framework:
    """An application of a framework that is no Starlette, with parts of its own."""

    __module__ = "quart.app"

    def __init__(self) -> None:
        self.part = Outer(raw)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        PASSED.append(("Framework", scope["type"]))
        await raw(scope, receive, send)


class Endpoint:
    """Answers WebSockets, and has something inside."""

    def __init__(self) -> None:
        self.inside = Outer(raw)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await raw(scope, receive, send)


class Waiting:
    """An application that is a class: it is made with a scope, and awaited."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Any: ...


def guard(app: Any) -> Any:
    """A guard for WebSockets, in front of something where nothing can be put."""
    kept = [app]

    async def guarding(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/never":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await kept[0](scope, receive, send)

    return guarding


def of_two_parts() -> Any:
    async def part(scope: Any, receive: Any, send: Any) -> None:
        await raw(scope, receive, send)

    async def whole(scope: Any, receive: Any, send: Any) -> None:
        PASSED.append(("whole", scope["type"]))
        await part(scope, receive, send)

    return whole


def make_endpoint(inside: Any) -> Any:
    async def made(websocket: WebSocket) -> None:
        assert inside is not None
        await websocket.accept()

    return made


def closure(app: Any) -> Any:
    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        PASSED.append(("middleware", scope["type"]))
        await app(scope, receive, send)

    return middleware


def for_websockets(app: Any) -> Any:
    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        PASSED.append(("refusing", scope["type"]))
        if scope["type"] == "websocket" and scope["path"] == "/never":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await app(scope, receive, send)

    return refusing


class Awaited:
    """Answers WebSockets: it is made with a scope, and awaited."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.answer = raw(scope, receive, send)

    def __await__(self) -> Any:
        return self.answer.__await__()


async def endpoint(websocket: WebSocket) -> None:
    await websocket.accept()


async def raw(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


def depend() -> None: ...


def depend_too() -> None: ...


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
NAMED: Any = {"websocket_middleware": [Outer]}
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
    "function around a class": lambda: Starlette(
        routes=[WebSocketRoute("/ws", Awaited, middleware=[Middleware(for_websockets)])], middleware=[OURS]
    ),
    "function around what is mounted": lambda: Starlette(
        routes=[Mount("/raw", Outer(raw), middleware=[Middleware(for_websockets)])], middleware=[OURS]
    ),
    "raw leaf": lambda: Starlette(routes=[Mount("/raw", Outer(raw))], middleware=[OURS]),
    "policy by hand": lambda: Outer(UpgradeMiddleware(Router(SUB))),
    "default": lambda: Outer(UpgradeMiddleware(Router([], default=Inner(raw)))),
    "skipped": lambda: Starlette(
        routes=[WebSocketRoute("/ws", endpoint)],
        middleware=[
            Middleware(Outer),
            Middleware(ForWebSockets),
            Middleware(TwoFaced),
            Middleware(UpgradeMiddleware, insecure_skip_http_middleware=["/ws"]),
        ],
    ),
    "treats both": lambda: Starlette(routes=[WebSocketRoute("/ws", endpoint)], middleware=[Middleware(TwoFaced), OURS]),
    "keeps others": lambda: UpgradeMiddleware(Spare(Router(SUB))),
    "keeps it elsewhere": lambda: UpgradeMiddleware(Outer(Hiding(raw))),
    "named, behind the policy": lambda: UpgradeMiddleware(Outer(Router(SUB)), **NAMED),
    "named, in a mount": lambda: Starlette(
        routes=[Mount("/sub", Outer(Router(SUB)))], middleware=[Middleware(UpgradeMiddleware, **NAMED)]
    ),
    "named, in an application in a closure": lambda: UpgradeMiddleware(
        closure(Starlette(routes=SUB, middleware=[Middleware(Outer)])), **NAMED
    ),
    "for WebSockets, in an application in a closure": lambda: UpgradeMiddleware(
        closure(Starlette(routes=SUB, middleware=[Middleware(ForWebSockets)]))
    ),
}
ANSWERING: dict[str, Any] = {
    "Framework": lambda: UpgradeMiddleware(Framework()),
    "of_two_parts.<locals>.whole": lambda: UpgradeMiddleware(of_two_parts()),
    "Endpoint": lambda: Starlette(routes=[WebSocketRoute("/ws", Endpoint())], middleware=[OURS]),
    "make_endpoint.<locals>.made": lambda: Starlette(
        routes=[WebSocketRoute("/ws", make_endpoint(Outer(raw)))], middleware=[OURS]
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_handshake_passes_what_was_found(shape: str, anyio_backend: str) -> None:
    app = SHAPES[shape]()
    found = survey(app)
    [route] = found.routes
    assert found.problems == []
    for surveyed in (app, SHAPES[shape]()):  # it is so whether somebody has looked or not
        PASSED.clear()
        trial = await try_anonymously(route.sample, UpgradeTransport(surveyed))
        assert trial.answer is Answer.LET_IN, trial
        seen = [(name, "unseen" if name == "Outer" and route.bypassed else kind) for name, kind in PASSED]
        assert seen == names(route)
        assert seen
    assert route.bypassed == (shape == "skipped")
    assert route.has_policy


@pytest.mark.parametrize("name", ANSWERING)
def test_what_answers_is_not_looked_into(name: str) -> None:
    """Also where it has parts that might be applications."""
    [route] = survey(ANSWERING[name]()).routes
    assert route.endpoint.endswith(f".{name}")
    assert names(route) == []


def test_a_function_around_an_endpoint_is_a_layer() -> None:
    routes = [WebSocketRoute("/ws", endpoint, middleware=[Middleware(closure)])]
    [route] = survey(Starlette(routes=routes, middleware=[OURS])).routes
    assert names(route) == [("middleware", "http")]


def test_a_function_that_wraps_is_named_as_it_is_written_and_may_refuse() -> None:
    def wrapping(app: Any) -> Any:
        return wraps(app)(closure(app))

    routes = [WebSocketRoute("/ws", endpoint, middleware=[Middleware(wrapping)])]
    [route] = survey(Starlette(routes=routes, middleware=[OURS])).routes
    layer = route.layers[-1]
    assert layer.name.startswith(f"{__name__}.")
    assert layer.name.endswith("middleware")
    assert layer.may_refuse


def test_fastapis_endpoints_are_not_looked_into_either() -> None:
    app = FastAPI()
    app.add_api_websocket_route("/ws", make_endpoint(Outer(raw)))
    [route] = survey(app).routes
    assert route.endpoint.endswith(".made")
    assert names(route) == []


def test_what_may_have_something_inside_is_opaque() -> None:
    app: Any = Waiting
    found = survey(Starlette(routes=[Mount("/x", app), Mount("/raw", raw)], middleware=[OURS]))
    assert {path: (route.endpoint, route.opaque) for path, route in by_path(found).items()} == {
        "/x/{rest:path}": (f"{__name__}.Waiting", True),
        "/raw/{rest:path}": (f"{__name__}.raw", False),
    }


def test_the_policy_is_one_of_the_layers() -> None:
    policy = UpgradeMiddleware(Router([WebSocketRoute("/ws", endpoint)]))
    found = survey(policy)
    [route] = found.routes
    name = "asgi_upgrade.middleware.UpgradeMiddleware"
    assert route.layers == (Layer(name, "http", may_refuse=False, is_policy=True),)
    assert found.starting == [policy]


def test_who_bypasses_is_asked_about_a_handshake() -> None:
    asked: list[Any] = []

    def bypasses(scope: Any) -> bool:
        asked.append(scope)
        return bool(scope["path"] == "/ws")

    skipping: Any = {"insecure_skip_http_middleware": bypasses}
    application = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
    [route] = survey(UpgradeMiddleware(application, **skipping)).routes
    assert route.bypassed
    scope = {"type": "http", "method": "GET", "path": "/ws", "root_path": "", "query_string": b"", "headers": []}
    assert asked == [scope]


def test_middleware_is_named_after_what_decides() -> None:
    class Dispatching(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any: ...

    class Login:
        async def check(self, request: Any, call_next: Any) -> Any: ...

    layers = [Middleware(Dispatching), Middleware(BaseHTTPMiddleware, dispatch=Login().check), OURS]
    [route] = survey(Starlette(routes=[WebSocketRoute("/ws", endpoint)], middleware=layers)).routes
    here = [layer for layer in route.layers if layer.name.startswith(__name__)]
    assert [layer.name.rpartition("<locals>.")[2] for layer in here] == ["Dispatching", "Login.check"]
    assert all(layer.may_refuse for layer in here)


def test_without_fastapi_routes_are_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fastapi.routing")
    routes = [Mount("/a", routes=SUB), Host("example.com", Router([WebSocketRoute("/h", endpoint)]))]
    found = survey(Starlette(routes=routes, middleware=[OURS]))
    assert [(route.path, route.host) for route in found.routes] == [("/a/ws/{n:int}", None), ("/h", "example.com")]


def test_a_path_parameter_of_a_kind_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Year(StringConvertor):
        regex = "[0-9]{4}"

    monkeypatch.setitem(CONVERTOR_TYPES, "year", Year())
    [route] = survey(Starlette(routes=[WebSocketRoute("/{y:year}", endpoint)], middleware=[OURS])).routes
    assert route.sample == "/x"


def test_paths_and_endpoints_and_hosts() -> None:
    app = Starlette(
        routes=[
            Route("/page", endpoint),
            Mount("/static", StaticFiles(directory=".")),
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

    app.include_router(router, prefix="/api", dependencies=[Depends(depend_too)])
    app.add_middleware(UpgradeMiddleware)
    app.add_middleware(CORSMiddleware)

    @app.middleware("http")
    async def login(request: Any, call_next: Any) -> Any: ...

    route = by_path(survey(app))["/api/in/ws"]
    assert names(route) == [("login", "http"), ("depend_too", "dependency"), ("depend", "dependency")]
    may_refuse = [layer.name.rpartition(".")[2] for layer in route.layers if layer.may_refuse]
    assert may_refuse == ["login", "depend_too", "depend"]


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

    class _FrontendRouteGroup(BaseRoute):
        """FastAPI's, for pages."""

    routes: Any = [Custom(), Mount("/sub", Router([Custom()])), _FrontendRouteGroup(), Route("/", endpoint)]
    guarded = [Mount("/guarded", guard(Router(SUB)))]
    found = survey(Starlette(routes=[*routes, *guarded], middleware=[OURS]))
    assert found.routes == []
    custom = f"{Custom.__module__}.{Custom.__qualname__}"
    assert found.problems == [
        f"/: the route {custom} is not Starlette's; what it leads to has not been looked at",
        f"/sub: the route {custom} is not Starlette's; what it leads to has not been looked at",
        f"/guarded: {__name__}.guard.<locals>.guarding cannot be adapted, handshakes are refused there",
    ]
    assert survey(UpgradeMiddleware(guard(Router(SUB)))).problems == [
        f"/: {__name__}.guard.<locals>.guarding cannot be adapted, handshakes are refused there"
    ]


def test_layers_without_end_are_given_up() -> None:
    first = Outer(None)
    first.app = Outer(first)
    assert survey(first).problems == ["/: more than 64 layers, the rest has not been looked at"]
    found = survey(Starlette(routes=[Mount("/sub", first)]))
    assert found.problems == ["/sub: more than 64 layers, the rest has not been looked at"]


@pytest.mark.parametrize(("count", "routes"), [(63, 1), (64, 0)])
def test_all_others_are_looked_at(count: int, routes: int) -> None:
    app: Any = raw
    for _ in range(count):
        app = Outer(app)
    found = survey(app)
    assert (len(found.routes), len(found.problems)) == (routes, 1 - routes)
