"""pytest plugin: every application that Starlette's `TestClient` is given has an `UpgradeMiddleware`.

A Starlette or FastAPI application gets it as the documentation says, innermost in its stack; or around it with
``--position around``. Any other application gets it around.
"""

from __future__ import annotations

from typing import Any

import peers_counting
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from asgi_upgrade import UpgradeMiddleware


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--position", choices=["inside", "around"], default="inside", help="where the middleware stands")


def pytest_configure(config: pytest.Config) -> None:
    peers_counting.count()
    around = config.getoption("position") == "around"
    create = TestClient.__init__

    def create_with_middleware(self: TestClient, app: Any, *arguments: Any, **options: Any) -> None:
        create(self, app, *arguments, **options)
        if not around and isinstance(app, Starlette) and _add(app):
            return
        # `client.app` stays what the test gave, because tests look things up there. The lifespan runs it, too.
        wrapped = UpgradeMiddleware(self.app)
        transport: Any = self._transport  # one of httpx or of its successor
        transport.app = wrapped

    TestClient.__init__ = create_with_middleware  # type: ignore[method-assign]


def _add(app: Starlette) -> bool:
    added: list[Any] = [each.cls for each in app.user_middleware]
    if UpgradeMiddleware in added:
        return True
    if app.middleware_stack is not None:
        return False  # too late
    app.user_middleware.append(Middleware(UpgradeMiddleware))
    return True
