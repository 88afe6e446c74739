"""`connect_websocket`: the client's side of a WebSocket, with HTTPX and with its successor."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib
import os
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.testing import ClientWebSocket, UpgradeTransport, WebSocketDenied, connect_websocket, transport
from tests.unit import wire
from tests.unit.waiting import PATIENCE, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# The successor needs a version of h11 above the lowest that we take.
@pytest.fixture(params=["httpx"] if os.environ.get("WITHOUT_HTTPX2") else ["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


class NeedsKey:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (b"x-key", b"secret") not in scope["headers"]:
            await JSONResponse({"error": "no key"}, 401)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


async def echo(websocket: WebSocket) -> None:
    await websocket.accept("b" if "b" in websocket.scope["subprotocols"] else None)
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") == "bye":
            await websocket.send_text("last")
            await websocket.close(4001, "as you like")
            return
        if message.get("text") == "fail":
            raise ZeroDivisionError
        await websocket.send({**message, "type": "websocket.send"})


async def closes_before(websocket: WebSocket) -> None:
    await websocket.close(4003)


async def tells_its_end(websocket: WebSocket) -> None:
    await websocket.accept()
    message = await websocket.receive()
    websocket.app.state.ends.append((message["code"], message["reason"]))


async def silent(websocket: WebSocket) -> None:
    await websocket.accept()
    await asyncio.sleep(60)


def make(*layers: Any) -> Starlette:
    routes = [
        WebSocketRoute("/", echo),
        WebSocketRoute("/no", closes_before),
        WebSocketRoute("/silent", silent),
        WebSocketRoute("/ends", tells_its_end),
    ]
    return Starlette(routes=routes, middleware=[*layers, Middleware(UpgradeMiddleware)])


def connect(library: Any, app: Any, **options: Any) -> Any:
    return library.AsyncClient(transport=UpgradeTransport(app), base_url="http://test", **options)


async def test_messages_of_each_kind_go_both_ways(library: Any) -> None:
    async with connect(library, make()) as client, connect_websocket(client, "/") as websocket:
        await websocket.send_text("é" * 40_000)
        assert await websocket.receive_text() == "é" * 40_000
        await websocket.send_bytes(b"\x00\xff")
        assert await websocket.receive_bytes() == b"\x00\xff"
        assert (websocket.close_code, websocket.close_reason) == (None, "")
        await websocket.send_bytes(bytes(1_500_000))
        assert await websocket.receive_bytes() == bytes(1_500_000)
        await websocket.send_json({"a": [1, "ü"]})
        assert await websocket.receive_text() == '{"a":[1,"ü"]}'
        await websocket.send_json({"a": [1, "ü"]})
        assert await websocket.receive_json() == {"a": [1, "ü"]}
        await websocket.send_json([], mode="binary")
        assert await websocket.receive_json(mode="binary") == []


async def test_a_message_of_the_other_kind_is_an_error(library: Any) -> None:
    async with connect(library, make()) as client, connect_websocket(client, "/") as websocket:
        await websocket.send_bytes(b"x")
        with pytest.raises(TypeError, match="A binary message"):
            await websocket.receive_text()
        await websocket.send_text("x")
        with pytest.raises(TypeError, match="A text message"):
            await websocket.receive_bytes()


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("ws://test/", "http://test/"),
        ("WSS://test/", "https://test/"),
        ("http://test/", "http://test/"),
        ("ws://test/?u=a://b", "http://test/?u=a://b"),
        ("/?u=a://b", "http://test/?u=a://b"),
    ],
)
async def test_an_address_may_be_one_of_websockets(library: Any, url: str, asked: str) -> None:
    async with connect(library, make()) as client, connect_websocket(client, url) as websocket:
        assert str(websocket.response.request.url) == asked


async def test_the_endpoint_gets_the_close_code(library: Any) -> None:
    app = make()
    app.state.ends = []
    async with connect(library, app) as client:
        async with connect_websocket(client, "/ends"):
            pass
        async with connect_websocket(client, "/ends") as websocket:
            await websocket.close(4000, "why")
            await websocket.close()  # it is closed
    assert app.state.ends == [(1000, ""), (4000, "why")]


async def test_the_subprotocol_that_the_endpoint_chose_is_known(library: Any) -> None:
    async with connect(library, make()) as client:
        async with connect_websocket(client, "ws://test/", subprotocols=["a", "b"]) as websocket:
            assert websocket.subprotocol == "b"
        async with connect_websocket(client, "/") as websocket:
            assert websocket.subprotocol is None


async def test_messages_before_the_close_are_received_and_then_its_code(library: Any) -> None:
    async with connect(library, make()) as client, connect_websocket(client, "/") as websocket:
        await websocket.send_text("bye")
        assert await websocket.receive_text() == "last"
        with pytest.raises(WebSocketDisconnect) as caught:
            await websocket.receive()
        assert (caught.value.code, caught.value.reason) == (4001, "as you like")
        assert (websocket.close_code, websocket.close_reason) == (4001, "as you like")
        with pytest.raises(WebSocketDisconnect):
            await websocket.send_text("too late")
        with pytest.raises(WebSocketDisconnect):
            await websocket.send_bytes(b"too late")


async def test_a_refusal_of_middleware_is_an_http_response(library: Any) -> None:
    async with connect(library, make(Middleware(NeedsKey))) as client:
        with pytest.raises(WebSocketDisconnect, match="answered with 401") as caught:
            async with connect_websocket(client, "/"):
                pytest.fail("it was let in")
        assert isinstance(caught.value, WebSocketDenied)
        assert (caught.value.code, caught.value.reason) == (1006, "HTTP 401")
        assert caught.value.response.json() == {"error": "no key"}
        async with connect_websocket(client, "/", headers={"X-Key": "secret"}):
            pass


async def test_a_long_refusal_is_cut_where_it_is_told(library: Any) -> None:
    async with connect(library, PlainTextResponse("x" * 300, 403)) as client:
        with pytest.raises(WebSocketDenied) as caught:
            async with connect_websocket(client, "/"):
                pytest.fail("it was let in")
    assert str(caught.value) == f"the handshake was answered with 403: {'x' * 200!r}"


@pytest.mark.parametrize("begins", [True, False])
async def test_waiting_for_an_answer_has_an_end(library: Any, *, begins: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if begins:
            await send({"type": "http.response.start", "status": 403, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with connect(library, app) as client:
        with pytest.raises(TimeoutError):
            async with connect_websocket(client, "/", timeout=0.1):
                pytest.fail("it was let in")


async def test_headers_of_the_client_go_with_the_handshake(library: Any) -> None:
    client = connect(library, make(Middleware(NeedsKey)), headers={"X-Key": "secret"})
    async with client, connect_websocket(client, "/") as websocket:
        assert websocket.response.status_code == 101


async def test_a_close_before_accept_is_403(library: Any) -> None:
    async with connect(library, make()) as client:
        with pytest.raises(WebSocketDenied) as caught:
            async with connect_websocket(client, "/no"):
                pytest.fail("it was let in")
    assert caught.value.response.status_code == 403


async def provoke(client: Any) -> None:
    async with connect_websocket(client, "/") as websocket:
        await websocket.send_text("fail")
        with pytest.raises(WebSocketDisconnect) as caught:
            await websocket.receive()
        assert caught.value.code == 1011


async def test_an_exception_of_the_endpoint_reaches_the_test(library: Any) -> None:
    async with connect(library, make()) as client:
        with pytest.raises(ZeroDivisionError):
            await provoke(client)


async def test_waiting_has_an_end(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_END_TIMEOUT", 0.1)
    async with (
        connect(library, make()) as client,
        connect_websocket(client, "/silent", timeout=PATIENCE) as websocket,
    ):
        websocket.timeout = 0.2
        with pytest.raises(TimeoutError, match=r"has sent no message within 0.2 s"):
            await websocket.receive()


async def send_for_ever(websocket: ClientWebSocket) -> None:
    while True:
        await websocket.send_bytes(bytes(100_000))


async def test_sending_has_an_end(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_END_TIMEOUT", 0.1)
    async with (
        connect(library, make()) as client,
        connect_websocket(client, "/silent", timeout=PATIENCE) as websocket,
    ):
        websocket.timeout = 0.2
        with pytest.raises(TimeoutError, match=r"has not read what was sent within 0.2 s"):
            await send_for_ever(websocket)


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


@asynccontextmanager
async def answering(
    fields: bytes, behind: bytes = b"", key: bytes | None = None, script: Script | None = None
) -> AsyncIterator[str]:
    """A server that answers each handshake with a 101 and some bytes, does what `script` says, and ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        [sent] = re.findall(rb"(?i)\r\nsec-websocket-key: (\S+)", head)
        digest = hashlib.sha1((key or sent) + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n" + fields + b"\r\n" + behind)
        if script is not None:
            await script(reader, writer)
        writer.write_eof()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_a_101_for_another_key_is_no_websocket(library: Any) -> None:
    async with answering(b"", key=b"x") as url, library.AsyncClient() as client:
        with pytest.raises(ValueError, match="does not belong to the key"):
            async with connect_websocket(client, url):
                pytest.fail("it was taken for one")


async def test_a_subprotocol_that_was_not_offered_is_no_websocket(library: Any) -> None:
    async with answering(b"Sec-WebSocket-Protocol: b\r\n") as url, library.AsyncClient() as client:
        with pytest.raises(ValueError, match="'b', which was not offered"):
            async with connect_websocket(client, url, subprotocols=["a"]):
                pytest.fail("it was taken for one")


async def test_pings_are_answered_while_a_message_is_awaited(library: Any) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(14)
        pongs = wire.read_frames(unmasked(data[:7]) + unmasked(data[7:]))
        writer.write(b"\x82\x04" + b"".join(b"%c%b" % (each.opcode, each.payload) for each in pongs))

    async with (
        answering(b"", b"\x89\x01p\x89\x01q", script=script) as url,
        library.AsyncClient() as client,
        connect_websocket(client, url) as websocket,
    ):
        assert await websocket.receive() == b"\x0ap\x0aq"


async def test_a_text_that_is_none_is_answered_with_its_close_code(library: Any) -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        [close] = wire.read_frames(unmasked(await reader.readexactly(8)))
        assert close.opcode == wire.CLOSE
        seen.append(close.payload)

    async with (
        answering(b"", b"\x81\x02\xff\xff", script=script) as url,
        library.AsyncClient() as client,
        connect_websocket(client, url, timeout=PATIENCE) as websocket,
    ):
        with pytest.raises(WebSocketDisconnect):
            await websocket.receive()
        await until(lambda: seen)
        assert seen == [b"\x03\xef"]


def unmasked(data: bytes) -> bytes:
    """A short frame of a client as a server would send it."""
    return bytes((data[0], data[1] & 0x7F)) + wire.xor(data[6:], data[2:6])


async def test_waiting_for_the_close_frame_has_an_end(library: Any) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with (
        answering(b"", script=script) as url,
        library.AsyncClient() as client,
        connect_websocket(client, url, timeout=PATIENCE) as websocket,
    ):
        websocket.timeout = 0.1
        with pytest.raises(TimeoutError, match=r"has not closed the WebSocket within 0.1 s"):
            await websocket.close()


async def test_a_connection_that_is_reset_has_ended_without_a_close_frame(library: Any) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(7)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with (
        answering(b"", script=script) as url,
        library.AsyncClient() as client,
        connect_websocket(client, url, timeout=PATIENCE) as websocket,
    ):
        await websocket.send_text("x")
        with pytest.raises(WebSocketDisconnect) as caught:
            await websocket.receive()
        assert (caught.value.code, websocket.close_code) == (1006, 1006)


async def test_a_connection_that_is_lost_while_something_is_sent_has_ended(library: Any) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with (
        answering(b"", script=script) as url,
        library.AsyncClient() as client,
        connect_websocket(client, url, timeout=PATIENCE) as websocket,
    ):
        for _ in range(1000):
            await websocket.send_text("x" * 1000)
            if websocket.close_code is not None:
                break
            await asyncio.sleep(0.001)
        assert websocket.close_code == 1006


@pytest.mark.parametrize(
    ("behind", "messages", "code", "reason"),
    [
        (b"", [], 1006, ""),
        (b"\x81\x02hi", ["hi"], 1006, ""),
        (b"\x01\x01h\x89\x00\x80\x01i\x88\x00", ["hi"], 1005, ""),
        (b"\x02\x01h\x80\x01i\x88\x02\x03\xe9", [b"hi"], 1001, ""),
        (b"\x81\x82\x00\x00\x00\x00hi", [], 1002, "mask"),
        (b"\x81\x02\xff\xff", [], 1007, "decode"),
        (b"\x88\x03\x03\xe8\xff", [], 1007, "decode"),
        (b"\x82\x7f\x00\x00\x00\x10\x00\x00\x00\x00", [], 1009, "bytes"),
    ],
)
async def test_what_a_server_sends_on_the_wire(
    library: Any, behind: bytes, messages: list[str | bytes], code: int, reason: str
) -> None:
    async with answering(b"", behind) as url, library.AsyncClient() as client, connect_websocket(client, url) as ours:
        received = [await ours.receive() for _ in messages]
        with pytest.raises(WebSocketDisconnect) as caught:
            await ours.receive()
        assert received == messages
        assert caught.value.code == code
        assert reason in caught.value.reason
        assert bool(reason) is bool(caught.value.reason)
        with pytest.raises(WebSocketDisconnect):
            await ours.send_text("too late")
