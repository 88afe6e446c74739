"""The lifespan without a server: started once, stopped once, and its failures said."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_upgrade import H2CSettings, UpgradeMiddleware
from asgi_upgrade.testing import LifespanError, UpgradeTransport, run_lifespan

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_requests_see_the_state_and_not_that_of_others() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        seen.append("start")
        yield {"name": "database"}
        seen.append("stop")

    async def endpoint(request: Request) -> PlainTextResponse:
        text = request.state.name
        request.state.name = "changed"
        return PlainTextResponse(text)

    app = Starlette(routes=[Route("/", endpoint)], lifespan=lifespan)
    transport = UpgradeTransport(app, lifespan=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert seen == ["start"]
        assert [(await client.get("/")).text for _ in range(2)] == ["database"] * 2
    assert seen == ["start", "stop"]


async def test_a_startup_that_fails_is_raised_with_its_cause() -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        raise ZeroDivisionError("no database")
        yield

    with pytest.raises(LifespanError, match=r"startup has failed: ZeroDivisionError: no database") as caught:
        async with run_lifespan(Starlette(lifespan=lifespan)):
            pytest.fail("it has started")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_a_shutdown_that_fails_is_raised() -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        yield
        raise ZeroDivisionError("still open")

    with pytest.raises(LifespanError, match=r"shutdown has failed: ZeroDivisionError: still open"):
        async with run_lifespan(Starlette(lifespan=lifespan)):
            pass


async def test_an_application_without_a_lifespan_is_no_success() -> None:
    async def raising(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    async def returning(scope: Any, receive: Any, send: Any) -> None:
        return

    for app, words in ((raising, "has raised AssertionError"), (returning, "it has no lifespan")):
        with pytest.raises(LifespanError, match=words):
            async with run_lifespan(app):
                pytest.fail("it has started")


async def test_a_startup_has_an_end() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    before = asyncio.all_tasks()
    with pytest.raises(LifespanError, match=r"startup takes longer than 0.1 s"):
        async with run_lifespan(app, timeout=0.1):
            pytest.fail("it has started")
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_there_is_no_server_to_complain_about(caplog: pytest.LogCaptureFixture) -> None:
    import uvicorn  # noqa: F401 - it is imported, and it does not run

    app = Starlette(middleware=[Middleware(UpgradeMiddleware, h2c=H2CSettings())])
    with caplog.at_level(logging.INFO, "asgi_upgrade"):
        async with run_lifespan(app):
            pass
    assert caplog.messages == []
