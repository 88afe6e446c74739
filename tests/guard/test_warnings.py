"""What the log says of middleware and applications for which it is not clear what they need."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, WebSocketRoute

from asgi_upgrade.guard import adapters
from tests.guard.apps.applications import UpgradeMiddleware, base, echo, plain, starlette, upgrade
from tests.guard.apps.guards import BaseGuard, FrozenGuard, OpaqueGuard, PureGuard
from tests.guard.support.deployments import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from tests.guard.support.outcome import Outcome


def closure(app: ASGIApp) -> ASGIApp:
    """Middleware that is a function."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return guard


opaque = [Middleware(OpaqueGuard, name="opaque")]
frozen = [Middleware(FrozenGuard, name="frozen")]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What has been logged, besides that no server runs here."""
    lines = [record.getMessage() for record in caplog.records if record.levelname != "INFO"]
    return [line for line in lines if "uvicorn does not offer" not in line]


@pytest.fixture
def shake(caplog: pytest.LogCaptureFixture) -> Callable[..., Outcome]:
    call = Call(caplog, lifespan=True, denial=True)
    return lambda app, path="/echo": call.connect(app, path, {})


@pytest.mark.parametrize(
    "app",
    [
        UpgradeMiddleware(PureGuard(BaseGuard(plain, "inner"), "outer")),
        UpgradeMiddleware(OpaqueGuard(plain, "opaque")),
        UpgradeMiddleware(FrozenGuard(plain, "frozen")),
        UpgradeMiddleware(closure(starlette(base))),
        starlette(base, upgrade, routes=[Mount("/sub", PureGuard(plain, "guard"))]),
        starlette(base, upgrade, routes=[Mount("/sub", OpaqueGuard(PureGuard(plain, "guard"), "opaque"))]),
        starlette(base, upgrade, routes=[WebSocketRoute("/sub/echo", echo, middleware=opaque)]),
        starlette(base, upgrade, routes=[WebSocketRoute("/sub/echo", echo, middleware=frozen)]),
    ],
    ids=["pure", "opaque", "frozen", "closure", "mounted", "mounted opaque", "opaque of a route", "frozen of a route"],
)
def test_nothing_is_said_where_each_guard_sees_the_handshake(
    shake: Callable[..., Outcome], caplog: pytest.LogCaptureFixture, app: ASGIApp
) -> None:
    outcome = shake(app, "/sub/echo")
    if outcome.status != 101:
        outcome = shake(app)
    assert outcome.status == 101
    assert outcome.all("x-guard") or isinstance(app, UpgradeMiddleware)
    assert said(caplog) == []


@pytest.mark.parametrize("hide", [closure, lambda app: partial(closure(app))])
def test_what_may_hide_a_guard_is_named_with_the_cure(
    shake: Callable[..., Outcome], caplog: pytest.LogCaptureFixture, hide: Callable[[ASGIApp], ASGIApp]
) -> None:
    app = starlette(base, upgrade, routes=[Mount("/sub", hide(plain))])
    for _ in range(2):
        assert shake(app, "/sub/echo").status == 200, "its page"
    (line,) = said(caplog)
    assert "has answered a WebSocket handshake with 200" in line
    assert "UpgradeMiddleware(application)" in line
    assert "websocket_middleware=[" in line


def test_the_cure_inside_the_guard(shake: Callable[..., Outcome], caplog: pytest.LogCaptureFixture) -> None:
    app = starlette(base, upgrade, routes=[Mount("/sub", closure(UpgradeMiddleware(plain)))])
    assert shake(app, "/sub/echo").status == 101
    assert said(caplog) == []


def test_the_cure_by_name(shake: Callable[..., Outcome]) -> None:
    hidden = closure(plain)

    class Told(UpgradeMiddleware):
        def __init__(self, app: ASGIApp) -> None:
            super().__init__(app)
            self.websocket_middleware = (hidden,)

    app = starlette(base, Middleware(Told), routes=[Mount("/sub", hidden)])
    outcome = shake(app, "/sub/echo")
    assert outcome.status == 101
    assert outcome.all("x-guard") == ["base"]


def refuses(name: str) -> Callable[[ASGIApp], ASGIApp]:
    """A guard that is a function, and refuses."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def guard(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await PlainTextResponse(name, 401)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return guard

    return wrap


def test_a_refusal_is_no_reason_to_say_anything(
    shake: Callable[..., Outcome], caplog: pytest.LogCaptureFixture
) -> None:
    app = starlette(base, upgrade, routes=[Mount("/sub", refuses("no")(plain))])
    assert shake(app, "/sub/echo").status == 401
    assert said(caplog) == []


class TwoFaced:
    """Treats requests and WebSockets differently."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and b"chat" in dict(scope["headers"]).get(b"sec-websocket-protocol", b""):
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http" and scope["path"] == "/secret":
            await send({"type": "http.response.start", "status": 404})
        else:
            await self.app(scope, receive, send)


def test_a_middleware_with_two_faces_is_named_at_startup(caplog: pytest.LogCaptureFixture) -> None:
    adapters._unclear.clear()
    for _ in range(2):
        app = starlette(Middleware(TwoFaced), base, upgrade)
        app.middleware_stack = app.build_middleware_stack()
    (line,) = said(caplog)
    assert f"{TwoFaced.__module__}.TwoFaced treats WebSockets in its own way" in line
    assert "websocket_middleware=[TwoFaced]" in line
