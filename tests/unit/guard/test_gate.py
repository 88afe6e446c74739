"""The entrance of an application with an `UpgradeMiddleware` among its middleware."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.guard.gate import Gate, Taker, chain, is_handshake
from asgi_upgrade.guard.handshake import HANDSHAKE, Handshake
from asgi_upgrade.websocket.bridge import BRIDGE, CONVERTED, Bridge, get_bridge
from asgi_upgrade.websocket.handshake import Accept
from asgi_upgrade.websocket.settings import WebSocketSettings
from tests.unit.calls import (
    CONNECT,
    REQUEST,
    Call,
    Extension,
    http_scope,
    page,
    run,
    server_module,
    websocket_scope,
)
from tests.unit.calls import (
    HANDSHAKE as FIELDS,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

SKIPPED = "/skipped/{rest:path}"
EVIL = (b"origin", b"https://evil.example")


class Noting:
    """Middleware that keeps what it sees, and answers itself."""

    def __init__(self, app: ASGIApp, seen: list[Scope]) -> None:
        self.app = app
        self.seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
        elif scope["type"] == "http":
            await page(scope, receive, send)


def make(seen: list[Scope], **options: Any) -> Starlette:
    """An application whose outermost middleware answers all."""
    options = {"insecure_skip_http_middleware": [SKIPPED], **options}
    return Starlette(middleware=[Middleware(Noting, seen=seen), Middleware(UpgradeMiddleware, **options)])


def gate_of(application: Starlette) -> Gate:
    application.middleware_stack = application.build_middleware_stack()
    assert isinstance(application.middleware_stack, Gate)
    return application.middleware_stack


def serve(scope: Scope, *received: Any, **options: Any) -> tuple[list[Scope], Call]:
    """What the outermost middleware sees of a call, and the call."""
    seen: list[Scope] = []
    call = Call(*received)

    async def test() -> None:
        await call.run(gate_of(make(seen, **options)), scope)

    run(test)
    return seen, call


def handshake_scope(path: str = "/", **changes: Any) -> Scope:
    return http_scope(path, extensions={"http.upgrade": {"version": "1.2", "connect": print}}, **changes)


def test_only_a_stack_with_a_policy_begins_with_a_gate() -> None:
    without = Starlette(middleware=[Middleware(Noting, seen=[])])
    without.middleware_stack = stack = without.build_middleware_stack()
    assert without.middleware_stack is stack
    assert not isinstance(stack, Gate)
    application = make([])
    gate = gate_of(application)
    application.middleware_stack = gate
    assert application.middleware_stack is gate
    application.middleware_stack = None
    assert application.middleware_stack is None


# Requests


def test_a_request_is_untouched() -> None:
    scope = http_scope(headers=[])
    (seen,), call = serve(scope)
    assert seen is scope
    assert HANDSHAKE not in seen
    assert call.status == 200
    (seen,), _ = serve(http_scope())
    assert HANDSHAKE not in seen, "the server cannot switch"
    (seen,), _ = serve(http_scope(extensions={"http.upgrade": {"version": "1.2"}}, headers=[]))
    assert HANDSHAKE not in seen


def test_a_handshake_is_marked_from_the_start() -> None:
    """Rate limits, metrics and tracing further out than the policy look for the route."""
    (seen,), call = serve(handshake_scope())
    assert seen["type"] == "http"
    assert seen[HANDSHAKE] is None
    assert call.status == 200


def test_a_handshake_that_a_policy_further_out_has_let_pass_stays_that_one() -> None:
    passed = Handshake({}, Accept(b""), None, WebSocketSettings(), ())  # type: ignore[arg-type]
    (seen,), _ = serve(handshake_scope("/skipped/x", **{HANDSHAKE: passed}))
    assert seen["type"] == "http"
    assert seen[HANDSHAKE] is passed


def test_a_path_that_is_to_be_skipped_gets_a_websocket_from_the_start() -> None:
    seen: list[Scope] = []

    async def test() -> None:
        extension = Extension()
        extension.switched.set_result(False)
        call = Call(REQUEST)
        scope = http_scope("/skipped/room", extensions={"http.upgrade": extension})
        await call.run(gate_of(make(seen)), scope)
        assert call.status == 101
        assert [each["type"] for each in seen] == ["websocket"]
        assert seen[0][CONVERTED] is None, "nothing inside sees it as a handshake again"

    run(test)


def test_the_lifespan_passes() -> None:
    (seen,), _ = serve({"type": "lifespan", "asgi": {"version": "3.0"}})
    assert seen["type"] == "lifespan"


# WebSockets of the server


def test_a_websocket_passes_the_stack_as_a_handshake() -> None:
    (seen,), call = serve(websocket_scope(), CONNECT)
    assert (seen["type"], seen["method"]) == ("http", "GET")
    bridge = get_bridge(seen)
    assert bridge is not None
    assert bridge.guarded is False, "nobody who is known has called"
    assert call.status == 200


def test_a_websocket_that_a_server_brings_to_the_application_itself_is_guarded() -> None:
    seen: list[Scope] = []
    application = make(seen)
    call = Call(CONNECT)

    async def test() -> None:
        await server_module("uvicorn.made_up").serve(application, websocket_scope(), call.receive, call.send)

    run(test)
    bridge = get_bridge(seen[0])
    assert bridge is not None
    assert bridge.guarded is True


def test_the_servers_send_proves_it_too_where_the_call_has_left_the_server() -> None:
    seen: list[Scope] = []
    application = make(seen)
    call = Call(CONNECT)

    async def test() -> None:
        cycle = server_module("uvicorn.made_up").Cycle(app=application)
        await application(websocket_scope(), call.receive, cycle.send)

    run(test)
    bridge = get_bridge(seen[0])
    assert bridge is not None
    assert bridge.guarded is True


def test_a_websocket_that_was_a_handshake_is_one_again() -> None:
    passed = Handshake({}, Accept(b""), None, WebSocketSettings(), ())  # type: ignore[arg-type]
    (seen,), _ = serve(websocket_scope(**{CONVERTED: passed}), CONNECT)
    assert seen["type"] == "http"
    assert isinstance(seen[HANDSHAKE], Handshake)
    bridge = get_bridge(seen)
    assert bridge is not None
    assert bridge.guarded is True


def test_a_websocket_that_is_not_to_be_one_stays_as_it_is() -> None:
    (seen,), call = serve(websocket_scope(**{CONVERTED: None}), CONNECT)
    assert seen["type"] == "websocket"
    assert call.types == ["websocket.accept"]


def test_only_the_origin_policy_guards_a_path_that_is_to_be_skipped() -> None:
    (seen,), call = serve(websocket_scope("/skipped/room"), CONNECT)
    assert (seen["type"], seen[CONVERTED]) == ("websocket", None)
    assert call.types == ["websocket.accept"]
    seen_of_evil, call = serve(websocket_scope("/skipped/room", headers=[(b"host", b"example.com"), EVIL]), CONNECT)
    assert seen_of_evil == []
    assert call.status == 403


# What is a handshake


def bridged() -> Bridge:
    call = Call()
    return Bridge(websocket_scope(), call.receive, call.send)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (handshake_scope(), True),
        (handshake_scope(method="POST"), False),
        (handshake_scope(headers=[]), False),
        (handshake_scope(headers=[*FIELDS[:2], (b"upgrade", b"foo, websocket")]), True),
        (handshake_scope(headers=[*FIELDS[:2], (b"upgrade", b"foo")]), False),
        (http_scope(), False),
        (http_scope(extensions={}), False),
        (http_scope(method="GET", headers=[], extensions={BRIDGE: bridged()}), True),
        (http_scope(headers=[], extensions={"http.upgrade": {"version": "1.2", "protocol": "websocket"}}), True),
        (http_scope(headers=[], extensions={"http.upgrade": {"version": "1.2", "protocol": "other"}}), False),
    ],
)
def test_what_is_a_handshake(scope: Scope, *, expected: bool) -> None:
    assert is_handshake(scope) is expected


# Behind the last middleware


def test_behind_the_last_middleware_only_requests_that_may_be_upgraded_are_looked_at() -> None:
    taken: list[str] = []

    async def take(scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> None:
        assert callable(receive)
        assert callable(send)
        taken.append(scope["path"])
        await app(scope, receive, send)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        served.append(scope["path"])

    served: list[str] = []

    async def test() -> None:
        taker = Taker(app, take)
        for scope in (
            http_scope("/offer", extensions={}),
            http_scope("/request"),
            websocket_scope("/websocket"),
            {"type": "lifespan", "path": "/lifespan"},
        ):
            await Call().run(taker, scope)
        assert taken == ["/offer"]
        assert served == ["/offer", "/request", "/websocket", "/lifespan"]

    run(test)


# The way inwards


class Link:
    def __init__(self, app: Any = None) -> None:
        if app is not None:
            self.app = app


def test_the_chain_goes_inwards_to_what_has_no_next() -> None:
    last = Link()
    inner = Link(last)
    outer = Link(inner)
    assert list(chain(outer)) == [outer, inner, last]
    assert list(chain(None)) == []


def test_the_chain_ends_at_a_function_and_in_a_circle() -> None:
    async def function(scope: Scope, receive: Receive, send: Send) -> None:
        """Has an attribute of another."""

    function.app = Link()  # type: ignore[attr-defined]
    outer = Link(function)
    assert list(chain(outer)) == [outer, function]
    circle = Link()
    circle.app = circle
    assert list(chain(circle)) == [circle]
