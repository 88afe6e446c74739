"""Middleware that cannot be made to see handshakes is named when the application starts."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import pytest
from starlette.middleware import Middleware
from starlette.routing import Mount, Router, WebSocketRoute

from tests.guard.apps.applications import UpgradeMiddleware, base, echo, plain, starlette, sub_routes, upgrade
from tests.guard.apps.guards import BaseGuard, FrozenGuard, OpaqueGuard, PureGuard
from tests.guard.support.deployments import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

frozen = [Middleware(FrozenGuard, name="frozen")]
opaque = [Middleware(OpaqueGuard, name="opaque")]


def warning(caplog: pytest.LogCaptureFixture) -> str:
    (line,) = [record.getMessage() for record in caplog.records if "will not see" in record.getMessage()]
    return line


def start(app: ASGIApp, caplog: pytest.LogCaptureFixture) -> None:
    """Start the application and open a WebSocket; the warning must be there already."""
    assert Call(caplog, lifespan=True, denial=True).connect(app, "/echo", {}).status == 101


def test_middleware_inside_around_an_application_that_we_do_not_know(caplog: pytest.LogCaptureFixture) -> None:
    start(UpgradeMiddleware(PureGuard(BaseGuard(plain, "inner"), "outer")), caplog)
    assert "UpgradeMiddleware" in warning(caplog)
    assert "PureGuard, BaseGuard. Add UpgradeMiddleware first, so that it is innermost" in warning(caplog)


def hiding(app: ASGIApp) -> ASGIApp:
    """Middleware that is a function."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return guard


@pytest.mark.parametrize("hide", [hiding, partial(OpaqueGuard, name="opaque")])
def test_middleware_inside_around_an_application_that_it_hides(
    caplog: pytest.LogCaptureFixture, hide: Callable[[ASGIApp], ASGIApp]
) -> None:
    start(UpgradeMiddleware(hide(starlette(base))), caplog)
    assert re.search(r"will not see WebSocket handshakes: (guard|OpaqueGuard)\.", warning(caplog))


@pytest.mark.parametrize(
    "route",
    [
        Mount("/sub", routes=sub_routes, middleware=opaque),
        Mount("/sub", Router(sub_routes, middleware=opaque)),
        Mount("/sub", OpaqueGuard(starlette(base), "opaque")),
        Mount("/sub", OpaqueGuard(Router(sub_routes), "opaque")),
        WebSocketRoute("/sub", echo, middleware=opaque),
        WebSocketRoute("/sub", echo, middleware=frozen),
    ],
    ids=["mount", "router", "around an application", "around a router", "route", "frozen"],
)
def test_middleware_of_a_route_that_hides_what_it_is_for_or_holds_on_to_it(
    caplog: pytest.LogCaptureFixture, route: Mount | WebSocketRoute
) -> None:
    start(starlette(base, upgrade, routes=[route]), caplog)
    assert re.search(r"will not see WebSocket handshakes: (Opaque|Frozen)Guard\.", warning(caplog))
