"""Client libraries for Python, logged in at the demo, whose guard knows nothing of WebSockets."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import httpx
import pytest
from httpx_ws import WebSocketSession, WebSocketUpgradeError, connect_ws
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.e2e.support.chat import demo
from tests.e2e.support.guarded import PARSERS
from tests.e2e.support.member import await_event, log_in, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.support.process import Server

ROOM = "/rooms/lobby"
CHAT = Subprotocol("chat.v1")


@pytest.fixture(scope="module", params=PARSERS)
def chat(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The demo under each of uvicorn's parsers."""
    with demo(http=request.param) as server:
        yield server


def test_websockets(chat: Server) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        connect(chat.url("ws", ROOM))
    assert refusal.value.response.status_code == 401
    assert refusal.value.response.body == b"log in first\n"

    headers = {"Cookie": log_in(chat.url("http", ""), "Ada")}
    with connect(chat.url("ws", ROOM), additional_headers=headers, subprotocols=[CHAT]) as websocket:
        assert websocket.subprotocol == CHAT
        assert [extension.name for extension in websocket.protocol.extensions] == ["permessage-deflate"]
        assert websocket.response is not None
        assert "default-src 'self'" in websocket.response.headers["content-security-policy"]
        assert await_event(websocket, "welcome")["user"] == "Ada"
        say(websocket, "hello " * 150)
        assert await_event(websocket, "message")["text"] == ("hello " * 150).strip()


def test_websockets_is_told_that_it_broke_the_rules(chat: Server) -> None:
    headers = {"Cookie": log_in(chat.url("http", ""), "Ada")}
    with connect(chat.url("ws", ROOM), additional_headers=headers) as websocket:
        websocket.send("no JSON")
        with pytest.raises(ConnectionClosedError) as closed:
            await_event(websocket, "message")
    assert closed.value.rcvd == Close(1008, "that is not a chat.v1 message")


def test_aiohttp(chat: Server) -> None:
    async def run() -> None:
        base = chat.url("http", "")
        # Its cookie jar takes no cookies from a bare IP address unless it is told to.
        async with aiohttp.ClientSession(base, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await session.ws_connect(ROOM)
            assert refusal.value.status == 401
            async with session.post("/login", data={"name": "Ada"}) as page:
                assert page.status == 200
            async with session.ws_connect(ROOM, origin=base, protocols=["chat.v1"], compress=15) as websocket:
                assert websocket.protocol == "chat.v1"
                assert websocket.compress
                assert (await websocket.receive_json(timeout=30))["user"] == "Ada"
                await websocket.send_json({"text": "hello"})
                while (event := await websocket.receive_json(timeout=30))["type"] != "message":
                    assert event["type"] == "joined"
                assert event["text"] == "hello"

    asyncio.run(run())


def test_httpx_ws(chat: Server) -> None:
    with httpx.Client(base_url=chat.url("http", "")) as client:
        with pytest.raises(WebSocketUpgradeError) as refusal, connect_ws(chat.url("http", ROOM), client):
            pass
        assert refusal.value.response.status_code == 401
        client.post("/login", data={"name": "Ada"})
        websocket: WebSocketSession
        with connect_ws(chat.url("http", ROOM), client, subprotocols=[CHAT]) as websocket:
            assert websocket.subprotocol == "chat.v1"
            assert websocket.receive_json(timeout=30)["user"] == "Ada"
            websocket.send_json({"text": "hello"})
            while (event := json.loads(websocket.receive_text(timeout=30)))["type"] != "message":
                assert event["type"] == "joined"
            assert event["text"] == "hello"
