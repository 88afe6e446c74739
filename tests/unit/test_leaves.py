"""What an application is taken for when an `UpgradeMiddleware` stands right around it."""

from __future__ import annotations

import asyncio
import operator
import sys
from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

from asgi_upgrade.guard import adapters
from asgi_upgrade.guard.adapters import Leaf, adapt
from asgi_upgrade.guard.leaves import Kind, kind_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


def test_a_class_that_is_called_with_a_scope_and_awaited_answers_itself() -> None:
    class Application:
        def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
            """Keep them."""

        def __await__(self) -> None:
            """Answer."""

    assert kind_of(Application, placed=True) is Kind.LEAF
    assert kind_of(Application) is Kind.LAYER


def test_what_an_application_waits_for_is_no_application_inside() -> None:
    """Primitives of asyncio keep the event loop from when they are waited for, and that refers to everything."""

    class Application:
        def __init__(self) -> None:
            self.orders: asyncio.Queue[str] = asyncio.Queue()

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            """Answer."""

    async def waited_for() -> Application:
        application = Application()
        waiting = asyncio.create_task(application.orders.get())
        await asyncio.sleep(0)
        waiting.cancel()
        return application

    assert kind_of(asyncio.run(waited_for())) is Kind.LEAF


class Keeps:
    """An application that answers both kinds in its own way, and keeps something."""

    def __init__(self, kept: object) -> None:
        self.kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept", "subprotocol": "graphql-transport-ws"})
        else:
            await Response("a page")(scope, receive, send)


@pytest.mark.parametrize(
    "kept",
    [sys.modules[__name__].__dict__, [{"namespace": globals()}], operator.methodcaller("isoformat"), list[int]],
    ids=["namespace", "namespace inside", "methodcaller", "list[int]"],
)
def test_what_an_application_keeps_to_look_things_up_is_no_application_inside(kept: object) -> None:
    assert kind_of(Keeps(kept)) is Kind.LEAF


@pytest.mark.parametrize(
    "module", ["ariadne.asgi.graphql", "blacksheep.server", "litestar.app", "quart.app", "strawberry.asgi"]
)
def test_an_application_of_a_framework_is_no_middleware_whatever_it_keeps(
    module: str, caplog: pytest.LogCaptureFixture
) -> None:
    application = type("Application", (Keeps,), {"__module__": module})(guarded(made_of_functions()))
    assert kind_of(application) is Kind.LEAF
    assert isinstance(adapt(application, None), Leaf)
    assert caplog.records == []
    # The same of nobody's package may be a middleware.
    adapters._unclear.clear()
    assert adapt(Keeps(application.kept), None) is not None
    assert "treats WebSockets in its own way" in caplog.text


def test_functions_that_are_made_together_are_one_application() -> None:
    assert kind_of(made_of_functions(), placed=True) is Kind.LEAF
    assert kind_of(made_of_functions()) is Kind.LAYER


def test_a_function_that_was_given_to_another_may_stand_behind_a_guard() -> None:
    assert kind_of(guarded(made_of_functions()), placed=True) is Kind.LAYER


def made_of_functions() -> ASGIApp:
    async def pages(scope: Scope, receive: Receive, send: Send) -> None:
        """Answer requests."""

    async def rooms(scope: Scope, receive: Receive, send: Send) -> None:
        """Answer WebSockets."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await (pages if scope["type"] == "http" else rooms)(scope, receive, send)

    return application


def guarded(app: ASGIApp) -> ASGIApp:
    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return guard
