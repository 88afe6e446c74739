"""Arbitrary frames on a real HTTP/2 connection: it goes on, or ends with a reason; nothing else happens."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from asgi_upgrade import H2CSettings, UpgradeMiddleware
from asgi_upgrade.http2.connection import HTTP2Protocol
from asgi_upgrade.http2.scope import ScopeTemplate
from asgi_upgrade.http2.server import ServerSide
from tests.fuzz.http2_streams import STREAMS
from tests.fuzz.streams import CUTS, cut
from tests.unit.connected import LOOPS, run

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

LIMITS = H2CSettings(max_concurrent_streams=3, read_buffer_size=30, idle_timeout=5, close_timeout=5)
SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "scheme": "http",
    "method": "GET",
    "path": "/echo",
    "raw_path": b"/echo",
    "query_string": b"",
    "headers": [(b"host", b"a")],
}


class ExpectedError(Exception):
    """What the application raises."""


class Collector(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


async def pages(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})
        return
    if scope["path"] == "/fail":
        raise ExpectedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/pour":
        for _ in range(3):
            await send({"type": "http.response.body", "body": bytes(30_000), "more_body": True})
    message: Message = {"more_body": scope["path"] != "/early"}
    while message.get("more_body") and message.get("type") != "http.disconnect":
        message = await receive()
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": True})
    while scope["path"] == "/wait" and (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.body", "body": b"end"})


app = UpgradeMiddleware(pages, extend_server=False)


def frames(data: bytes) -> list[tuple[int, int, bytes]]:
    """Type, stream and payload of each frame; `data` must be nothing but whole frames."""
    found = []
    while data:
        size = int.from_bytes(data[:3], "big")
        assert len(data) >= 9 + size, "the last frame is cut off"
        found.append((data[3], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return found


@pytest.mark.parametrize("loop", list(LOOPS))
@settings(deadline=None)
@given(stream=STREAMS, cuts=CUTS)
def test_a_connection_goes_on_or_ends_with_a_reason(loop: str, stream: bytes, cuts: list[int]) -> None:
    handler = Collector()
    logger = logging.getLogger("asgi_upgrade")
    logger.addHandler(handler)

    async def test() -> None:
        side = ServerSide(default_headers=lambda: [(b"server", b"x")])
        protocol = HTTP2Protocol(app, template=ScopeTemplate(SCOPE), client_settings=b"", settings=LIMITS, server=side)
        first = protocol.open_first(protocol.template.first(), body_given=False)
        here, there = socket.socketpair()
        with here:
            here.setblocking(False)
            running = asyncio.get_running_loop()
            await running.connect_accepted_socket(lambda: protocol, there)
            first.start(app)
            received = asyncio.ensure_future(receive_all(here))
            with suppress(ConnectionError):
                for piece in cut(stream, cuts):
                    await running.sock_sendall(here, piece)
                    await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            here.shutdown(socket.SHUT_WR)
            data = await received
            await protocol.wait_closed()
        assert all(task.done() for task in side.tasks)
        assert frames(data)[0][0] == 4

    try:
        run(loop, test)
    finally:
        logger.removeHandler(handler)
    for record in handler.records:
        assert record.levelno < logging.WARNING or (record.exc_info and record.exc_info[0] is ExpectedError), record


async def receive_all(sock: socket.socket) -> bytes:
    data = b""
    with suppress(ConnectionError):
        while more := await asyncio.get_running_loop().sock_recv(sock, 65536):
            data += more
    return data
