"""uvicorn's side of a switchover, where the new owner of a connection fails."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from urllib.parse import urlsplit

from asgi_upgrade.testing.server import run_server

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: example/1\r\n\r\n"


class Failing(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raise ValueError("I do not want it")


async def app(scope: Any, receive: Any, send: Any) -> None:
    scope["extensions"]["http.upgrade"]["connect"](Failing(), [(b"upgrade", b"example/1")])
    await send({"type": "http.response.start", "status": 101, "headers": []})


def test_a_connection_whose_new_owner_fails_is_closed_and_the_server_can_stop() -> None:
    http = "asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol"
    with run_server(app, lifespan="off", http=http, ws="none", timeout_graceful_shutdown=None) as url:
        port = urlsplit(url).port
        assert port is not None
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(REQUEST)
            received = b""
            while data := client.recv(4096):  # until it is closed
                received += data
        assert received.startswith(b"HTTP/1.1 101 ")
