"""Which servers an application's lifespan extends, and what is said of the others."""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from uvicorn.config import Config
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.h11_impl import H11Protocol

import asgi_upgrade.servers.uvicorn
from asgi_upgrade import H2CSettings, TLSSettings, UpgradeMiddleware
from asgi_upgrade.servers import attach_to_server
from asgi_upgrade.servers.uvicorn.edge import edge_of
from tests.unit.calls import REQUEST, Call, Extension, http_scope, run
from tests.unit.guard.test_adapters import Guard, Layer
from tests.unit.servers.test_uvicorn_logs import alone
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
        run(test)
    problem = "extend_server=False, and uvicorn was not started with one of our protocols"
    lines = [each.getMessage() for each in caplog.records if "does not offer" in each.getMessage()]
    assert [line.partition(": its own")[0] for line in lines] == (
        [] if extends else [f"uvicorn does not offer http.upgrade ({problem})"]
    )
    assert ("h2c cannot be offered" in caplog.text) is not extends


EXTENDED = "asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol"
MOUNTED = (
    "this UpgradeMiddleware has not been called with uvicorn's lifespan, which mounted applications are not: "
    "add it to the outermost application"
)


@pytest.mark.parametrize(
    ("http", "in_lifespan", "problem"),
    [
        (EXTENDED, True, None),
        (EXTENDED, False, None),
        ("h11", False, MOUNTED),
        (Foreign, True, "uvicorn runs with Foreign, which is not one of its own protocols"),
        (Foreign, False, MOUNTED),
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
        run(test)
    assert answers == [problem is None]
    lines = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    advice = "Start it with http='asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol'."
    rest = f": its own WebSockets are used, and no other protocol can be switched to. {advice}"
    assert lines == ([f"uvicorn does not offer http.upgrade ({problem}){rest}"] if problem else [])


def test_a_lifespan_that_no_server_runs_extends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        assert not attach_to_server(change=True)

    with caplog.at_level(logging.WARNING, "asgi_upgrade"):
        run(test)
    [line] = caplog.messages
    assert line.startswith("uvicorn does not offer http.upgrade (it does not run this application's lifespan): ")


def test_the_line_about_it_comes_to_uvicorns_handlers() -> None:
    async def test() -> None:
        async with started(UpgradeMiddleware(application)):
            pass

    with alone() as uvicorn:
        run(test)
        assert [line for line in uvicorn.messages if line.startswith("uvicorn offers http.upgrade now; ")]


@pytest.mark.parametrize("h2c", [True, False])
def test_what_speaks_h2c_is_imported_before_the_first_client_wants_it(
    monkeypatch: pytest.MonkeyPatch, *, h2c: bool
) -> None:
    name = "asgi_upgrade.http2.upgrade"
    package = importlib.import_module("asgi_upgrade.http2")
    monkeypatch.setattr(package, "upgrade", importlib.import_module(name))  # there again after the test
    monkeypatch.delitem(sys.modules, name)
    settings = H2CSettings() if h2c else None
    tls = TLSSettings(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    async def test() -> None:
        async with started(UpgradeMiddleware(application, h2c=settings, tls=tls)):
            assert (name in sys.modules) is h2c

    run(test)


@pytest.mark.parametrize("http", ["h11", EXTENDED])
@pytest.mark.parametrize(
    ("around", "options", "sees"),
    [
        (Guard, {}, "websocket"),
        (Layer, {}, "http"),
        (Layer, {"websocket_middleware": [Layer]}, "websocket"),
        (Guard, None, "http"),  # what asks decides on no handshakes
    ],
)
def test_what_stands_around_the_middleware_that_asks_is_adapted_to_handshakes(
    http: str, around: Any, options: dict[str, Any] | None, sees: str
) -> None:
    async def asking(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            assert options is not None or attach_to_server(change=True)
            await application(scope, receive, send)

    layer = around(asking if options is None else UpgradeMiddleware(asking, **options))

    async def test() -> None:
        async with started(layer, http) as config:
            scope = http_scope("/secret", extensions={"http.upgrade": Extension()})
            await Call(REQUEST).run(config.loaded_app, scope)
            assert layer.seen == ["lifespan", sees]

    run(test)
