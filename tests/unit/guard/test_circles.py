"""Applications that lead back to one another: a guard is passed in the same form each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Router, WebSocketRoute

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.guard.adapters import adapt, adapt_layers
from tests.unit.guard.test_adapters import Guard, Layer, shake

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from asgi_upgrade.guard.handshake import Policy


async def room(websocket: Any) -> None:
    await websocket.accept()


def endpoint() -> ASGIApp:
    return WebSocketRoute("/", room).app


class Again(Layer):
    """Has another path served from the beginning."""

    top: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["path"] == "/alias":
            return await self.top({**scope, "path": "/secret"}, receive, send)
        return await self.app(scope, receive, send)


class Both(Layer):
    """Treats both kinds, so that its code does not show that it must get a WebSocket: it is named."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            return await send({"type": "websocket.close", "code": 1008})
        if scope["type"] == "http" and scope["method"] == "DELETE":
            return await PlainTextResponse("no", 405)(scope, receive, send)
        return await self.app(scope, receive, send)


def both(app: ASGIApp) -> ASGIApp:
    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http" and scope["method"] == "DELETE":
            await PlainTextResponse("no", 405)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return guard


def itself(app: ASGIApp) -> ASGIApp:
    """Goes on to a function that calls it again."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http" and scope["method"] == "DELETE":
            await PlainTextResponse("no", 405)(scope, receive, send)
        else:
            await (again if scope["path"] == "/alias" else app)(scope, receive, send)

    async def again(scope: Scope, receive: Receive, send: Send) -> None:
        await guard({**scope, "path": "/secret"}, receive, send)

    return guard


def object_that_leads_back(guard: Any, app: ASGIApp) -> Any:
    """The guard, then an object that leads back to it."""
    again = Again(app)
    again.top = guard(again)
    return again.top


def functions_that_lead_back(guard: Any, app: ASGIApp) -> Any:
    """A function, then a second that leads back to it, and the guard behind both."""
    guarded = guard(Layer(app))

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/alias":
            await second(scope, receive, send, path="/secret")
        else:
            await go_on(scope, receive, send)

    async def second(scope: Scope, receive: Receive, send: Send, path: str) -> None:
        await first({**scope, "path": path}, receive, send)

    async def go_on(scope: Scope, receive: Receive, send: Send) -> None:
        await guarded(scope, receive, send)

    return first


def object_in_a_function(guard: Any, app: ASGIApp) -> Any:
    """A function that keeps the guard, and an object that leads back to the function."""
    guarded = guard(Layer(app))

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        await (again if scope["path"] == "/alias" else guarded)(scope, receive, send)

    again = Again(guarded)
    again.top = first
    return first


@pytest.mark.parametrize("adapting", [adapt, adapt_layers])
@pytest.mark.parametrize("make", [object_that_leads_back, functions_that_lead_back, object_in_a_function])
@pytest.mark.parametrize("guard", [Guard, Both, both])
def test_nobody_gets_past_a_guard_by_the_way_back(adapting: Any, make: Callable[..., Any], guard: Any) -> None:
    policy: Policy = UpgradeMiddleware(Layer(None), websocket_middleware=[guard])
    around = adapting is adapt_layers
    app = adapting(make(guard, UpgradeMiddleware(endpoint()) if around else endpoint()), policy)
    statuses = [shake(app, path, approved=not around).status for path in ("/", "/secret", "/alias")]
    assert statuses == [101, 403, 403]


@pytest.mark.parametrize("adapting", [adapt, adapt_layers])
@pytest.mark.parametrize("named", ["function", "maker"])
def test_nor_by_what_a_guard_keeps_of_itself(adapting: Any, named: str) -> None:
    around = adapting is adapt_layers
    guard = itself(Layer(UpgradeMiddleware(endpoint()) if around else endpoint()))
    names: Any = guard if named == "function" else itself
    app = adapting(guard, UpgradeMiddleware(Layer(None), websocket_middleware=[names]))
    statuses = [shake(app, path, approved=not around).status for path in ("/", "/secret", "/alias")]
    assert statuses == [101, 403, 403]


def test_a_guard_that_was_found_is_passed_also_where_nothing_more_is_looked_at() -> None:
    app = adapt(object_that_leads_back(Guard, endpoint()), UpgradeMiddleware(Layer(None)), depth=2)
    assert shake(app, "/alias").status == 403


def test_a_router_is_found_by_the_way_back_too(caplog: pytest.LogCaptureFixture) -> None:
    """So it is known who answers, and nothing is said of the answer."""

    class Service:
        top: Any

        async def other(self, first: str, second: str, third: str) -> None:
            """Is no application, and looks like one."""

        async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse("no", 404)(scope, receive, send)

    outer, service = Layer(None), Service()
    service.top = outer
    vars(service).update(kept=Service().other)
    outer.app = service.serve
    vars(outer).update(site=Router())
    assert shake(adapt(outer, UpgradeMiddleware(Layer(None)))).status == 404
    assert caplog.records == []


@pytest.mark.parametrize("adapting", [adapt, adapt_layers])
def test_each_is_looked_at_once(adapting: Any) -> None:
    """Eight that all lead to each other are not followed along each way that there is."""
    policy: Policy = UpgradeMiddleware(Layer(None))
    layers = [Layer(Guard(Layer(endpoint()))) for _ in range(8)]
    for layer in layers:
        vars(layer).update({f"to{number}": other for number, other in enumerate(layers)})
    app = adapting(layers[0], policy)
    assert app is layers[0]
    assert shake(app).status == 101
    assert shake(app, "/secret").status == 403
