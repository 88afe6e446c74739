"""What `docs/explanation/comparison.md` says of aiohttp: its middleware sees handshakes, and it asks for no origin."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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
