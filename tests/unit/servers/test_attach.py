"""Which servers an application's lifespan extends, and what is said of the others."""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import hypercorn.config
import hypercorn.protocol.h11
import pytest
import uvicorn
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from uvicorn.config import Config
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.h11_impl import H11Protocol

import asgi_upgrade.servers.uvicorn
from asgi_upgrade import H2CSettings, TLSSettings, UpgradeMiddleware
from asgi_upgrade.guard.adapters import AsWebSocket
from asgi_upgrade.servers import attach_to_server
from asgi_upgrade.servers.edge_settings import EdgeSettings
from asgi_upgrade.servers.hypercorn.protocol import extended
from asgi_upgrade.servers.uvicorn.edge import edge_of
from asgi_upgrade.switching.lifespan import IN_PROCESS, has_seen_lifespan
from asgi_upgrade.websocket.compiled import compiled
from tests.unit.calls import CONNECT, REQUEST, Call, Extension, http_scope, run, websocket_scope
from tests.unit.guard.test_adapters import Guard, Layer
from tests.unit.servers.test_uvicorn_logs import alone
from tests.unit.servers.uvicorn_connection import NAMES, PARSERS
from tests.unit.system.test_internals import start_hypercorn

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
    async def asking(scope: Scope, receive: Receive, send: Send) -> None:
        attach_to_server(change=True, in_lifespan=in_lifespan)
        await application(scope, receive, send)

    async def test() -> None:
        async with started(asking, http) as config:
            before = Config(asking, http=http, ws="none", log_config=None)
            before.load()
            assert config.http_protocol_class is before.http_protocol_class

    with caplog.at_level(logging.INFO, "asgi_upgrade"):
        run(test)
    advice = "Start it with http='asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol'."
    assert caplog.messages == [offers("uvicorn") if problem is None else offers_not(problem, advice)]


def offers(server: str) -> str:
    return f"{server} offers http.upgrade now; the engine is {'compiled' if compiled else 'pure Python'}."


def offers_not(problem: str, advice: str) -> str:
    used = "its own WebSockets are used, and no other protocol can be switched to"
    return f"uvicorn does not offer http.upgrade ({problem}): {used}. {advice}"


def ask(**options: Any) -> None:
    """Outside any server's lifespan."""

    async def test() -> None:
        attach_to_server(change=True, **options)

    run(test)


def test_a_lifespan_that_no_server_runs_extends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    ask()
    advice = "Start it with http='asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol'."
    assert caplog.messages == [offers_not("it does not run this application's lifespan", advice)]


def test_a_uvicorn_that_cannot_be_extended_is_named_with_its_version(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "asgi_upgrade.servers.uvicorn.attach", None)
    ask()
    [line] = caplog.messages
    assert line.startswith(f"uvicorn does not offer http.upgrade (uvicorn {uvicorn.__version__}: import of ")
    assert line.endswith(" Use a version of it that this package knows, or tell us.")


@pytest.mark.parametrize("h2c", [True, False])
def test_other_servers_are_not_looked_for_where_they_do_not_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, h2c: bool
) -> None:
    for name in ("uvicorn", "hypercorn.asyncio.lifespan"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for server in ("uvicorn", "hypercorn"):
        monkeypatch.setitem(sys.modules, f"asgi_upgrade.servers.{server}.attach", None)
    with caplog.at_level(logging.INFO, "asgi_upgrade"):
        ask(settings=EdgeSettings(h2c=H2CSettings()) if h2c else None)
    lines = ["h2c cannot be offered: that takes uvicorn, with its lifespan on."] if h2c else []
    assert caplog.messages == [*lines, "The server does not offer http.upgrade: its own WebSockets are used."]


def test_in_process_there_is_no_server_to_extend(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        IN_PROCESS.set(True)
        attach_to_server(change=True)

    with caplog.at_level(logging.INFO, "asgi_upgrade"):
        run(test)
    assert caplog.messages == []


def test_a_lifespan_is_remembered_if_the_middleware_was_called_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_upgrade.switching.lifespan._seen", [])
    ask(in_lifespan=False)
    assert not has_seen_lifespan()
    ask()
    assert has_seen_lifespan()


@pytest.mark.parametrize("extends", [True, False])
def test_hypercorn(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, extends: bool) -> None:
    """It is extended, and what stands around the middleware adapted, unless that is not wanted. No word of uvicorn."""
    monkeypatch.setattr(hypercorn.protocol, "H11Protocol", hypercorn.protocol.h11.H11Protocol)
    outermost = ASGIWrapper(Guard(UpgradeMiddleware(application, extend_server=extends)))  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO, "asgi_upgrade"):
        assert start_hypercorn(outermost) is extends
    nothing = "The server does not offer http.upgrade: its own WebSockets are used."
    assert caplog.messages == [offers("hypercorn") if extends else nothing]
    assert isinstance(outermost.app, AsWebSocket) is extends


def test_the_line_about_it_comes_to_uvicorns_handlers() -> None:
    async def test() -> None:
        async with started(UpgradeMiddleware(application)):
            pass

    with alone() as kept:
        run(test)
        assert offers("uvicorn") in kept.messages


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
            if options is None:
                attach_to_server(change=True)
            await application(scope, receive, send)

    layer = around(asking if options is None else UpgradeMiddleware(asking, **options))

    async def test() -> None:
        async with started(layer, http) as config:
            scope = http_scope("/secret", extensions={"http.upgrade": Extension()})
            await Call(REQUEST).run(config.loaded_app, scope)
            assert layer.seen == ["lifespan", sees]

    run(test)


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
