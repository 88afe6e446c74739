"""TCP connections within one process: an AnyIO stream at one end, a bare socket at the other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
from anyio.abc import ByteStream

from asgi_upgrade.streams.protocol import StreamProtocol
from asgi_upgrade.streams.settings import StreamSettings
from asgi_upgrade.streams.stream import UpgradeStream
from tests.unit.sockets import reset
from tests.unit.waiting import still


class Remote:
    """The other end, which does exactly what a test says."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def receive(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        data = b""
        while len(data) < size:
            more = await asyncio.get_running_loop().sock_recv(self.socket, size - len(data))
            assert more, f"the connection ended after {data!r}"
            data += more
        return data

    async def receive_end(self) -> bytes:
        """Everything up to the end."""
        data = b""
        while more := await asyncio.get_running_loop().sock_recv(self.socket, 65536):
            data += more
        return data

    async def send_until_blocked(self) -> int:
        """Send zeros until nothing has moved for a while; give how many."""
        sent = 0

        async def fill() -> None:
            nonlocal sent
            while True:
                try:
                    sent += self.socket.send(bytes(65536))
                except BlockingIOError:
                    await anyio.sleep(0.001)

        filling = asyncio.ensure_future(fill())
        await still(lambda: sent, 200)
        filling.cancel()
        return sent

    def finish(self) -> None:
        """End this side, and only that."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish: end the connection with RST instead of FIN."""
        reset(self.socket)

    def close(self) -> None:
        self.socket.close()

    def release(self) -> socket.socket:
        """Give the socket away."""
        return socket.socket(fileno=self.socket.detach())


Connection = AbstractAsyncContextManager[tuple[ByteStream, Remote]]


@asynccontextmanager
async def anyio_connection() -> AsyncIterator[tuple[ByteStream, Remote]]:
    """AnyIO's own stream."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await anyio.connect_tcp(*listener.getsockname())
        remote = Remote(listener.accept()[0])
    try:
        yield stream, remote
    finally:
        remote.close()
        await anyio.aclose_forcefully(stream)


@asynccontextmanager
async def upgrade_connection(**settings: Any) -> AsyncIterator[tuple[UpgradeStream, Remote]]:
    """Ours, with these settings."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        remote = Remote(socket.create_connection(listener.getsockname()))
        accepted = listener.accept()[0]
    loop = asyncio.get_running_loop()
    protocol = StreamProtocol(StreamSettings(**settings), loop)
    await loop.connect_accepted_socket(lambda: protocol, accepted)
    stream = UpgradeStream(protocol, {"type": "http"}, "example/1")
    try:
        yield stream, remote
    finally:
        remote.close()
        await anyio.aclose_forcefully(stream)


CONNECTIONS: dict[str, Callable[[], Any]] = {"anyio": anyio_connection, "ours": upgrade_connection}
