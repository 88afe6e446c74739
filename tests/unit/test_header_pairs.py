"""Header fields whose pairs are lists, as ASGI allows: compiled code, too, takes them for pairs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.testing import UpgradeTransport, connect_websocket
from asgi_upgrade.testing.websocket import WebSocketDenied

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [[b"x-app", b"page"]]})
        await send({"type": "http.response.body", "body": b"page"})
        return
    assert await receive() == {"type": "websocket.connect"}
    if scope["path"] == "/denied":
        await send({"type": "websocket.http.response.start", "status": 418, "headers": [[b"x-app", b"denied"]]})
        await send({"type": "websocket.http.response.body", "body": b"no"})
        return
    await send({"type": "websocket.accept", "headers": [[b"x-app", b"accepted"]]})
    await send({"type": "websocket.send", "text": "hello"})
    await receive()


def with_lists(app: ASGIApp) -> ASGIApp:
    """Middleware that makes a list of each pair, on the way in and on the way out."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def listed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*map(list, message["headers"]), [b"x-middleware", b"seen"]]}
            await send(message)

        await app({**scope, "headers": [list(pair) for pair in scope["headers"]]}, receive, listed)

    return middleware


@pytest.mark.parametrize("around", [lambda app: app, with_lists], ids=["application", "middleware"])
def test_a_pair_may_be_a_list(around: type) -> None:
    async def test() -> None:
        app = around(UpgradeMiddleware(application))
        async with httpx.AsyncClient(transport=UpgradeTransport(app), base_url="http://test") as client:
            page = await client.get("/")
            assert (page.text, page.headers["x-app"]) == ("page", "page")
            async with connect_websocket(client, "/") as websocket:
                assert await websocket.receive_text() == "hello"
                assert websocket.response.headers["x-app"] == "accepted"
            with pytest.raises(WebSocketDenied) as refused:
                async with connect_websocket(client, "/denied"):
                    pass
            assert refused.value.response.status_code == 418
            assert refused.value.response.headers["x-app"] == "denied"

    asyncio.run(asyncio.wait_for(test(), 60))
