"""What an application is taken for when an `UpgradeMiddleware` stands right around it."""

from __future__ import annotations

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
