"""Layers of telemetry that a handshake has come through see its WebSocket too.

Stand-ins have the names and the shapes of OpenTelemetry's, Sentry's and FastAPI's layers. `tests/middlewares` tries the
real ones.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, WebSocketRoute

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.guard import telemetry
from tests.unit.calls import CONNECT, REQUEST, Call, Extension, http_scope, run, websocket_scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket

    from tests.unit.guard.stand_ins.opentelemetry_asgi import OpenTelemetryMiddleware

Told = list[dict[str, Any]]

STAND_INS = Path(__file__).parent / "stand_ins"
INSTRUMENTATION = "opentelemetry.instrumentation"
ASGI = f"{INSTRUMENTATION}.asgi"
OURS = Middleware(UpgradeMiddleware)


def load(file: str, name: str) -> ModuleType:
    """Load a stand-in under the name of the module that it stands for."""
    spec = importlib.util.spec_from_file_location(name, STAND_INS / f"{file}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class OpenTelemetry:
    """What is installed of OpenTelemetry."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.context = load("opentelemetry_context", "opentelemetry.context")
        self.asgi = load("opentelemetry_asgi", ASGI)
        monkeypatch.setitem(sys.modules, "opentelemetry.context", self.context)
        monkeypatch.setitem(sys.modules, ASGI, self.asgi)
        self.told: Told = []

    def layer(self, name: str = "span", module: str = ASGI) -> Middleware:
        kind = self.asgi if module == ASGI else load("opentelemetry_asgi", module)
        return Middleware(kind.OpenTelemetryMiddleware, told=self.told, name=name)


class Sentry:
    """What is installed of Sentry."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, dedupe: bool = True) -> None:
        name = "sentry_sdk.integrations.asgi"
        self.asgi = load("sentry_asgi", name)
        sdk: Any = load("sentry_sdk", "sentry_sdk")
        self.client = sdk._client = sdk.Client(dedupe=dedupe)
        monkeypatch.setitem(sys.modules, "sentry_sdk", sdk)
        monkeypatch.setitem(sys.modules, name, self.asgi)
        monkeypatch.setitem(sys.modules, "sentry_sdk.integrations", sdk)
        monkeypatch.setitem(sys.modules, "sentry_sdk.integrations.dedupe", sdk)
        self.told: Told = []

    def layer(self, name: str = "sentry") -> Middleware:
        return Middleware(self.asgi.SentryAsgiMiddleware, told=self.told, client=self.client, name=name)


class FastAPIs:
    """FastAPI's own telemetry, which need not be looked for: the scope says that it is there."""

    def __init__(self) -> None:
        self.module = load("fastapi_telemetry", "fastapi.telemetry._asgi")
        self.applications = load("fastapi_applications", "fastapi.applications")
        self.told: Told = []

    def application(self, *middleware: Middleware, **options: Any) -> Any:
        exceptions = Middleware(self.module.ExceptionTelemetryMiddleware)
        native = self.module.NativeTelemetry(self.told)
        layers = [*middleware, OURS, exceptions]
        return self.applications.FastAPI(native, routes=ROUTES, middleware=layers, **options)


@pytest.fixture
def opentelemetry(monkeypatch: pytest.MonkeyPatch) -> OpenTelemetry:
    return OpenTelemetry(monkeypatch)


@pytest.fixture
def sentry(monkeypatch: pytest.MonkeyPatch) -> Sentry:
    return Sentry(monkeypatch)


@pytest.fixture
def fastapis() -> FastAPIs:
    return FastAPIs()


@pytest.fixture(autouse=True)
def nothing_reported() -> Iterator[None]:
    telemetry._reported.clear()
    yield
    telemetry._reported.clear()


class Counting:
    """Notes which kinds of scope pass."""

    def __init__(self, app: ASGIApp, seen: list[str]) -> None:
        self.app = app
        self.seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope["type"])
        await self.app(scope, receive, send)


class ApartMiddleware:
    """Runs what is inside in a task of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def inside() -> None:
            await self.app(scope, receive, send)

        await asyncio.create_task(inside())


async def talk(websocket: WebSocket) -> None:
    assert await websocket.receive() == CONNECT
    ENDED.append(websocket.scope)
    await websocket.close()


async def fail(websocket: WebSocket) -> None:
    raise LookupError("of the endpoint")


ENDED: list[Scope] = []
ROUTES = [WebSocketRoute("/rooms/{room}", talk), WebSocketRoute("/fail", fail)]


def application(*middleware: Middleware) -> Starlette:
    return Starlette(routes=ROUTES, middleware=list(middleware))


def serve(app: Any, path: str = "/rooms/blue", **changes: Any) -> Call:
    """Send a handshake, which the endpoint refuses unless it fails."""
    call = Call(REQUEST)
    ENDED.clear()

    async def test() -> None:
        await call.run(app, http_scope(path, extensions={"http.upgrade": Extension()}, **changes))

    run(test)
    assert call.status == 403
    return call


def kinds(told: Told) -> list[tuple[str, str]]:
    return [(each["by"], each["type"]) for each in told]


# Which layers


@pytest.mark.parametrize("module", [ASGI, f"{INSTRUMENTATION}.fastapi", f"{INSTRUMENTATION}.starlette"])
def test_a_layer_is_told_of_the_request_and_of_the_websocket(opentelemetry: OpenTelemetry, module: str) -> None:
    seen: list[str] = []
    serve(application(opentelemetry.layer(module=module), Middleware(Counting, seen=seen), OURS))
    assert kinds(opentelemetry.told) == [("span", "http"), ("span", "websocket")]
    assert seen == ["http"], "no other layer runs twice"
    assert len(ENDED) == 1


def test_of_several_the_outermost_stays_outermost(opentelemetry: OpenTelemetry) -> None:
    serve(application(opentelemetry.layer("outer"), OURS, opentelemetry.layer("inner")))
    types = ["http", "http", "websocket", "websocket"]
    assert kinds(opentelemetry.told) == list(zip(["outer", "inner"] * 2, types, strict=True))


def test_layers_are_found_in_all_tasks_of_the_request(opentelemetry: OpenTelemetry) -> None:
    apart = Middleware(ApartMiddleware)
    serve(application(opentelemetry.layer("a"), OURS, opentelemetry.layer("b"), apart, opentelemetry.layer("c")))
    assert kinds(opentelemetry.told)[3:] == [("a", "websocket"), ("b", "websocket"), ("c", "websocket")]


def test_a_layer_that_the_request_passes_twice_is_told_once_of_the_websocket(opentelemetry: OpenTelemetry) -> None:
    class Again:
        """Leads the request back to the layer around it, once."""

        def __init__(self, app: ASGIApp) -> None:
            self.app = app
            self.around: list[Any] = []

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await (self.around.pop() if self.around else self.app)(scope, receive, send)

    again = Again(UpgradeMiddleware(application()))
    layer: OpenTelemetryMiddleware = opentelemetry.asgi.OpenTelemetryMiddleware(again, told=opentelemetry.told)
    again.around.append(layer)
    serve(layer)
    assert kinds(opentelemetry.told) == [("span", "http"), ("span", "http"), ("span", "websocket")]


def test_what_only_looks_like_a_layer_is_left_alone(opentelemetry: OpenTelemetry) -> None:
    """A function of such a module, and an object that nothing can be put into."""
    vars(opentelemetry.asgi)["told"] = opentelemetry.told
    source = """
class Slim:
    def __init__(self, app):
        self.inside = app

    async def __call__(self, scope, receive, send):
        await self.inside(scope, receive, send)

class Renamed:
    def __init__(self, app):
        self.app = app

    async def __call__(self, connection, receive, send):
        await self.app(connection, receive, send)

class Other:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.run(scope, receive, send)

    async def run(self, scope, receive, send):
        await self.app(scope, receive, send)

def function(app):
    async def called(scope, receive, send):
        await app(scope, receive, send)
    return called
"""
    exec(source, vars(opentelemetry.asgi))
    odd = [Middleware(getattr(opentelemetry.asgi, name)) for name in ("Slim", "Renamed", "function")]
    serve(application(*odd, opentelemetry.layer(), *odd, OURS))
    assert kinds(opentelemetry.told) == [("span", "http"), ("span", "websocket")]


def test_a_websocket_that_was_a_handshake_again_in_between_is_told_of_once(opentelemetry: OpenTelemetry) -> None:
    class Guard(Counting):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket" and scope["path"] == "/secret":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await super().__call__(scope, receive, send)

    seen: list[str] = []
    serve(application(opentelemetry.layer(), OURS, Middleware(Guard, seen=seen)))
    assert kinds(opentelemetry.told) == [("span", "http"), ("span", "websocket")]
    assert seen == ["websocket"]


def test_what_was_given_the_websocket_of_the_server_is_not_told_again(opentelemetry: OpenTelemetry) -> None:
    stack = application(opentelemetry.layer("inside"), Middleware(UpgradeMiddleware, insecure_allow_unguarded=True))
    outside = opentelemetry.asgi.OpenTelemetryMiddleware(stack, told=opentelemetry.told, name="outside")
    call = Call(CONNECT)

    async def test() -> None:
        await call.run(outside, websocket_scope("/rooms/blue"))

    run(test)
    assert call.types == ["websocket.close"]
    assert kinds(opentelemetry.told) == [("outside", "websocket"), ("inside", "http")]


def test_telemetry_of_another_kind_is_told_of_it_all_the_same(opentelemetry: OpenTelemetry, sentry: Sentry) -> None:
    stack = application(sentry.layer(), Middleware(UpgradeMiddleware, insecure_allow_unguarded=True))
    outside = opentelemetry.asgi.OpenTelemetryMiddleware(stack, told=opentelemetry.told)

    async def test() -> None:
        await Call(CONNECT).run(outside, websocket_scope("/rooms/blue"))

    run(test)
    assert kinds(opentelemetry.told) == [("span", "websocket")]
    assert kinds(sentry.told) == [("sentry", "http"), ("sentry", "websocket")]


def test_what_nobody_has_installed_is_not_looked_for(
    opentelemetry: OpenTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = application(opentelemetry.layer(), OURS)
    monkeypatch.delitem(sys.modules, ASGI)
    monkeypatch.delitem(sys.modules, "sentry_sdk.integrations.asgi", raising=False)
    serve(app)
    assert kinds(opentelemetry.told) == [("span", "http")]


def test_a_layer_that_cannot_be_looked_at_costs_no_websocket(
    opentelemetry: OpenTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    source = """
class Odd:
    def __init__(self, app):
        self.inside = app

    @property
    def app(self):
        raise ZeroDivisionError

    async def __call__(self, scope, receive, send):
        await self.inside(scope, receive, send)
"""
    exec(source, vars(opentelemetry.asgi))
    app = opentelemetry.asgi.Odd(UpgradeMiddleware(application()))
    for _ in range(2):
        serve(app)
        assert len(ENDED) == 1
    (record,) = caplog.records
    assert record.getMessage().startswith("Telemetry will not see WebSockets, but their handshakes only.")
    assert record.exc_info is not None


# What they are told


def test_the_span_of_the_websocket_is_not_inside_that_of_the_request(opentelemetry: OpenTelemetry) -> None:
    seen: list[Any] = []

    async def endpoint(websocket: WebSocket) -> None:
        seen.append(opentelemetry.context.get_current())
        await websocket.close()

    outer, inner = opentelemetry.layer("outer"), opentelemetry.layer("inner")
    after: list[Any] = []

    class Looking(Counting):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await super().__call__(scope, receive, send)
            after.append(opentelemetry.context.get_current().get("span"))

    middleware = [outer, inner, OURS, Middleware(Looking, seen=[])]
    serve(Starlette(routes=[WebSocketRoute("/", endpoint)], middleware=middleware), "/")
    parents = [(each["by"], each["type"], each["parent"]) for each in opentelemetry.told]
    assert parents == [
        ("outer", "http", None),
        ("inner", "http", "outer of http"),
        ("outer", "websocket", None),
        ("inner", "websocket", "outer of websocket"),
    ]
    assert [each.get("span") for each in seen] == ["inner of websocket"]
    assert after == ["inner of http"]


def test_an_error_reaches_the_layers_and_the_request_and_what_was_current_is_current_again(
    opentelemetry: OpenTelemetry,
) -> None:
    async def test() -> None:
        app = application(opentelemetry.layer(), OURS)
        before = opentelemetry.context.attach(opentelemetry.context.Context(span="of the server"))
        with pytest.raises(LookupError, match="of the endpoint"):
            await Call(REQUEST).run(app, http_scope("/fail", extensions={"http.upgrade": Extension()}))
        assert opentelemetry.context.get_current() == {"span": "of the server"}
        opentelemetry.context.detach(before)

    run(test)
    assert [type(each["error"]) for each in opentelemetry.told] == [LookupError, LookupError]


def test_a_layer_needs_no_context(opentelemetry: OpenTelemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "opentelemetry.context")
    serve(application(opentelemetry.layer(), OURS))
    assert kinds(opentelemetry.told) == [("span", "http"), ("span", "websocket")]


def test_without_a_layer_what_is_current_stays_current(opentelemetry: OpenTelemetry) -> None:
    seen: list[Any] = []

    async def endpoint(websocket: WebSocket) -> None:
        seen.append(opentelemetry.context.get_current())
        await websocket.close()

    async def test() -> None:
        opentelemetry.context.attach(opentelemetry.context.Context(span="of the server"))
        app = Starlette(routes=[WebSocketRoute("/", endpoint)], middleware=[OURS])
        await Call(REQUEST).run(app, http_scope(extensions={"http.upgrade": Extension()}))

    run(test)
    assert seen == [{"span": "of the server"}]


def test_what_the_application_returns_is_returned(opentelemetry: OpenTelemetry) -> None:
    class Leaf:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> str:
            assert scope["type"] == "websocket"
            await send({"type": "websocket.close"})
            return "returned"

    leaf: Any = Leaf()
    layer = opentelemetry.asgi.OpenTelemetryMiddleware(UpgradeMiddleware(leaf), told=opentelemetry.told)
    results: list[Any] = []

    async def test() -> None:
        results.append(await Call(REQUEST).run(layer, http_scope(extensions={"http.upgrade": Extension()})))

    run(test)
    assert len(opentelemetry.told) == 2
    assert results == ["returned"]


@pytest.mark.parametrize("root_path", ["", "/root"])
def test_each_gets_the_scope_of_its_place(opentelemetry: OpenTelemetry, root_path: str) -> None:
    """As it was there when the request came by: with its application, and its path."""
    inside = Starlette(routes=ROUTES, middleware=[opentelemetry.layer("inside")])
    outside = Starlette(routes=[Mount("/sub", inside)], middleware=[opentelemetry.layer("outside"), OURS])
    around = opentelemetry.asgi.OpenTelemetryMiddleware(outside, told=opentelemetry.told, name="around")
    serve(around, f"{root_path}/sub/rooms/blue", root_path=root_path)
    websockets = {each["by"]: each["scope"] for each in opentelemetry.told if each["type"] == "websocket"}
    assert list(websockets) == ["around", "outside", "inside"]
    places = {name: (scope["app"], scope["root_path"]) for name, scope in websockets.items()}
    (at_route,) = ENDED
    assert places == {
        "around": (inside, root_path),
        "outside": (outside, root_path),
        "inside": (inside, f"{root_path}/sub"),
    }
    assert (at_route["app"], at_route["root_path"]) == (inside, f"{root_path}/sub")
    for scope in websockets.values():
        assert (scope["type"], scope["path"], scope["path_params"]) == (
            "websocket",
            f"{root_path}/sub/rooms/blue",
            {"room": "blue"},
        )


def test_without_a_root_path_there_is_none(opentelemetry: OpenTelemetry) -> None:
    class Leaf:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.close"})

    layer = opentelemetry.asgi.OpenTelemetryMiddleware(UpgradeMiddleware(Leaf()), told=opentelemetry.told)
    serve(layer)
    scope = opentelemetry.told[1]["scope"]
    assert (scope["type"], scope["root_path"], scope["app"]) == ("websocket", "", None)


# Sentry's


def test_sentrys_outermost_layer_is_told_once_of_each(sentry: Sentry) -> None:
    """One inside another one does nothing."""
    inside = Starlette(routes=ROUTES, middleware=[sentry.layer("inner")])
    serve(Starlette(routes=[Mount("/sub", inside)], middleware=[sentry.layer("outer"), OURS]), "/sub/rooms/blue")
    assert kinds(sentry.told) == [("outer", "http"), ("outer", "websocket")]
    assert len(ENDED) == 1
    serve(Starlette(routes=[Mount("/sub", inside)], middleware=[OURS]), "/sub/rooms/blue")
    assert kinds(sentry.told)[2:] == [("inner", "http"), ("inner", "websocket")]


def test_sentrys_layer_still_knows_that_it_is_around_the_request(sentry: Sentry) -> None:
    seen: list[bool] = []

    class Looking(Counting):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await super().__call__(scope, receive, send)
            seen.append(sentry.asgi._asgi_middleware_applied.get())

    serve(application(sentry.layer(), OURS, Middleware(Looking, seen=[])))
    assert seen == [True]


@pytest.mark.parametrize("dedupe", [True, False])
def test_an_error_is_captured_once_if_sentry_is_to_see_to_that(
    monkeypatch: pytest.MonkeyPatch, *, dedupe: bool
) -> None:
    sentry = Sentry(monkeypatch, dedupe=dedupe)
    app = application(sentry.layer(), OURS)

    async def test() -> None:
        with pytest.raises(LookupError, match="of the endpoint"):
            await Call(REQUEST).run(app, http_scope("/fail", extensions={"http.upgrade": Extension()}))
        assert sentry.asgi._asgi_middleware_applied.get() is False

    run(test)
    assert [type(error) for error in sentry.client.captured] == [LookupError] * (1 if dedupe else 2)


# FastAPI's


class Routing:
    """Stands for FastAPI's routes: they say which of them was chosen."""

    def __init__(self, app: ASGIApp, route: str | None) -> None:
        self.app = app
        self.route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["fastapi.telemetry"].route = self.route
        await self.app(scope, receive, send)


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("route", ["/rooms/{room}", None])
def test_fastapis_own_is_told_of_both_and_of_the_route(fastapis: FastAPIs, route: str | None, *, legacy: bool) -> None:
    app = fastapis.application(Middleware(Routing, route=route), legacy_otel=legacy)
    serve(app)
    assert kinds(fastapis.told) == [("fastapi", "http"), ("fastapi", "websocket")]
    request, websocket = (each["telemetry"] for each in fastapis.told)
    assert ENDED[0]["fastapi.telemetry"] is websocket
    assert websocket.route == route
    assert (request.span is None, websocket.span is None) == (legacy, legacy), "OpenTelemetry's has the span"
    if not legacy:
        assert websocket.span.name == ("WS" if route is None else f"WS {route}")
        assert websocket.span.attributes == ({} if route is None else {"http.route": route})
        assert request.span.name == "GET"
    scope = fastapis.told[1]["scope"]
    assert (scope["app"], scope["root_path"]) == (app, "")


def test_fastapis_own_sees_the_error_of_the_endpoint(fastapis: FastAPIs) -> None:
    async def test() -> None:
        with pytest.raises(LookupError, match="of the endpoint"):
            await Call(REQUEST).run(
                fastapis.application(), http_scope("/fail", extensions={"http.upgrade": Extension()})
            )

    run(test)
    request, websocket = (each["telemetry"] for each in fastapis.told)
    assert [type(error) for error in request.exceptions] == [LookupError]
    assert websocket.exceptions == request.exceptions


def test_without_its_other_half_that_for_exceptions_is_left_out(
    fastapis: FastAPIs, opentelemetry: OpenTelemetry
) -> None:
    """It would find no telemetry in the scope."""
    exceptions = Middleware(fastapis.module.ExceptionTelemetryMiddleware)
    serve(application(opentelemetry.layer(), OURS, exceptions))
    assert kinds(opentelemetry.told) == [("span", "http"), ("span", "websocket")]

    async def test() -> None:
        app = application(opentelemetry.layer(), exceptions, OURS)
        with pytest.raises(KeyError, match="fastapi"):  # the request's, which is the test's own fault
            await Call(REQUEST).run(app, http_scope("/fail", extensions={"http.upgrade": Extension()}))

    run(test)
    assert isinstance(opentelemetry.told[-1]["error"], LookupError)


def test_fastapis_that_is_switched_off_changes_nothing(fastapis: FastAPIs) -> None:
    class Off:
        async def __call__(self, *, app: Any, scope: Scope, receive: Receive, send: Send, legacy_otel: bool) -> None:
            scope["fastapi.telemetry"] = None
            await app(scope, receive, send)

    app = fastapis.applications.FastAPI(Off(), routes=ROUTES, middleware=[OURS])
    serve(app)
    assert len(ENDED) == 1
