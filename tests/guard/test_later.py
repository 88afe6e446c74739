"""Applications that change when they have been running already, and those that begin with a WebSocket."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from starlette.routing import Mount, Router, WebSocketRoute

from tests.guard.apps.applications import (
    BOTH,
    INNER,
    UpgradeMiddleware,
    base,
    echo,
    fastapi,
    inner,
    outside,
    pure,
    starlette,
    sub_routes,
    upgrade,
)
from tests.guard.apps.guards import BaseGuard
from tests.guard.apps.notes import NOTES
from tests.guard.support.deployments import Call
from tests.server.support.peer import KEY_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send


@pytest.fixture
def seen_by(caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Opens a WebSocket, and gives the guards that saw its handshake; those that passed it on before are left out."""
    call = Call(caplog, lifespan=False, denial=True)

    def get(app: ASGIApp, path: str = "/echo") -> list[str]:
        key = secrets.token_hex(8)
        assert call.connect(app, path, {KEY_HEADER: key}).status == 101
        noted = [name for noted_key, name in NOTES if noted_key == key]
        assert noted.pop() == "endpoint"
        return [name.removesuffix(" http") for name in noted if name.endswith(" http")]

    return get


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mount("/later", starlette(*inner)),
        lambda: Mount("/later", Router(sub_routes, middleware=inner)),
        lambda: WebSocketRoute("/later/echo", echo, middleware=inner),
    ],
    ids=["application", "router", "route"],
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_routes_are_added(seen_by: Callable[..., list[str]], make: Callable[[], BaseRoute], *, wrapped: bool) -> None:
    mounted = Router([*sub_routes])
    app = starlette(base, *([] if wrapped else [upgrade]), routes=[Mount("/sub", mounted)])
    called = UpgradeMiddleware(app) if wrapped else app
    assert seen_by(called) == ["base"]
    app.router.routes.append(make())
    assert seen_by(called, "/later/echo") == ["base", *INNER]
    mounted.routes.append(make())
    assert seen_by(called, "/sub/later/echo") == ["base", *INNER]


def test_routes_are_replaced(seen_by: Callable[..., list[str]]) -> None:
    app = starlette(base, upgrade)
    assert seen_by(app) == ["base"]
    app.router.routes = [Mount("/later", starlette(*inner)), WebSocketRoute("/echo", echo)]
    assert seen_by(app, "/later/echo") == ["base", *INNER]


def test_a_mounted_application_gets_its_first_middleware(seen_by: Callable[..., list[str]]) -> None:
    mounted = starlette()
    app = starlette(base, upgrade, routes=[Mount("/sub", mounted)])
    assert seen_by(app) == ["base"]
    mounted.add_middleware(BaseGuard, name="later")
    assert seen_by(app, "/sub/echo") == ["base", "later"]


def test_the_stack_of_a_mounted_application_is_built_anew(seen_by: Callable[..., list[str]]) -> None:
    mounted = starlette(pure)
    app = starlette(base, upgrade, routes=[Mount("/sub", mounted)])
    assert seen_by(app, "/sub/echo") == list(BOTH)
    rebuild(mounted)
    assert seen_by(app, "/sub/echo") == list(BOTH)


def rebuild(app: Starlette) -> None:
    app.middleware_stack = app.build_middleware_stack()


def forget(app: Starlette) -> None:
    app.middleware_stack = None


@pytest.mark.parametrize("change", [rebuild, forget])
@pytest.mark.parametrize("wrapped", [True, False])
def test_the_stack_is_built_anew(
    seen_by: Callable[..., list[str]], change: Callable[[Starlette], None], *, wrapped: bool
) -> None:
    app = starlette(base, pure) if wrapped else starlette(base, upgrade, pure)
    called = UpgradeMiddleware(app) if wrapped else app
    assert seen_by(called) == list(BOTH)
    change(app)
    assert seen_by(called) == list(BOTH)


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_stack_is_wrapped(seen_by: Callable[..., list[str]], *, wrapped: bool) -> None:
    app = starlette(base) if wrapped else starlette(base, upgrade)
    called = UpgradeMiddleware(app) if wrapped else app
    assert seen_by(called) == ["base"]
    assert app.middleware_stack is not None
    app.middleware_stack = outside(app.middleware_stack)
    assert seen_by(called) == ["outside", "base"]


def test_the_first_of_all_has_been_converted_further_out(seen_by: Callable[..., list[str]]) -> None:
    """By an `UpgradeMiddleware` that cannot know what else there is inside."""
    inside = fastapi("upgrade", "base")

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        await (inside if scope["path"] == "/echo" else starlette())(scope, receive, send)

    app = UpgradeMiddleware(dispatch)
    for _ in range(2):
        assert seen_by(app) == ["base"]
