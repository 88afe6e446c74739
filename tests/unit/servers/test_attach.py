"""Which servers an application's lifespan extends, and what is said of the others."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import hypercorn.config
import pytest
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from uvicorn.config import Config
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.h11_impl import H11Protocol

import asgi_upgrade.servers.uvicorn
from asgi_upgrade import H2CSettings, UpgradeMiddleware
from asgi_upgrade.servers import attach_to_server
from asgi_upgrade.servers.hypercorn.protocol import extended
from asgi_upgrade.servers.uvicorn.edge import edge_of
from tests.unit.calls import CONNECT, Call, websocket_scope
from tests.unit.servers.uvicorn_connection import NAMES, PARSERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send


class Foreign(H11Protocol):
    """Not one of uvicorn's own."""


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Nothing but a lifespan."""
    for kind in ("startup", "shutdown"):
        assert (await receive())["type"] == f"lifespan.{kind}"
        await send({"type": f"lifespan.{kind}.complete"})


@asynccontextmanager
async def started(app: ASGIApp, http: Any = "h11") -> AsyncIterator[Config]:
    """A server whose lifespan runs."""
    config = Config(app, http=http, lifespan="on", ws="none", log_config=None)
    config.load()
    lifespan = LifespanOn(config)
    await lifespan.startup()
    assert not lifespan.should_exit
    yield config
    await lifespan.shutdown()


def in_a_task(app: ASGIApp) -> ASGIApp:
    """What some middleware does."""

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.create_task(inner(scope, receive, send))

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return outer


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("extends", [True, False])
@pytest.mark.parametrize("around", [lambda app: app, in_a_task])
def test_the_server_that_runs_the_application_is_extended(
    parser: str, around: Any, caplog: pytest.LogCaptureFixture, *, extends: bool
) -> None:
    async def test() -> None:
        h2c = H2CSettings()
        async with (
            started(application) as before,
            started(around(UpgradeMiddleware(application, extend_server=extends, h2c=h2c)), parser) as config,
            started(application) as behind,
        ):
            assert before.http_protocol_class is behind.http_protocol_class is H11Protocol
            assert edge_of(before).settings is None
            settings = edge_of(config).settings
            assert settings is not None
            assert settings.h2c is h2c
            expected = getattr(asgi_upgrade.servers.uvicorn, NAMES[parser])
            assert (config.http_protocol_class is expected) is extends

    with caplog.at_level(logging.WARNING, "asgi_upgrade"):
        asyncio.run(asyncio.wait_for(test(), 60))
    assert [each.levelname for each in caplog.records if "does not offer" in each.getMessage()] == (
        [] if extends else ["WARNING"]
    )
    assert ("h2c cannot be offered" in caplog.text) is not extends


@pytest.mark.parametrize(
    ("http", "in_lifespan", "problem"),
    [
        ("asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol", True, None),
        ("asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol", False, None),
        ("h11", False, "add it to the outermost application"),
        (Foreign, True, "uvicorn runs with Foreign, which is not one of its own protocols"),
        (Foreign, False, "add it to the outermost application"),
    ],
)
def test_what_stands_against_it(
    http: Any, problem: str | None, caplog: pytest.LogCaptureFixture, *, in_lifespan: bool
) -> None:
    answers: list[bool] = []

    async def asking(scope: Scope, receive: Receive, send: Send) -> None:
        answers.append(attach_to_server(change=True, in_lifespan=in_lifespan))
        await application(scope, receive, send)

    async def test() -> None:
        async with started(asking, http) as config:
            before = Config(asking, http=http, ws="none", log_config=None)
            before.load()
            assert config.http_protocol_class is before.http_protocol_class

    with caplog.at_level(logging.WARNING, "asgi_upgrade"):
        asyncio.run(asyncio.wait_for(test(), 60))
    assert answers == [problem is None]
    lines = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert [each for each in lines if "does not offer http.upgrade" in each] == lines
    assert len(lines) == (problem is not None)
    assert all(str(problem) in each for each in lines)


# A WebSocket that the server delivers to a middleware without a lifespan


async def deliver_websocket(app: ASGIApp) -> int | None:
    """Deliver a WebSocket as a server would; return the status of the refusal."""
    call = Call(CONNECT)
    await asyncio.create_task(call.run(app, websocket_scope()))
    return call.status


def test_a_middleware_that_has_seen_no_lifespan_says_so_with_the_first_websocket(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        middleware = UpgradeMiddleware(application)
        async with started(application) as config:
            for _ in range(2):
                assert await deliver_websocket(middleware) == 503
            assert config.http_protocol_class is H11Protocol

    with caplog.at_level(logging.WARNING, "asgi_upgrade"):
        asyncio.run(asyncio.wait_for(test(), 60))
    (line,) = [each.getMessage() for each in caplog.records if "does not offer" in each.getMessage()]
    assert "(this UpgradeMiddleware has not been called with uvicorn's lifespan" in line


def test_a_websocket_does_not_extend_hypercorn() -> None:
    async def test() -> None:
        config = hypercorn.config.Config()
        lifespan = Lifespan(ASGIWrapper(application), config, asyncio.get_running_loop(), {})  # type: ignore[arg-type]
        task = asyncio.create_task(lifespan.handle_lifespan())
        await lifespan.wait_for_startup()
        assert await deliver_websocket(UpgradeMiddleware(application)) == 503
        assert config not in extended
        await lifespan.wait_for_shutdown()
        task.cancel()

    asyncio.run(asyncio.wait_for(test(), 60))
