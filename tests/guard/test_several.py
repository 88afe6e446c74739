"""Several `UpgradeMiddleware` on one way: each policy holds, and of two limits the stricter one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from httpx_ws import AsyncWebSocketSession, HTTPXWSException, WebSocketDisconnect, aconnect_ws
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, WebSocketRoute

from asgi_upgrade import PerMessageDeflate, UpgradeMiddleware
from asgi_upgrade.testing import UpgradeTransport
from asgi_upgrade.websocket.settings import WebSocketSettings
from tests.guard.apps.applications import echo

if TYPE_CHECKING:
    from starlette.types import ASGIApp

STRICT: dict[str, Any] = {"websocket": WebSocketSettings(max_message_size=10), "subprotocols": ["v2"]}
LOOSE: dict[str, Any] = {"websocket": WebSocketSettings(max_message_size=1000), "subprotocols": ["v3", "v2"]}


def nested(outer: dict[str, Any], inner: dict[str, Any]) -> ASGIApp:
    app = Starlette(routes=[WebSocketRoute("/echo", echo)], middleware=[Middleware(UpgradeMiddleware, **inner)])
    return UpgradeMiddleware(app, **outer)


def in_one_stack(outer: dict[str, Any], inner: dict[str, Any]) -> ASGIApp:
    added = [Middleware(UpgradeMiddleware, **outer), Middleware(UpgradeMiddleware, **inner)]
    return Starlette(routes=[WebSocketRoute("/echo", echo)], middleware=added)


def mounted(outer: dict[str, Any], inner: dict[str, Any]) -> ASGIApp:
    app = Starlette(routes=[WebSocketRoute("/echo", echo)], middleware=[Middleware(UpgradeMiddleware, **inner)])
    return Starlette(routes=[Mount("/", app)], middleware=[Middleware(UpgradeMiddleware, **outer)])


async def converse(app: ASGIApp) -> tuple[str | None, int]:
    """Give the subprotocol, and the code that ends the connection after a message of 11 bytes."""
    websocket: AsyncWebSocketSession
    async with (
        httpx.AsyncClient(transport=UpgradeTransport(app), base_url="http://test") as client,
        aconnect_ws("ws://test/echo", client, subprotocols=["v3", "v2"]) as websocket,
    ):
        await websocket.send_text("0123456789")
        assert await websocket.receive_text() == "0123456789"
        await websocket.send_text("0123456789a")
        with pytest.raises(WebSocketDisconnect) as caught:
            await websocket.receive_text()
        return websocket.subprotocol, caught.value.code


@pytest.mark.parametrize("make", [nested, in_one_stack, mounted])
@pytest.mark.parametrize(("outer", "inner"), [(STRICT, LOOSE), (LOOSE, STRICT)])
def test_the_stricter_limit_holds(make: Any, outer: dict[str, Any], inner: dict[str, Any]) -> None:
    assert asyncio.run(converse(make(outer, inner))) == ("v2", 1009)


@pytest.mark.parametrize("make", [nested, in_one_stack, mounted])
@pytest.mark.parametrize("first", [True, False])
def test_an_origin_must_please_both(make: Any, *, first: bool) -> None:
    friendly: dict[str, Any] = {"allowed_origins": ["https://friend.example"]}
    app = make(friendly, {}) if first else make({}, friendly)

    async def shake() -> int:
        async with httpx.AsyncClient(transport=UpgradeTransport(app), base_url="http://test") as client:
            try:
                async with aconnect_ws("ws://test/echo", client, headers={"origin": "https://friend.example"}):
                    return 101
            except HTTPXWSException as refused:
                return int(refused.response.status_code)  # type: ignore[attr-defined]

    assert asyncio.run(shake()) == 403


def test_stricter_settings() -> None:
    one = WebSocketSettings(max_queue=3, ping_interval=None, idle_timeout=5.0, deflate=PerMessageDeflate(level=3))
    other = WebSocketSettings(max_queue=7, ping_interval=2.0, open_timeout=1.0)
    both = one.stricter(other)
    assert (both.max_queue, both.ping_interval, both.idle_timeout, both.open_timeout) == (3, 2.0, 5.0, 1.0)
    assert both.deflate == PerMessageDeflate(level=3)
    assert one.stricter(WebSocketSettings(deflate=False)).deflate is False
    assert WebSocketSettings(deflate=False).stricter(one).deflate is False
    assert one.stricter(one) is one
    assert one.stricter(WebSocketSettings(deflate=PerMessageDeflate())).deflate == PerMessageDeflate(level=3)
