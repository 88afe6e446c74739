"""What a policy does with a handshake, and what an observer is told of it, wherever the policy stands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from asgi_upgrade import ConnectionClosed, HandshakeEnded, Observer, UpgradeMiddleware, WebSocketSettings
from asgi_upgrade.guard import overlooked, starlette_internals
from asgi_upgrade.guard.handshake import HANDSHAKE, Handshake
from asgi_upgrade.system.internals import Internals
from asgi_upgrade.testing import UpgradeTransport, connect_websocket
from asgi_upgrade.websocket.bridge import BRIDGE, Bridge
from asgi_upgrade.websocket.handshake import Accept
from asgi_upgrade.websocket.stray import _reported as reported_paths
from asgi_upgrade.websocket.watch import WATCH
from tests.unit.calls import CONNECT, REQUEST, Call, Extension, Seen, http_scope, page, run, websocket_scope
from tests.unit.calls import HANDSHAKE as FIELDS
from tests.unit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from starlette.websockets import WebSocket

EVIL = (b"origin", b"https://evil.example")
MALFORMED = (b"sec-websocket-protocol", b"a/b")
GONE: Message = {"type": "http.disconnect"}


class Told(Observer):
    """Keeps what it is told, in short."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def handshake_ended(self, event: HandshakeEnded) -> None:
        self.events.append((event.outcome.value, event.status, event.route))

    def connection_closed(self, event: ConnectionClosed) -> None:
        self.events.append((event.code, event.route))


class Around:
    """A layer around something."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        await self.app(scope, receive, send)


class Inside:
    """Keeps what it is called with, and may have something inside: it gets a handshake as a request."""

    def __init__(self) -> None:
        self.inside = page
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await page(scope, receive, send)


def serve(app: Any, path: str = "/", *headers: tuple[bytes, bytes], fields: Any = FIELDS, **changes: Any) -> Call:
    """Send a handshake on a server that can switch, and whose client does not stay."""
    call = Call(REQUEST)

    async def test() -> None:
        extension = Extension()
        extension.switched.set_result(False)
        extensions = {"http.upgrade": extension}
        await call.run(app, http_scope(path, **{"headers": [*fields, *headers], "extensions": extensions, **changes}))

    run(test)
    return call


def open_websocket(app: Any, path: str, *told: Told) -> None:
    """Open a WebSocket that the application closes, and wait until all are told of its end."""

    async def test() -> None:
        async with (
            httpx.AsyncClient(transport=UpgradeTransport(app), base_url="http://test") as client,
            connect_websocket(client, path) as websocket,
        ):
            with pytest.raises(WebSocketDisconnect):
                await websocket.receive()
        await until(lambda: all(len(each.events) >= 2 for each in told))

    run(test)


def serve_websocket(app: Any, path: str = "/", *headers: tuple[bytes, bytes]) -> Call:
    """Give a WebSocket of the server."""
    call = Call(CONNECT)

    async def test() -> None:
        await call.run(app, websocket_scope(path, headers=[(b"host", b"example.com"), *headers]))

    run(test)
    return call


def bridged(*, guarded: bool) -> Scope:
    """A WebSocket of the server, as a handshake."""
    call = Call()
    bridge = Bridge(websocket_scope(subprotocols=["chat"]), call.receive, call.send, guarded=guarded)
    return http_scope(headers=[(b"host", b"example.com")], extensions={BRIDGE: bridge})


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(4000)


# What it is made of


@pytest.mark.parametrize("app", [None, "application", 1])
def test_there_must_be_an_application(app: Any) -> None:
    with pytest.raises(ValueError, match=r"^app must be an ASGI application, not "):
        UpgradeMiddleware(app)


@pytest.fixture
def unknown_starlette(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Starlette lacks something, as a version to come may."""
    lacking, report = starlette_internals.lacking, starlette_internals.report_lacking
    monkeypatch.setattr(starlette_internals, "STARLETTE", Internals("starlette", {"starlette.routing": ("Nothing",)}))
    lacking.cache_clear()
    report.cache_clear()
    yield
    lacking.cache_clear()
    report.cache_clear()


@pytest.mark.usefixtures("unknown_starlette")
def test_with_an_unknown_starlette_only_paths_that_skip_it_are_served(caplog: pytest.LogCaptureFixture) -> None:
    app = Seen()
    middleware = UpgradeMiddleware(app, insecure_skip_http_middleware=["/skipped"])
    (record,) = caplog.records
    assert "has no starlette.routing.Nothing: handshakes cannot be brought through" in record.getMessage()

    assert serve(middleware, "/skipped").status == 101
    assert app.kinds == ["websocket"]
    assert serve(middleware, "/other").status == 503

    async def test() -> None:
        call = Call(REQUEST)
        scope = http_scope("/other", extensions={"http.upgrade": Extension()})
        await middleware.convert(app, scope, call.receive, call.send)
        assert call.status == 503

    run(test)
    assert app.kinds == ["websocket"]


# What it makes of a handshake


def test_where_nobody_has_decided_it_decides() -> None:
    passed = Handshake({"version": "1.2", "connect": print}, Accept(b""), None, WebSocketSettings(), ())  # type: ignore[arg-type]
    settings = WebSocketSettings(open_timeout=3)
    policy = UpgradeMiddleware(page, websocket=settings, subprotocols=["chat"])
    assert policy.judge(http_scope(**{HANDSHAKE: passed})) is passed
    assert (passed.policy, passed.settings, passed.subprotocols) == (policy, settings, ("chat",))


def test_a_websocket_of_the_server_keeps_to_the_settings() -> None:
    settings = WebSocketSettings(open_timeout=3)
    policy = UpgradeMiddleware(page, websocket=settings, subprotocols=["chat"])
    handshake = policy.judge(bridged(guarded=True))
    assert isinstance(handshake, Handshake)
    assert (handshake.policy, handshake.settings, handshake.subprotocols) == (policy, settings, ("chat",))


@pytest.mark.parametrize(("lenient", "status"), [(False, 400), (True, 200)])
def test_a_server_that_cannot_switch_refuses_faults_all_the_same(*, lenient: bool, status: int) -> None:
    app = Inside()
    middleware = UpgradeMiddleware(app, websocket=WebSocketSettings(lenient_subprotocols=lenient))
    assert serve(middleware, "/", MALFORMED, extensions={}).status == status
    assert len(app.scopes) == (status == 200)


def test_what_a_proxy_has_taken_away_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    reported_paths.clear()
    stray = [field for field in FIELDS if field[0] not in (b"upgrade", b"connection")]
    assert serve(UpgradeMiddleware(Inside()), "/stray", fields=stray, extensions={}).status == 200
    (record,) = caplog.records
    assert record.getMessage().startswith("GET /stray HTTP/1.1 has fields of a WebSocket handshake, but lacks")
    reported_paths.clear()


def test_a_refusal_says_why_and_what_is_spoken() -> None:
    call = serve(UpgradeMiddleware(page), fields=[field for field in FIELDS if field[0] != b"sec-websocket-version"])
    assert (call.status, call.body) == (426, b"Sec-WebSocket-Version must be 13\n")
    assert (b"sec-websocket-version", b"13") in call.sent[0]["headers"]


@pytest.mark.parametrize("mark", [None, Handshake({}, Accept(b""), None, WebSocketSettings(), ())])  # type: ignore[arg-type]
def test_only_a_handshake_that_begins_here_skips_what_is_inside(mark: Any) -> None:
    app = Inside()
    middleware = UpgradeMiddleware(app, insecure_skip_http_middleware=["/skipped"])
    serve(middleware, "/other")
    serve(middleware, "/skipped", **{HANDSHAKE: mark})
    assert [scope["type"] for scope in app.scopes] == ["http", "http"]
    assert all(isinstance(scope[HANDSHAKE], Handshake) for scope in app.scopes)
    serve(middleware, "/skipped")
    assert app.scopes[-1]["type"] == "websocket"


def test_a_path_that_speaks_websocket_only_refuses_pages_where_others_are_skipped() -> None:
    middleware = UpgradeMiddleware(page, insecure_skip_http_middleware=["/skipped"], websocket_only=["/rooms"])
    assert serve(middleware, "/rooms", fields=[]).status == 426


def test_a_guard_that_gives_a_request_on_in_another_task_is_noticed() -> None:
    overlooked._reported.clear()

    class Hidden:
        """A guard for WebSockets, where nobody finds it."""

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket" and not scope.get("user"):
                await send({"type": "websocket.close", "code": 1008})
                return
            await asyncio.create_task(dispatched[0](scope, receive, send))

    dispatched: list[Any] = [Starlette(routes=[WebSocketRoute("/", talk)]), Hidden()]

    class Dispatching(Around):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await dispatched[1](scope, receive, send)

    assert serve(UpgradeMiddleware(Dispatching(page))).status == 503


# What it converts itself


def test_what_is_skipped_gets_the_messages_of_the_request() -> None:
    received: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received.extend([(await receive())["type"], (await receive())["type"]])

    async def test() -> None:
        call = Call(REQUEST, GONE)
        middleware = UpgradeMiddleware(app, insecure_skip_http_middleware=["/"])
        await call.run(middleware, http_scope(extensions={"http.upgrade": Extension()}))

    run(test)
    assert received == ["websocket.connect", "websocket.disconnect"]


def test_middleware_for_websockets_in_front_of_it_gets_one_from_it() -> None:
    seen: list[str] = []

    class Guard(Around):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["type"])
            await self.app(scope, receive, send)

    ours = Middleware(UpgradeMiddleware, websocket_middleware=[Guard])
    application = Starlette(routes=[WebSocketRoute("/", talk)], middleware=[Middleware(Guard), ours])
    assert serve(application).status == 101
    assert seen == ["websocket"]


# The origin of a WebSocket that is delivered as it is


def test_a_skipped_path_says_why_it_refuses() -> None:
    call = serve_websocket(UpgradeMiddleware(page, insecure_skip_http_middleware=["/"]), "/", EVIL)
    assert (call.status, call.body) == (403, b"This origin may not open a WebSocket here\n")


# What observers are told


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([*FIELDS, EVIL], ("refused_origin", 403, "/rooms/{room}")),
        (FIELDS[:-1], ("bad_request", 400, "/rooms/{room}")),
        (FIELDS, ("client_left", 101, "/rooms/{room}")),
    ],
)
@pytest.mark.parametrize("skipped", [(), ("/rooms/{room}",)])
@pytest.mark.parametrize("around", [True, False])
def test_an_observer_is_told_what_becomes_of_a_handshake_and_of_which_route(
    fields: Any, skipped: Any, expected: Any, *, around: bool
) -> None:
    observer = Told()
    options: dict[str, Any] = {"observer": observer, "insecure_skip_http_middleware": skipped}
    routes = [Mount("/rooms", routes=[WebSocketRoute("/{room}", talk)]), Route("/", print)]
    if around:
        app: Any = UpgradeMiddleware(Starlette(routes=routes), **options)
    else:
        app = Starlette(routes=routes, middleware=[Middleware(UpgradeMiddleware, **options)])
    serve(app, "/rooms/blue", fields=fields)
    assert observer.events == [expected]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([EVIL], [("refused_origin", 403, "/rooms/{room}")]),
        ([], [("accepted", 101, "/rooms/{room}"), (4000, "/rooms/{room}")]),
    ],
)
def test_it_is_told_of_a_skipped_websocket_of_the_server(headers: Any, expected: Any) -> None:
    observer = Told()
    application = Starlette(routes=[WebSocketRoute("/rooms/{room}", talk)])
    middleware = UpgradeMiddleware(application, observer=observer, insecure_skip_http_middleware=["/rooms/{room}"])
    call = serve_websocket(middleware, "/rooms/blue", *headers)
    assert observer.events == expected
    assert call.types[0] == ("websocket.accept" if not headers else "websocket.http.response.start")


def test_it_is_told_of_what_is_refused_because_it_is_unguarded() -> None:
    observer = Told()
    middleware = UpgradeMiddleware(Inside(), observer=observer)

    async def test() -> None:
        for serving in (middleware, middleware_converting(middleware)):
            call = Call(REQUEST)
            await call.run(serving, bridged(guarded=False))
            assert call.status == 503

    run(test)
    assert observer.events == [("unguarded", 503, None)] * 2


def middleware_converting(middleware: UpgradeMiddleware) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await middleware.convert(page, scope, receive, send)

    return app


@pytest.mark.parametrize("same", [True, False])
def test_of_two_policies_each_observer_is_told_once(*, same: bool) -> None:
    outer, inner = Told(), Told()
    if same:
        inner = outer
    inside = UpgradeMiddleware(Starlette(routes=[WebSocketRoute("/", talk)]), observer=inner)
    open_websocket(UpgradeMiddleware(Around(inside), observer=outer), "/", outer, inner)
    assert outer.events == inner.events == [("accepted", 101, "/"), (4000, "/")]


def test_without_an_observer_nothing_stands_between() -> None:
    scope = http_scope()
    assert UpgradeMiddleware(page).watch(page, scope) is page
    assert WATCH not in scope


def test_a_handshake_that_something_has_made_a_page_of_is_told_to_nobody() -> None:
    observer = Told()

    class Downgrading(Around):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope["headers"] = [(b"host", b"example.com")]
            await self.app(scope, receive, send)

    ours = Middleware(UpgradeMiddleware, observer=observer)
    application = Starlette(
        routes=[Route("/", lambda request: PlainTextResponse())], middleware=[Middleware(Downgrading), ours]
    )
    assert serve(application).status == 200
    assert observer.events == []


# What the log says


@pytest.mark.parametrize("inside", [True, False])
def test_the_application_that_may_be_unguarded_is_named(caplog: pytest.LogCaptureFixture, *, inside: bool) -> None:
    class Named(Starlette): ...

    middleware = UpgradeMiddleware(page)
    scope = bridged(guarded=False)
    if inside:
        scope["app"] = Named()
    call = Call(REQUEST)

    async def test() -> None:
        await call.run(middleware, scope)

    run(test)
    (record,) = caplog.records
    assert f"middleware around {'Named' if inside else 'UpgradeMiddleware'} may not have" in record.getMessage()
