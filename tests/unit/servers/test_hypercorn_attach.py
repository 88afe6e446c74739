"""What the lifespan of an application does to the hypercorn that runs it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import hypercorn.protocol
import pytest
from fastapi import FastAPI, WebSocket
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.config import Config
from uvicorn.config import Config as UvicornConfig
from uvicorn.lifespan.on import LifespanOn

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.servers.hypercorn.protocol import H11UpgradeProtocol
from asgi_upgrade.servers.uvicorn.upgrading_protocol import UpgradingProtocol
from tests.unit.connected import run
from tests.unit.servers.hypercorn_connection import HANDSHAKE, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send


class Guard:
    """Middleware for WebSockets: around the others, it refuses all of them."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.seen: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        self.seen.append(scope["type"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return None
        return await self.app(scope, receive, send)


def application(**options: Any) -> ASGIApp:
    app = FastAPI()

    @app.websocket("/ws")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()

    return UpgradeMiddleware(app, **options)


@asynccontextmanager
async def started(app: ASGIApp) -> AsyncIterator[Lifespan]:
    """A hypercorn whose lifespan runs."""
    lifespan = Lifespan(ASGIWrapper(app), Config(), asyncio.get_running_loop(), {})  # type: ignore[arg-type]
    task = asyncio.create_task(lifespan.handle_lifespan())
    await lifespan.wait_for_startup()
    yield lifespan
    await lifespan.wait_for_shutdown()
    await task


@pytest.fixture(autouse=True)
def own_protocol(monkeypatch: pytest.MonkeyPatch) -> type:
    """hypercorn's own class for connections, in place again after the test."""
    kind: type = hypercorn.protocol.H11Protocol  # type: ignore[attr-defined]
    monkeypatch.setattr(hypercorn.protocol, "H11Protocol", kind)
    return kind


@pytest.mark.parametrize(
    ("guarded", "origin", "seen"),
    [(True, b"", ["websocket"]), (True, b"Origin: https://other\r\n", []), (False, b"", [])],
)
def test_its_next_connection_offers_upgrades_and_guards_around_are_adapted(
    origin: bytes, seen: list[str], caplog: pytest.LogCaptureFixture, *, guarded: bool
) -> None:
    guard = Guard(application())

    async def test() -> None:
        async with started(guard if guarded else guard.app) as lifespan:
            wrapper: Any = lifespan.app
            async with serve(wrapper.app, config=lifespan.config, extends=False) as served:
                await served.client.send(HANDSHAKE[:-2] + origin + b"\r\n")
                assert (await served.client.answer()).status == (403 if guarded else 101)

    with caplog.at_level(logging.INFO, "asgi_upgrade"):
        run("asyncio", test)
    assert hypercorn.protocol.H11Protocol is H11UpgradeProtocol  # type: ignore[attr-defined]
    assert guard.seen == (["lifespan", *seen] if guarded else [])
    [line] = [each.getMessage() for each in caplog.records if "http.upgrade" in each.getMessage()]
    assert line.startswith("hypercorn offers http.upgrade now")


def test_another_server_of_this_process_is_left_to_itself(own_protocol: type) -> None:
    async def test() -> None:
        config = UvicornConfig(application(), http="h11", lifespan="on", ws="none", log_config=None)
        config.load()
        lifespan = LifespanOn(config)
        await lifespan.startup()
        assert not lifespan.should_exit
        assert issubclass(config.http_protocol_class, UpgradingProtocol)
        await lifespan.shutdown()

    run("asyncio", test)
    assert hypercorn.protocol.H11Protocol is own_protocol  # type: ignore[attr-defined]
