"""Middleware that cannot be made to see handshakes is named when the application starts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from starlette.middleware import Middleware
from starlette.routing import Mount, Router, WebSocketRoute

from tests.guard.apps.applications import UpgradeMiddleware, base, echo, plain, starlette, sub_routes, upgrade
from tests.guard.apps.guards import BaseGuard, FrozenGuard, OpaqueGuard, PureGuard
from tests.guard.support.deployments import Call

if TYPE_CHECKING:
    from starlette.types import ASGIApp

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


@pytest.mark.parametrize(
    "route",
    [
        Mount("/sub", routes=sub_routes, middleware=opaque),
        Mount("/sub", Router(sub_routes, middleware=opaque)),
        WebSocketRoute("/sub", echo, middleware=opaque),
        WebSocketRoute("/sub", echo, middleware=frozen),
    ],
    ids=["mount", "router", "route", "frozen"],
)
def test_middleware_of_a_route_that_hides_what_it_is_for_or_holds_on_to_it(
    caplog: pytest.LogCaptureFixture, route: Mount | WebSocketRoute
) -> None:
    start(starlette(base, upgrade, routes=[route]), caplog)
    assert re.search(r"will not see WebSocket handshakes: (Opaque|Frozen)Guard\.", warning(caplog))
