"""Fixtures of asgi-upgrade for pytest.

It is a module of its own because pytest imports plugins in every environment that they are installed in: importing the
package here would import Starlette, and teach it handshakes, in test suites that do not use it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Any

import pytest

__all__ = ["upgrade_client", "upgrade_server"]


@pytest.fixture
def upgrade_client() -> Callable[..., AbstractAsyncContextManager[Any]]:
    """A function that opens an HTTPX client for an application. No server is needed.

    The lifespan of the application runs as long as the client is open.

    Its arguments are the application, ``base_url`` (``"http://test"``), ``lifespan`` (``True``), and more for HTTPX's
    ``AsyncClient``, such as ``cookies``::

        async def test_chat(upgrade_client):
            async with upgrade_client(app) as client, connect_websocket(client, "/chat") as websocket:
                await websocket.send_text("hello")
    """

    @asynccontextmanager
    async def connect(
        app: Any, *, base_url: str = "http://test", lifespan: bool = True, **options: Any
    ) -> AsyncIterator[Any]:
        from asgi_upgrade.testing import UpgradeTransport
        from asgi_upgrade.testing.libraries import installed

        transport = UpgradeTransport(app, lifespan=lifespan)
        async with installed[0].httpx.AsyncClient(transport=transport, base_url=base_url, **options) as client:
            yield client

    return connect


@pytest.fixture
def upgrade_server() -> Iterator[Callable[..., str]]:
    """A function that runs an application on uvicorn, on a free port, until the test ends. It returns the URL.

    Its arguments are the application and more for ``uvicorn.Config``. For browsers, and clients of other languages::

        def test_chat(upgrade_server):
            url = upgrade_server(app)
    """
    with ExitStack() as servers:

        def start(app: Any, **options: Any) -> str:
            from asgi_upgrade.testing.server import run_server

            return servers.enter_context(run_server(app, **options))

        yield start
