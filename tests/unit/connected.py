"""A `WebSocketProtocol` on a real event loop and a real TCP connection, and the client at its other end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvloop

from asgi_upgrade.http.headers import parse_extensions
from asgi_upgrade.websocket.connection import Connection
from asgi_upgrade.websocket.deflate import Deflate, PerMessageDeflate
from asgi_upgrade.websocket.messages import Messages
from asgi_upgrade.websocket.protocol import WebSocketProtocol
from asgi_upgrade.websocket.settings import WebSocketSettings
from tests.unit import wire
from tests.unit.sockets import reset
from tests.unit.wire import Frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Test = Callable[[], Coroutine[Any, Any, None]]
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
TIMEOUT = 60.0  # of a test, on a machine that does ten other things
OFFER = b"permessage-deflate; client_max_window_bits"


def run(loop_name: str, test: Test) -> None:
    """Run `test()` on a new loop; what is left behind, or goes wrong in a callback, fails too."""
    loop = LOOPS[loop_name]()
    problems: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: problems.append(context))
    try:
        loop.run_until_complete(asyncio.wait_for(test(), TIMEOUT))
        assert not asyncio.all_tasks(loop)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    assert not problems, problems


class Client:
    """The client's end of the connection: it sends what it is told, and reads frames strictly."""

    def __init__(self, sock: socket.socket, server_transport: asyncio.Transport) -> None:
        self.socket = sock
        self.server_transport = server_transport  # of the other end
        self._unread = b""
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.socket, data)

    async def receive(self, size: int = 65536) -> bytes:
        """Some of the bytes that have arrived; none at the end."""
        if self._unread:
            data, self._unread = self._unread[:size], self._unread[size:]
            return data
        return await self._loop.sock_recv(self.socket, size)

    async def receive_exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = await self.receive(min(size, 1 << 20))
            assert part, "the connection has ended"
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    async def receive_frame(self) -> Frame:
        head = await self.receive_exactly(2)
        size = head[1]
        if size > 125:
            head += await self.receive_exactly(2 if size == 126 else 8)
            size = int.from_bytes(head[2:], "big")
        [frame] = wire.read_frames(head + await self.receive_exactly(size))
        return frame

    async def receive_end(self) -> list[Frame]:
        """All frames up to the end of the connection, which must not be a reset."""
        parts = []
        while part := await self.receive(1 << 20):
            parts.append(part)
        return wire.read_frames(b"".join(parts))

    async def stays_silent(self, seconds: float) -> bool:
        """Whether neither bytes nor the end arrive."""
        try:
            self._unread += (data := await asyncio.wait_for(self.receive(), seconds))
        except (TimeoutError, asyncio.TimeoutError):
            return True
        print("arrived:", data)
        return False

    def end(self) -> None:
        """End our direction (FIN)."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish (RST)."""
        reset(self.socket)


@asynccontextmanager
async def connected(
    *,
    socket_buffer: int | None = None,
    deflate: bool = False,
    max_frames: int = 16384,
    counts: bool = True,
    **settings: Any,
) -> AsyncIterator[tuple[WebSocketProtocol, Client]]:
    """The two ends of a connection. `socket_buffer` bytes or so are what the kernel holds of each direction."""
    loop = asyncio.get_running_loop()
    options = WebSocketSettings(**{"ping_interval": None, **settings})
    codec = None
    if deflate:
        agreed = PerMessageDeflate()
        agreement = agreed.negotiate(parse_extensions([OFFER]))
        assert agreement is not None
        codec = Deflate(agreement, agreed)
    connection = Connection(max_message_size=options.max_message_size, max_message_frames=max_frames, deflate=codec)
    protocol = WebSocketProtocol(connection, options, loop, counts=counts)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as near:
        if socket_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, socket_buffer)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, socket_buffer)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, socket_buffer)
        near.setblocking(False)
        await loop.sock_connect(near, listener.getsockname())
        far, _ = listener.accept()
        if socket_buffer is not None:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, socket_buffer)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, far)
        try:
            yield protocol, Client(near, transport)
        finally:
            closed = asyncio.ensure_future(Messages(protocol).wait_closed())
            await asyncio.sleep(0)
            if not closed.done():
                transport.abort()
            await closed
