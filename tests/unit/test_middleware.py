"""`UpgradeMiddleware` by itself: what it lets pass, what it answers, what it marks."""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Match, WebSocketRoute

from asgi_upgrade import (
    HandshakeEnded,
    HandshakeMiddleware,
    Observer,
    StreamSettings,
    TLSSettings,
    UpgradeMiddleware,
    WebSocketSettings,
)
from asgi_upgrade.guard.handshake import HANDSHAKE, Handshake
from asgi_upgrade.switching import lifespan
from asgi_upgrade.testing import UpgradeTransport
from asgi_upgrade.websocket.bridge import BRIDGE, CONVERTED, Bridge
from asgi_upgrade.websocket.handshake import Accept, Reject
from tests.unit.calls import (
    CONNECT,
    REQUEST,
    Call,
    Extension,
    Seen,
    http_scope,
    page,
    run,
    server_module,
    websocket_scope,
)
from tests.unit.calls import HANDSHAKE as FIELDS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from asgi_upgrade import UpgradeStream

EVIL = (b"origin", b"https://evil.example")
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def serve(app: Any, scope: Scope, *received: Any) -> Call:
    call = Call(*(received or (REQUEST,)))

    async def test() -> None:
        await call.run(app, scope)

    run(test)
    return call


def offering(path: Any = "/", **changes: Any) -> Scope:
    """A handshake on a server that can switch."""
    return http_scope(path, **{"extensions": {"http.upgrade": {"version": "1.2", "connect": print}}, **changes})


class Inside:
    """Keeps what it is called with, and may have something inside: it gets a handshake as a request."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.inside = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        self.scopes.append(scope)
        assert callable(receive)
        assert callable(send)
        if scope["type"] == "http":
            await page(scope, receive, send)
        return "returned"


# What passes


@pytest.mark.parametrize(
    "scope",
    [
        http_scope(headers=[]),
        http_scope(headers=[(b"upgrade-insecure-requests", b"1"), (b"connection", b"keep-alive")]),
        http_scope(headers=[(b"connection", b"upgrade"), (b"upgrade", b"foo")]),
        offering(headers=[(b"connection", b"upgrade"), (b"upgrade", b"h2c")]),
        {"type": "custom"},
    ],
)
def test_what_asks_for_nothing_passes_as_it_is(scope: Scope) -> None:
    async def test() -> None:
        app = Inside()
        before = dict(scope)
        assert await Call().run(UpgradeMiddleware(app), scope) == "returned"
        assert app.scopes[0] is scope
        assert scope == before

    run(test)


def test_a_mark_of_nobody_is_taken_away() -> None:
    app = Inside()
    serve(UpgradeMiddleware(app), http_scope(headers=[], extensions={}, **{HANDSHAKE: None}))
    assert HANDSHAKE not in app.scopes[0]


def test_a_handshake_on_a_server_that_cannot_switch_stays_a_request(caplog: pytest.LogCaptureFixture) -> None:
    app = Inside()
    assert serve(UpgradeMiddleware(app), http_scope()).status == 200
    assert HANDSHAKE not in app.scopes[0]


# Handshakes


def test_a_handshake_goes_on_with_what_the_middleware_says_of_it() -> None:
    app = Inside()
    given: dict[str, Any] = {
        "max_message_size": 1,
        "max_message_frames": 2,
        "max_queue": 3,
        "max_queue_size": 4,
        "write_buffer_size": 5,
        "open_timeout": 6,
        "close_timeout": 7,
        "stop_timeout": 8,
        "answer_timeout": 9,
        "ping_interval": 10,
        "ping_timeout": 11,
        "idle_timeout": 12,
        "allow_unoffered_subprotocols": True,
        "lenient_subprotocols": True,
    }
    policy = UpgradeMiddleware(app, subprotocols=["a", "b"], websocket=WebSocketSettings(deflate=False, **given))
    scope = offering()
    serve(policy, scope)
    (seen,) = app.scopes
    assert seen is scope
    handshake = seen[HANDSHAKE]
    assert handshake.carrier is scope["extensions"]["http.upgrade"]
    assert (handshake.policy, handshake.subprotocols) == (policy, ("a", "b"))
    assert handshake.settings == WebSocketSettings(deflate=False, **given)


def test_a_leaf_gets_the_websocket() -> None:
    app = Seen()

    async def test() -> None:
        extension = Extension()
        extension.switched.set_result(False)
        call = Call(REQUEST)
        await call.run(UpgradeMiddleware(app), offering(extensions={"http.upgrade": extension}))
        assert call.status == 101
        assert app.kinds == ["websocket"]

    run(test)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"headers": FIELDS[:-1]}, 400),
        ({"headers": [*FIELDS, EVIL]}, 403),
        ({"method": "POST"}, 405),
        ({"headers": [*FIELDS[:-2], FIELDS[-1]]}, 426),
        ({"headers": [*FIELDS, (b"sec-websocket-protocol", b"a/b")]}, 400),
    ],
)
def test_a_handshake_with_a_fault_is_refused_before_the_application_sees_it(
    change: dict[str, Any], status: int
) -> None:
    app = Inside()
    call = serve(UpgradeMiddleware(app), offering(**change))
    assert call.status == status
    assert call.body
    assert app.scopes == []


def test_subprotocols_may_be_read_leniently() -> None:
    app = Inside()
    scope = offering(headers=[*FIELDS, (b"sec-websocket-protocol", b"a/b")])
    serve(UpgradeMiddleware(app, websocket=WebSocketSettings(lenient_subprotocols=True)), scope)
    assert app.scopes[0][HANDSHAKE].accept.subprotocols == ("a/b",)


def test_origins_may_be_allowed() -> None:
    app = Inside()
    scope = offering(headers=[*FIELDS, EVIL])
    assert serve(UpgradeMiddleware(app, allowed_origins=["https://evil.example"]), scope).status == 200
    assert isinstance(app.scopes[0][HANDSHAKE], Handshake)


def test_of_two_middlewares_both_decide() -> None:
    app = Inside()
    outer = UpgradeMiddleware(app, websocket=WebSocketSettings(open_timeout=5), allowed_origins=["*"])
    inner = UpgradeMiddleware(app, websocket=WebSocketSettings(open_timeout=3))
    passed = outer.judge(offering())
    assert isinstance(passed, Handshake)
    again = inner.judge(offering(**{HANDSHAKE: passed}))
    assert again is passed
    assert passed.settings.open_timeout == 3
    assert passed.policy is outer
    refused = inner.judge(offering(**{HANDSHAKE: passed, "headers": [*FIELDS, EVIL]}))
    assert isinstance(refused, Reject)
    assert refused.status == 403


def made_of_functions(kinds: list[str]) -> ASGIApp:
    """An application that is written as functions, which another function has made together."""

    async def pages(scope: Scope, receive: Receive, send: Send) -> None:
        await page(scope, receive, send)

    async def rooms(scope: Scope, receive: Receive, send: Send) -> None:
        kinds.append(scope["type"])
        await send({"type": "websocket.close"})

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await (pages if scope["type"] == "http" else rooms)(scope, receive, send)

    return application


def test_who_stands_right_around_such_an_application_knows_that_it_answers_itself() -> None:
    kinds: list[str] = []
    assert serve(UpgradeMiddleware(made_of_functions(kinds)), offering()).status == 403
    assert kinds == ["websocket"]


# WebSockets of the server


def bridged(*, guarded: bool) -> Scope:
    call = Call()
    bridge = Bridge(websocket_scope(subprotocols=["chat"]), call.receive, call.send, guarded=guarded)
    return http_scope(headers=[(b"host", b"example.com")], extensions={BRIDGE: bridge})


def test_a_websocket_of_the_server_is_a_handshake_that_the_server_has_read() -> None:
    app = Inside()
    scope = bridged(guarded=True)
    assert serve(UpgradeMiddleware(app), scope).status == 200
    handshake = app.scopes[0][HANDSHAKE]
    assert handshake.carrier is scope["extensions"][BRIDGE]
    assert handshake.accept == Accept(b"", ("chat",))


@pytest.mark.parametrize("allowed", [True, False])
def test_what_something_around_may_not_have_seen_is_refused_and_said_once(
    caplog: pytest.LogCaptureFixture, *, allowed: bool
) -> None:
    app = Inside()
    middleware = UpgradeMiddleware(app, insecure_allow_unguarded=allowed)
    for _ in range(2):
        assert serve(middleware, bridged(guarded=False)).status == (200 if allowed else 503)
    lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(lines) == (0 if allowed else 1)
    assert bool(app.scopes) is allowed


def test_a_websocket_from_nobody_known_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    app = Inside()
    assert serve(UpgradeMiddleware(app), websocket_scope(), CONNECT).status == 503
    assert app.scopes == []
    assert serve(UpgradeMiddleware(app, insecure_allow_unguarded=True), websocket_scope(), CONNECT).status == 200
    assert app.scopes[0]["type"] == "http"


def test_what_the_server_cannot_do_is_said_with_its_first_websocket(caplog: pytest.LogCaptureFixture) -> None:
    middleware = UpgradeMiddleware(Inside(), tls=TLSSettings(TLS))
    for _ in range(2):
        serve(middleware, websocket_scope(), CONNECT)
    assert len([record for record in caplog.records if "TLS cannot be offered" in record.getMessage()]) == 1


def test_routes_of_classes_that_came_since_know_handshakes() -> None:
    class Own(WebSocketRoute):
        def matches(self, scope: Scope) -> Any:
            return (Match.NONE, {}) if scope["type"] != "websocket" else super().matches(scope)

    async def room(websocket: Any) -> None:
        """Nothing to say."""

    UpgradeMiddleware(page)
    assert Own("/", room).matches(http_scope(**{HANDSHAKE: None}))[0] is Match.FULL


@pytest.mark.parametrize("mark", [None, "a handshake"])
def test_a_websocket_that_something_further_out_has_made_passes(mark: Any) -> None:
    app = Inside()
    scope = websocket_scope(**{CONVERTED: mark})
    serve(UpgradeMiddleware(app), scope, CONNECT)
    assert app.scopes == [scope]


@pytest.mark.parametrize(("headers", "status"), [([], None), ([EVIL], 403)])
def test_a_path_that_is_skipped_is_delivered_as_it_is_if_its_origin_may(headers: Any, status: int | None) -> None:
    app = Inside()
    middleware = UpgradeMiddleware(app, insecure_skip_http_middleware=["/skipped/{name}"])
    call = serve(middleware, websocket_scope("/skipped/x", headers=[(b"host", b"example.com"), *headers]), CONNECT)
    assert call.status == status
    assert bool(app.scopes) is (status is None)
    if app.scopes:
        assert (app.scopes[0]["type"], app.scopes[0][CONVERTED]) == ("websocket", None)


@pytest.mark.parametrize(("headers", "status"), [([], 101), ([EVIL], 403)])
def test_a_handshake_for_such_a_path_becomes_a_websocket_right_here(headers: Any, status: int) -> None:
    app = Seen()
    middleware = UpgradeMiddleware(app, insecure_skip_http_middleware=["/skipped/{name}"])

    async def test() -> None:
        extension = Extension()
        extension.switched.set_result(False)
        call = Call(REQUEST)
        scope = http_scope("/skipped/x", headers=[*FIELDS, *headers], extensions={"http.upgrade": extension})
        await call.run(middleware, scope)
        assert call.status == status
        assert app.kinds == (["websocket"] if status == 101 else [])
        if app.scopes:
            assert app.scopes[0][CONVERTED] is None

    run(test)


def test_convert_gives_on_what_is_no_handshake_and_refuses_what_is_unguarded() -> None:
    async def test() -> None:
        app = Inside()
        policy = UpgradeMiddleware(page)
        for scope in (http_scope(headers=[], **{HANDSHAKE: None}), bridged(guarded=False)):
            call = Call(REQUEST)
            result = await policy.convert(app, scope, call.receive, call.send)
            assert (result, call.status) in (("returned", 200), (None, 503))
        assert len(app.scopes) == 1
        assert HANDSHAKE not in app.scopes[0]

    run(test)


# Answers of its own


def private(scope: Scope) -> bool:
    return bool(scope["path"].startswith("/private"))


@pytest.mark.parametrize("paths", [["/rooms/{name}", "/other"], lambda scope: scope["path"] in ("/rooms/x", "/other")])
@pytest.mark.parametrize(
    ("path", "root_path", "status"),
    [
        ("/rooms/x", "", 426),
        ("/other", "", 426),
        ("/rooms/x/y", "", 200),
        ("/", "", 200),
        ("/root/other", "/root", 426),
    ],
)
def test_a_path_that_speaks_websocket_only(paths: Any, path: str, root_path: str, status: int) -> None:
    if callable(paths) and root_path:
        path, status = "/other", 426
    call = serve(UpgradeMiddleware(page, websocket_only=paths), http_scope(path, headers=[], root_path=root_path))
    assert call.status == status
    if status == 426:
        assert call.body == b"This path speaks WebSocket only.\n"
        assert {(b"upgrade", b"websocket"), (b"connection", b"Upgrade")} <= set(call.sent[0]["headers"])


def test_http2_has_no_upgrade_field() -> None:
    call = serve(UpgradeMiddleware(page, websocket_only=["/"]), http_scope(headers=[], http_version="2"))
    assert call.status == 426
    assert not {b"upgrade", b"connection"} & {name for name, _ in call.sent[0]["headers"]}


@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss"])
@pytest.mark.parametrize("required", [True, False, private])
@pytest.mark.parametrize("path", ["/private", "/public"])
def test_requests_in_the_clear_are_refused_where_tls_is_required(scheme: str, required: Any, path: str) -> None:
    middleware = UpgradeMiddleware(page, tls=TLSSettings(TLS, required=required))
    call = serve(middleware, http_scope(path, headers=[], scheme=scheme))
    refused = scheme in ("http", "ws") and (required is True or (required is private and path == "/private"))
    assert call.status == (426 if refused else 200)
    if refused:
        assert call.body == b"This service wants TLS.\n"
        assert (b"upgrade", b"TLS/1.2, HTTP/1.1") in call.sent[0]["headers"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_server_says_in_the_clear_that_there_is_tls(scheme: str) -> None:
    scope = http_scope("*", method="OPTIONS", headers=[], scheme=scheme)
    call = serve(UpgradeMiddleware(page, tls=TLSSettings(TLS)), scope)
    assert (call.status, call.body) == (200, b"")
    assert ((b"upgrade", b"TLS/1.2, HTTP/1.1") in call.sent[0]["headers"]) is (scheme == "http")
    assert serve(UpgradeMiddleware(page), scope).body == b"a page"


# Other protocols


class Handler:
    """Speaks a protocol, where the server can switch."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.asked = 0

    def accepts(self, scope: Scope) -> bool:
        self.asked += 1
        return self.takes

    async def __call__(self, stream: UpgradeStream) -> None:
        """Nothing to say."""


def offer(*protocols: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"example.com"), (b"connection", b"upgrade"), (b"upgrade", ", ".join(protocols).encode())]


@pytest.mark.parametrize(
    ("protocols", "takes", "status"),
    [(["echo"], True, 101), (["echo"], False, 200), (["foo"], True, 200), (["websocket", "echo"], True, 426)],
)
def test_the_clients_first_choice_is_taken(protocols: list[str], takes: bool, status: int) -> None:
    handler = Handler(takes=takes)

    async def test() -> None:
        extension = Extension()
        extension.switched.set_result(False)
        call = Call(REQUEST)
        scope = http_scope(headers=offer(*protocols), extensions={"http.upgrade": extension})
        await call.run(UpgradeMiddleware(page, protocols={"echo": handler}), scope)
        assert call.status == status
        assert call.types.count("http.response.start") == 1, "a request has one answer"
        assert handler.asked == (protocols == ["echo"])

    run(test)


def test_a_server_that_cannot_switch_serves_the_request() -> None:
    call = serve(UpgradeMiddleware(page, protocols={"echo": Handler()}), http_scope(headers=offer("echo")))
    assert call.status == 200


@pytest.mark.parametrize("limit", ["total_timeout", "idle_timeout"])
def test_a_handler_gets_the_request_and_the_limits(limit: str) -> None:
    ended: list[str] = []
    limits: dict[str, Any] = {limit: 0.05}

    async def echo(stream: UpgradeStream) -> None:
        await stream.send(stream.scope["path"].encode())
        try:
            await stream.receive()
        except anyio.get_cancelled_exc_class():
            ended.append("cancelled")
            raise

    async def test() -> None:
        transport = UpgradeTransport(
            UpgradeMiddleware(page, protocols={"echo": echo}, streams=StreamSettings(**limits))
        )
        headers = {"Connection": "Upgrade", "Upgrade": "echo"}
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://test") as http,
            http.stream("GET", "/echo", headers=headers) as response,
        ):
            assert response.headers["upgrade"] == "echo"
            stream = response.extensions["network_stream"]
            assert await stream.read(100) == b"/echo"
            assert await stream.read(100) == b""
        assert ended == ["cancelled"]

    run(test)


def test_what_a_handler_declines_behind_the_last_middleware_goes_on_to_the_routes() -> None:
    protocols = {"echo": Handler(takes=False)}
    application = Starlette(middleware=[Middleware(UpgradeMiddleware, protocols=protocols)])
    scope = http_scope(headers=offer("echo"), extensions={"http.upgrade": {"version": "1.2", "connect": print}})
    assert serve(application, scope).status == 404


@pytest.mark.parametrize("wrapped", [True, False])
def test_protocols_are_spoken_behind_the_last_middleware_of_the_application(*, wrapped: bool) -> None:
    seen: list[str] = []

    class Noting:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["type"])
            await self.app(scope, receive, send)

    async def test() -> None:
        protocols = {"echo": Handler()}
        added = [] if wrapped else [Middleware(UpgradeMiddleware, protocols=protocols)]
        application = Starlette(middleware=[*added, Middleware(Noting)])
        app: Any = UpgradeMiddleware(application, protocols=protocols) if wrapped else application
        for _ in range(2):
            extension = Extension()
            extension.switched.set_result(False)
            call = Call(REQUEST)
            await call.run(app, http_scope(headers=offer("echo"), extensions={"http.upgrade": extension}))
            assert call.status == 101
        assert seen == ["http", "http"]

    run(test)


def test_what_will_not_see_such_requests_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        extension = Extension()
        extension.switched.set_result(False)
        middleware = UpgradeMiddleware(Inside(), protocols={"echo": Handler(), "foo/1": Handler()})
        for _ in range(2):
            scope = http_scope(headers=offer("echo"), extensions={"http.upgrade": extension})
            await Call(REQUEST).run(middleware, scope)
        (line,) = [record.getMessage() for record in caplog.records]
        assert line == "Inside stands inside UpgradeMiddleware and will not see requests that offer echo or foo/1."

    run(test)


def test_the_lifespan_names_it_and_the_first_request_does_not_name_it_again(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        middleware = UpgradeMiddleware(Inside(), protocols={"echo": Handler()})
        line = "Inside stands inside UpgradeMiddleware and will not see requests that offer echo."
        await Call().run(middleware, {"type": "lifespan"})
        assert caplog.messages.count(line) == 1
        extension = Extension()
        extension.switched.set_result(False)
        await Call(REQUEST).run(middleware, http_scope(headers=offer("echo"), extensions={"http.upgrade": extension}))
        assert caplog.messages.count(line) == 1

    run(test)


# HandshakeMiddleware


def serve_inside(app: Any) -> Call:
    """Call `app` with a WebSocket, not by a function that is given the scope: it would stand around."""
    call = Call(CONNECT)

    async def test() -> None:
        await app(websocket_scope(), call.receive, call.send)

    run(test)
    return call


def around(inner: ASGIApp) -> ASGIApp:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope, receive, send)

    return middleware


def test_outermost_a_websocket_of_the_server_becomes_a_handshake() -> None:
    app = Inside()
    assert serve_inside(HandshakeMiddleware(UpgradeMiddleware(app))).status == 200
    assert app.scopes[0]["type"] == "http"


@pytest.mark.parametrize(
    "scope", [http_scope(headers=[]), websocket_scope(**{CONVERTED: None}), {"type": "lifespan"}, {"type": "custom"}]
)
def test_outermost_all_else_passes(scope: Scope) -> None:
    app = Inside()
    serve(HandshakeMiddleware(app), scope, CONNECT)
    assert app.scopes == [scope]


@pytest.mark.parametrize("allowed", [True, False])
def test_what_is_seen_to_stand_around_the_outermost_speaks_against_that(
    caplog: pytest.LogCaptureFixture, *, allowed: bool
) -> None:
    app = Inside()
    inner = HandshakeMiddleware(UpgradeMiddleware(app), insecure_allow_unguarded=allowed)

    for _ in range(2):
        assert serve_inside(around(inner)).status == (200 if allowed else 503)
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == (not allowed)
    assert all("around HandshakeMiddleware" in each.getMessage() for each in errors)


def test_unguarded_websockets_are_refused_unless_that_is_asked_for() -> None:
    app = Inside()
    assert serve_inside(around(HandshakeMiddleware(UpgradeMiddleware(app)))).status == 503
    assert app.scopes == []


@pytest.mark.parametrize("outermost", [True, False])
@pytest.mark.parametrize("end", ["receive", "send"])
def test_a_server_whose_objects_lead_to_the_application_has_nothing_around_it(end: str, *, outermost: bool) -> None:
    uvicorn = server_module("uvicorn.made_up")
    middleware = UpgradeMiddleware(Inside())
    app: Any = HandshakeMiddleware(middleware) if outermost else middleware
    call = Call(CONNECT)
    ends: dict[str, Any] = {"receive": call.receive, "send": call.send}
    given = ends[end]
    ends[end] = partial(lambda app, *message: given(*message), app)

    async def test() -> None:
        # What the server has at hand where it calls leads nowhere.
        await uvicorn.start(uvicorn.Slim(), lambda: app(websocket_scope(), **ends))

    run(test)
    assert call.status == 200


@pytest.mark.parametrize("value", [None, 1, "yes"])
def test_the_outermost_layer_takes_only_a_flag(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^insecure_allow_unguarded must be a bool"):
        HandshakeMiddleware(page, insecure_allow_unguarded=value)


def test_what_is_named_for_websockets_gets_one() -> None:
    app = Inside()
    serve(UpgradeMiddleware(app, websocket_middleware=[Inside]), offering())
    assert app.scopes[0]["type"] == "websocket"


def test_an_observer_is_told_of_a_refusal() -> None:
    told: list[tuple[str, int | None]] = []

    class Noting(Observer):
        def handshake_ended(self, event: HandshakeEnded) -> None:
            told.append((event.outcome.value, event.status))

    serve(UpgradeMiddleware(page, observer=Noting()), offering(headers=[*FIELDS, EVIL]))
    assert told == [("refused_origin", 403)]


# Arguments


@pytest.mark.parametrize(
    "arguments",
    [
        {"extend_server": 1},
        {"extend_server": None},
        {"insecure_allow_unguarded": None},
        {"subprotocols": "chat"},
        {"subprotocols": ["a b"]},
        {"subprotocols": [b"a"]},
        {"subprotocols": ["a/b"]},
        {"websocket_only": "/rooms"},
        {"websocket_only": ["rooms"]},
        {"websocket_only": [1]},
        {"websocket_only": ["/{name:unknown}"]},
        {"insecure_skip_http_middleware": ["rooms"]},
        {"websocket_middleware": "Guard"},
        {"websocket_middleware": b"Guard"},
        {"websocket_middleware": [1]},
        {"websocket_middleware": {Inside}},
        {"websocket": None},
        {"websocket": StreamSettings()},
        {"streams": WebSocketSettings()},
        {"streams": {"idle_timeout": 1}},
        {"h2c": True},
        {"h2c": ["10.0.0.0/8"]},
        {"tls": TLS},
        {"tls": True},
    ],
)
def test_what_makes_no_sense_is_refused_by_name(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^{next(iter(arguments))} "):
        UpgradeMiddleware(page, **arguments)


def test_what_is_lenient_may_have_other_subprotocols() -> None:
    UpgradeMiddleware(page, subprotocols=["a/b"], websocket=WebSocketSettings(lenient_subprotocols=True))


# The lifespan


@pytest.mark.parametrize(
    ("given", "extend"), [({}, True), ({"extend_server": True}, True), ({"extend_server": False}, False)]
)
def test_the_lifespan_extends_the_server_and_passes(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], *, extend: bool
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr("asgi_upgrade.middleware.attach_to_server", lambda **options: asked.append(options))
    app = Inside()
    tls = TLSSettings(TLS)
    middleware = UpgradeMiddleware(app, tls=tls, **given)
    serve(middleware, {"type": "lifespan"})
    assert app.scopes == [{"type": "lifespan"}]
    (options,) = asked
    assert (options["change"], options["policy"]) == (extend, middleware)
    assert options["settings"].tls is tls
    serve(middleware, http_scope(headers=[]))
    assert not caplog.records, "what the server cannot do was said then"


def test_what_no_server_can_do_is_said_with_the_first_request(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifespan, "_seen", [])
    middleware = UpgradeMiddleware(page, tls=TLSSettings(TLS))
    for _ in range(2):
        serve(middleware, http_scope(headers=[]))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "TLS cannot be offered: that takes uvicorn, with its lifespan on."
