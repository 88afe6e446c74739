"""What `docs/explanation/comparison.md` says of aiohttp, and of guards that you write yourself, without the package.

Channels, Tornado and the servers are in `tests/servers/test_comparison.py`, nginx is in `tests/e2e/test_proxies.py`.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server.support.process import Server

FOREIGN = Origin("https://evil.example")
LOGGED_IN = {"Cookie": "session=1"}

APP = """
from typing import Annotated

from fastapi import Depends, FastAPI, WebSocket, WebSocketException

app = FastAPI()

@app.middleware("http")
async def sees(request, call_next):
    response = await call_next(request)
    response.headers["x-seen"] = "yes"
    return response

def logged_in(websocket: WebSocket) -> str:
    if "session" not in websocket.cookies:
        raise WebSocketException(1008)
    return websocket.cookies["session"]

@app.websocket("/chat")
async def chat(websocket: WebSocket, user: Annotated[str, Depends(logged_in)]):
    await websocket.accept()
    await websocket.close()

class Guard:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket" and b"cookie" not in dict(scope["headers"]):
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await self.app(scope, receive, send)

async def accepts(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close"})

guarded = Guard(accepts)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comparison")
    (folder / "compared.py").write_text(textwrap.dedent(APP), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def dependency(folder: Path) -> Iterator[Server]:
    """A dependency in each endpoint, behind middleware that would be seen."""
    with uvicorn("compared:app", "--app-dir", str(folder), "--ws", "websockets-sansio") as server:
        yield server


@pytest.fixture(scope="module")
def pure_asgi(folder: Path) -> Iterator[Server]:
    """Middleware that has been written for `websocket` scopes."""
    with uvicorn(
        "compared:guarded", "--app-dir", str(folder), "--lifespan", "off", "--ws", "websockets-sansio"
    ) as server:
        yield server


def is_refused(server: Server, path: str = "/chat") -> bool:
    """Whether a WebSocket without a cookie gets 403."""
    try:
        with connect(server.url("ws", path)):
            return False
    except InvalidStatus as refused:
        return refused.response.status_code == 403


def test_a_dependency_guards_its_endpoint_without_http_middleware_and_whatever_the_origin(dependency: Server) -> None:
    assert is_refused(dependency)
    with connect(dependency.url("ws", "/chat"), additional_headers=LOGGED_IN, origin=FOREIGN) as websocket:
        assert websocket.response is not None
        assert "x-seen" not in websocket.response.headers


def test_pure_asgi_middleware_guards_what_it_was_written_for_whatever_the_origin(pure_asgi: Server) -> None:
    assert is_refused(pure_asgi)
    with connect(pure_asgi.url("ws", "/chat"), additional_headers=LOGGED_IN, origin=FOREIGN):
        pass


@pytest.mark.anyio
async def test_a_handshake_is_a_request_to_aiohttp_whatever_its_origin() -> None:
    seen: list[str] = []

    @web.middleware
    async def middleware(request: web.Request, handler: object) -> web.StreamResponse:
        assert callable(handler)
        seen.append(request.headers["Upgrade"])
        response: web.StreamResponse = await handler(request)
        return response

    async def endpoint(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.close()
        return websocket

    app = web.Application(middlewares=[middleware])
    app.router.add_get("/", endpoint)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/"
            async with session.ws_connect(url, origin="https://evil.example") as websocket:
                assert (await websocket.receive()).type is aiohttp.WSMsgType.CLOSE
    finally:
        await runner.cleanup()
    assert seen == ["websocket"]
