"""How the stacks of Starlette's applications are built where there are policies and middleware for WebSockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.guard import adapters
from asgi_upgrade.guard.adapters import AsHandshake, AsWebSocket
from asgi_upgrade.guard.building import policies_of
from asgi_upgrade.guard.gate import Gate, chain
from tests.unit.calls import page

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Layer:
    def __init__(self, app: ASGIApp, *arguments: Any, **options: Any) -> None:
        self.app = app
        self.arguments, self.options = arguments, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Guard(Layer):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, send)


class TwoFaced(Layer):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            await page(scope, receive, send)


def guard_function(app: ASGIApp) -> ASGIApp:
    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await app(scope, receive, send)

    return guard


upgrade = Middleware(UpgradeMiddleware)


def build(application: Starlette) -> list[Any]:
    """The stack from the outermost inwards, without the gate."""
    application.middleware_stack = application.build_middleware_stack()
    nodes = list(chain(application.middleware_stack))
    return nodes[1:] if isinstance(nodes[0], Gate) else nodes


@pytest.mark.parametrize("kind", [Starlette, FastAPI, type("Own", (Starlette,), {}), type("OwnAPI", (FastAPI,), {})])
def test_a_guard_for_websockets_stands_between_two_adapters(kind: type[Starlette]) -> None:
    application = kind(middleware=[Middleware(Guard, two=2), upgrade])
    nodes = build(application)
    place = next(number for number, node in enumerate(nodes) if isinstance(node, Guard))
    assert isinstance(nodes[place - 1], AsWebSocket)
    assert isinstance(nodes[place + 1], AsHandshake)
    assert nodes[place].options == {"two": 2}
    assert [each.cls for each in application.user_middleware] == [Guard, UpgradeMiddleware], "as it was"  # type: ignore[comparison-overlap]


def test_any_other_middleware_stands_as_it_was_added() -> None:
    nodes = build(Starlette(middleware=[Middleware(Layer), upgrade, Middleware(Layer)]))
    assert not any(isinstance(node, AsWebSocket | AsHandshake) for node in nodes)
    assert [type(node) for node in nodes[1:4]] == [Layer, UpgradeMiddleware, Layer]


def test_a_function_that_makes_a_guard_is_adapted_too() -> None:
    nodes = build(Starlette(middleware=[Middleware(guard_function), upgrade]))
    assert any(isinstance(node, AsWebSocket) for node in nodes)


def test_what_a_policy_names_is_adapted_whatever_it_is() -> None:
    told = Middleware(UpgradeMiddleware, websocket_middleware=[Layer])
    nodes = build(Starlette(middleware=[Middleware(Layer), told]))
    assert [type(node) for node in nodes[1:4]] == [AsWebSocket, Layer, AsHandshake]


def test_an_adapter_asks_the_outermost_policy() -> None:
    application = Starlette(middleware=[Middleware(Guard), upgrade, upgrade])
    nodes = build(application)
    policies = [node for node in nodes if isinstance(node, UpgradeMiddleware)]
    assert len(policies) == 2
    (adapter,) = (node for node in nodes if isinstance(node, AsWebSocket))
    assert adapter.policy is policies[0]
    assert policies_of(application) == [policies[1], policies[0]], "the innermost first"


def test_without_a_policy_the_one_further_in_decides() -> None:
    application = Starlette(middleware=[Middleware(Guard)])
    (adapter,) = (node for node in build(application) if isinstance(node, AsWebSocket))
    assert adapter.policy is None
    assert policies_of(application) == policies_of(Starlette()) == []


def test_each_stack_has_its_own_policies() -> None:
    application = Starlette(middleware=[upgrade])
    build(application)
    (first,) = policies_of(application)
    build(application)
    (second,) = policies_of(application)
    assert first is not second
    UpgradeMiddleware(page)
    assert policies_of(application) == [second]


def test_a_subclass_that_builds_its_stack_itself_is_adapted_once() -> None:
    class Own(Starlette):
        def build_middleware_stack(self) -> ASGIApp:
            return Layer(super().build_middleware_stack())

    application = Own(middleware=[Middleware(Guard), upgrade])
    nodes = build(application)
    assert isinstance(nodes[0], Layer)
    assert len([node for node in nodes if isinstance(node, AsWebSocket)]) == 1
    assert len(policies_of(application)) == 1


def test_a_subclass_that_builds_its_stack_alone_is_adapted_too() -> None:
    class Alone(Starlette):
        def build_middleware_stack(self) -> ASGIApp:
            app: ASGIApp = self.router
            for each in reversed(self.user_middleware):
                kind: Any = each.cls
                app = kind(app, *each.args, **each.kwargs)
            return app

    nodes = build(Alone(middleware=[Middleware(Guard), upgrade]))
    assert [type(node) for node in nodes[:4]] == [AsWebSocket, Guard, AsHandshake, UpgradeMiddleware]


@pytest.mark.parametrize("with_policy", [True, False])
def test_what_is_unclear_is_said_where_there_is_a_policy(
    caplog: pytest.LogCaptureFixture, *, with_policy: bool
) -> None:
    adapters._unclear.clear()
    nodes = build(Starlette(middleware=[Middleware(TwoFaced), *([upgrade] if with_policy else [])]))
    assert not any(isinstance(node, AsWebSocket) for node in nodes)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(" ")[0] for line in lines] == [f"{__name__}.TwoFaced"] * with_policy


def test_a_middleware_that_fails_leaves_nothing_behind() -> None:
    class Failing:
        def __init__(self, app: ASGIApp) -> None:
            raise ValueError("a mistake")

    failing = Starlette(middleware=[Middleware(Failing), upgrade])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a mistake"):
        build(failing)
    UpgradeMiddleware(page)
    application = Starlette(middleware=[upgrade])
    build(application)
    assert len(policies_of(application)) == 1
