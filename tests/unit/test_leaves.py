"""What an application is taken for when an `UpgradeMiddleware` stands right around it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asgi_upgrade.guard.leaves import Kind, kind_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


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
