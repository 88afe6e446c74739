"""The lifespan without a server: started once, stopped once, and its failures said."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
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
from tests.unit.waiting import turns

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


def raw(after: Any, *messages: dict[str, Any]) -> Any:
    """An application that sends these messages, one for each that it gets, and then does something."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await receive()
            await send(message)
        await after()

    return app


STARTED, STOPPED = {"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}
FAILED = {"type": "lifespan.startup.failed"}


async def test_the_application_is_called_as_a_server_calls_it() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        for message in (STARTED, STOPPED):
            seen.append(await receive())
            await send(message)

    async with run_lifespan(app) as state:
        assert state == {}
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    assert seen == [scope, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]


@pytest.mark.parametrize("message", [{}, {"message": ""}])
async def test_a_failure_needs_no_words(message: dict[str, Any]) -> None:
    with pytest.raises(LifespanError, match=r"^The application's startup has failed: $"):
        async with run_lifespan(raw(turns, {**FAILED, **message})):
            pytest.fail("it has started")


async def test_what_an_application_raises_a_little_after_it_has_failed_is_the_cause() -> None:
    async def fail() -> None:
        await turns()
        raise ZeroDivisionError

    with pytest.raises(LifespanError, match="startup has failed: words") as caught:
        async with run_lifespan(raw(fail, {**FAILED, "message": "more\nwords"})):
            pytest.fail("it has started")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_an_application_that_has_stopped_may_come_to_its_end() -> None:
    ended: list[bool] = []

    async def end() -> None:
        await turns()
        ended.append(True)

    async with run_lifespan(raw(end, STARTED, STOPPED)):
        pass
    assert ended == [True]


@pytest.mark.parametrize("messages", [(), (FAILED,), (STARTED, STOPPED)])
@pytest.mark.parametrize("stubborn", [False, True])
async def test_an_application_that_does_not_end_is_cancelled(*, messages: Any, stubborn: bool) -> None:
    """Nobody waits for ever for one that does not want to be cancelled."""
    before = asyncio.all_tasks()
    ended: list[bool] = []
    over = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await (over.wait() if stubborn else turns())
            ended.append(True)

    with suppress(LifespanError):
        async with run_lifespan(raw(hang, *messages), timeout=0.1):
            assert len(messages) == 2
    assert ended == ([] if stubborn else [True])
    over.set()
    await turns()
    assert asyncio.all_tasks() == before


async def test_there_is_no_server_to_complain_about(caplog: pytest.LogCaptureFixture) -> None:
    import uvicorn  # noqa: F401 - it is imported, and it does not run

    app = Starlette(middleware=[Middleware(UpgradeMiddleware, h2c=H2CSettings())])
    with caplog.at_level(logging.INFO, "asgi_upgrade"):
        async with run_lifespan(app):
            pass
    assert caplog.messages == []
