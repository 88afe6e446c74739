"""A connection of uvicorn's, extended, on this event loop: uvicorn's protocol, a socket, and the client behind it."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from uvicorn.config import HTTP_PROTOCOLS, Config
from uvicorn.server import ServerState

import asgi_upgrade.servers.uvicorn
from tests.unit.sockets import reset
from tests.unit.waiting import PATIENCE, turns, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

__all__ = ["PARSERS", "Answer", "Client", "Served", "every_parser", "serve", "set_up"]

NAMES = {"h11": "H11UpgradeProtocol", "httptools": "HttpToolsUpgradeProtocol", "zttp": "ZttpUpgradeProtocol"}
# Old versions of uvicorn, which the project supports too, do not know zttp.
PARSERS = [name for name in NAMES if name in HTTP_PROTOCOLS]


@dataclass
class Answer:
    """A response, whose body has a Content-Length."""

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""

    def all(self, name: bytes) -> list[bytes]:
        """The values of a field."""
        return [value for each, value in self.fields if each.lower() == name]


class Client:
    """The other end, which does exactly what a test says."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.unread = b""
        self.filled = 0

    async def send(self, data: bytes, size: int | None = None) -> None:
        """Send, `size` bytes at a time, which the server reads one by one."""
        loop = asyncio.get_running_loop()
        for start in range(0, len(data), size or max(len(data), 1)):
            await loop.sock_sendall(self.socket, data[start:][:size])
            if size is not None:
                await turns(2)

    async def fill(self, data: bytes) -> None:
        """Send as much as the other end takes at a time; `filled` says how much that was so far."""
        while self.filled < len(data):
            try:
                self.filled += self.socket.send(data[self.filled : self.filled + 65536])
            except BlockingIOError:
                await asyncio.sleep(0.001)

    async def receive(self) -> bytes:
        """What arrives next, nothing at the end."""
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 65536), PATIENCE)

    async def exactly(self, size: int) -> bytes:
        while len(self.unread) < size:
            more = await self.receive()
            assert more, f"the connection ended after {self.unread!r}"
            self.unread += more
        data, self.unread = self.unread[:size], self.unread[size:]
        return data

    async def answer(self) -> Answer:
        """The next response."""
        while b"\r\n\r\n" not in self.unread:
            more = await self.receive()
            assert more, f"the connection ended after {self.unread!r}"
            self.unread += more
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        assert first.startswith(b"HTTP/1.1 "), first
        fields = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        answer = Answer(int(first.split()[1]), fields)
        answer.body = await self.exactly(sum(int(each) for each in answer.all(b"content-length")))
        return answer

    async def end_of_stream(self) -> bytes:
        """Everything up to the end."""
        data, self.unread = self.unread, b""
        while more := await self.receive():
            data += more
        return data

    def end(self) -> None:
        """End our direction (FIN)."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish (RST)."""
        reset(self.socket)


class Served:
    """One connection, and what there is on the server's side of it."""

    def __init__(self, config: Config, state: ServerState, protocol: Any, client: Client) -> None:
        self.config = config
        self.state = state
        self.protocol = protocol  # the one it began with
        self.client = client

    @property
    def ended(self) -> bool:
        """Whether no application runs any more."""
        return not self.state.tasks


def set_up(kind: Any, parser: str, app: ASGIApp, **options: Any) -> tuple[Config, ServerState, Any]:
    """One of our protocols, with what uvicorn gives it; `options` are uvicorn's."""
    config = Config(app, **{"http": parser, "lifespan": "off", "ws": "none", "log_config": None, **options})
    config.load()
    config.loaded_app = app
    state = ServerState()
    state.default_headers = list(config.encoded_headers)
    return config, state, kind(config, state, {"started": True})


@asynccontextmanager
async def serve(
    parser: str, app: ASGIApp, *, socket_buffer: int | None = None, **options: Any
) -> AsyncIterator[Served]:
    """Connect a client to `app`; `options` are uvicorn's. In the end nothing may be left of the connection.

    `socket_buffer` bytes or so are what the kernel holds of each direction.
    """
    loop = asyncio.get_running_loop()
    kind = getattr(asgi_upgrade.servers.uvicorn, NAMES[parser])
    config, state, protocol = set_up(kind, parser, app, **options)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as near:
        if socket_buffer is not None:
            for each in (listener, near):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, socket_buffer)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, socket_buffer)
        near.connect(listener.getsockname())
        client = Client(socket.socket(fileno=near.detach()))
        accepted, _ = listener.accept()
    await loop.connect_accepted_socket(lambda: protocol, accepted)
    try:
        yield Served(config, state, protocol, client)
    finally:
        logging.getLogger("uvicorn.access").propagate = True  # `access_log=False` ends it for the whole process
        client.socket.close()
        await until(lambda: not state.connections and not state.tasks)


every_parser = pytest.mark.parametrize("parser", PARSERS)
