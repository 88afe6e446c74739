"""Client libraries as people use them, permessage-deflate included where they offer it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import httpx
import pytest
from httpx_ws import (
    AsyncWebSocketSession,
    WebSocketDisconnect,
    WebSocketSession,
    WebSocketUpgradeError,
    aconnect_ws,
    connect_ws,
)
from websockets import Subprotocol
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from tests.server.support.process import Server

TEXT = "grüße " * 1000
DATA = bytes(range(256)) * 1000


@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets_chats_in_text_and_bytes(server: Server, compression: str | None) -> None:
    subprotocols = [Subprotocol("configured.v1")]
    with connect(server.url("ws", "/echo"), compression=compression, subprotocols=subprotocols) as websocket:
        assert websocket.subprotocol == "configured.v1"
        assert bool(websocket.protocol.extensions) is (compression is not None)
        for message in ("", TEXT, DATA, "after"):
            websocket.send(message)
            assert websocket.recv(timeout=30) == message
        websocket.send(iter(["in ", "three ", "fragments"]))
        assert websocket.recv(timeout=30) == "in three fragments"
        assert websocket.ping().wait(5)
    assert websocket.close_code == 1000


def test_websockets_sees_the_headers_that_middleware_added_to_the_101(server: Server) -> None:
    with connect(server.url("ws", "/echo")) as websocket:
        assert websocket.response is not None
        assert websocket.response.headers["X-Outer"] == "seen"


def test_websockets_sees_the_denial_response(server: Server) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(server.url("ws", "/forbidden"))
    assert caught.value.response.status_code == 401
    assert caught.value.response.body == b"forbidden by middleware"


def test_websockets_sees_the_close_code_of_the_app(server: Server) -> None:
    with (
        connect(server.url("ws", "/close?code=4001&reason=enough")) as websocket,
        pytest.raises(ConnectionClosedError) as caught,
    ):
        websocket.recv(timeout=30)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "enough")


@pytest.mark.parametrize("compress", [15, 0])
def test_aiohttp_chats_in_text_and_bytes(server: Server, compress: int) -> None:
    timeout = aiohttp.ClientWSTimeout(ws_receive=5, ws_close=5)

    async def chat() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url("http", "/echo"), compress=compress, timeout=timeout) as websocket,
        ):
            await websocket.send_str(TEXT)
            assert await websocket.receive_str() == TEXT
            await websocket.send_bytes(DATA)
            assert await websocket.receive_bytes() == DATA
        assert websocket.close_code == 1000

    asyncio.run(chat())


def test_aiohttp_uses_one_connection_for_a_refusal_a_page_and_a_websocket(server: Server) -> None:
    async def browse() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(server.url("http", "/forbidden"))
            assert caught.value.status == 401
            async with session.post(server.url("http", "/page"), data=DATA) as response:
                assert (await response.json())["length"] == len(DATA)
            async with session.ws_connect(server.url("http", "/echo")) as websocket:
                await websocket.send_str("hello")
                assert await websocket.receive_str() == "hello"

    asyncio.run(browse())


def test_httpx_ws_chats_in_text_bytes_and_json(server: Server) -> None:
    websocket: WebSocketSession
    with httpx.Client() as client, connect_ws(server.url("ws", "/echo"), client) as websocket:
        websocket.send_text(TEXT)
        assert websocket.receive_text(timeout=30) == TEXT
        websocket.send_bytes(DATA)
        assert websocket.receive_bytes(timeout=30) == DATA
        websocket.send_json({"a": 1})
        assert websocket.receive_json(timeout=30) == {"a": 1}


def test_httpx_ws_sees_refusals_and_close_codes(server: Server) -> None:
    websocket: WebSocketSession
    with httpx.Client() as client:
        with pytest.raises(WebSocketUpgradeError) as refused, connect_ws(server.url("ws", "/forbidden"), client):
            pass
        assert refused.value.response.status_code == 401
        with (
            pytest.raises(WebSocketDisconnect) as closed,
            connect_ws(server.url("ws", "/close?code=4001&reason=enough"), client) as websocket,
        ):
            websocket.receive_text(timeout=30)
        assert (closed.value.code, closed.value.reason) == (4001, "enough")


def test_many_asynchronous_clients_chat_at_once(server: Server) -> None:
    async def chat(client: httpx.AsyncClient, number: int) -> None:
        websocket: AsyncWebSocketSession
        async with aconnect_ws(server.url("ws", "/echo"), client) as websocket:
            for _ in range(5):
                await websocket.send_text(str(number))
                assert await websocket.receive_text(timeout=30) == str(number)

    async def everybody() -> None:
        async with httpx.AsyncClient() as client:
            await asyncio.gather(*(chat(client, number) for number in range(10)))

    asyncio.run(everybody())


def test_httpx_that_offers_h2c_as_java_does_is_served(server: Server) -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAoAAA"}
    with httpx.Client(headers=offer) as client:
        for _ in range(3):
            response = client.post(server.url("http", "/page"), content=iter([DATA, DATA]))
            assert json.loads(response.content)["length"] == 2 * len(DATA)
