"""Counts the calls that one request makes within the package, the rooms (modules) they are in, and the changes of room.

    python -m benchmarks.hops                    # this tree
    python -m benchmarks.hops --tree ../before   # another one

uvicorn's protocol on httptools serves each request in process, with a transport that keeps what is written. A function
or a coroutine that is called counts once, however often it waits. A change of room is a call in another room than the
call before it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
ECHO = b"\x82\x85\0\0\0\0hello"
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"
POST = (
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nContent-Length: 5\r\n\r\nhello"
)
GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
WARM = 5


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.protocol: Any = None
        self._closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 80)}.get(name, default)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Our direction has ended."""

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_reading(self) -> bool:
        return True

    def pause_reading(self) -> None:
        """Nothing arrives by itself."""

    def resume_reading(self) -> None:
        """The same."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits."""

    def get_write_buffer_size(self) -> int:
        return 0

    def feed(self, data: bytes) -> None:
        """Let ``data`` arrive."""
        protocol = self.protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            protocol.get_buffer(len(data))[: len(data)] = data  # type: ignore[index]
            protocol.buffer_updated(len(data))
        else:
            protocol.data_received(data)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers requests, and echoes."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "http":
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message["bytes"]})


class Counter:
    """Counts calls of functions in the package.

    Args:
        package: Its directory.
    """

    def __init__(self, package: Path) -> None:
        self._package = f"{package}/"
        self._frames: set[Any] = set()  # kept, so that none takes another's identity
        self.calls: list[str] = []  # the room of each

    def __call__(self, frame: Any, event: str, _argument: Any) -> None:
        """Take note of one event, see `sys.setprofile`."""
        code = frame.f_code
        # A coroutine that goes on has the frame that it had before. Comprehensions are part of a function.
        if event != "call" or code.co_name.startswith("<") or frame in self._frames:
            return
        if code.co_filename.startswith(self._package):
            self._frames.add(frame)
            self.calls.append(code.co_filename.removeprefix(self._package))

    def __str__(self) -> str:
        changes = sum(before != after for before, after in zip(self.calls, self.calls[1:], strict=False))
        return f"{len(self.calls)} calls in {len(set(self.calls))} rooms, {changes} changes of room"


async def session(transport: Transport) -> None:
    """A handshake, an echo and a close."""
    for data, count in ((HANDSHAKE, 1), (ECHO, 2), (CLOSE, 3)):
        transport.feed(data)
        await _until(lambda count=count: len(transport.written) >= count)  # type: ignore[misc]
    assert transport.written[0].startswith(b"HTTP/1.1 101"), transport.written
    transport.protocol.eof_received()


async def request(transport: Transport, data: bytes) -> None:
    """A request and its response."""
    transport.feed(data)
    await _until(lambda: b"\r\n\r\n" in b"".join(transport.written))
    assert transport.written[0].startswith(b"HTTP/1.1 200"), transport.written


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("nothing was answered")


def connect(server: Any, transport: Transport) -> None:
    """Open a connection."""
    transport.protocol = server.config.http_protocol_class(server.config, server.server_state, server.lifespan.state)
    transport.protocol.connection_made(transport)


async def exchange(server: Any, serve: Callable[[Transport], Any]) -> None:
    """Open a connection, serve what comes on it, and close it."""
    transport = Transport()
    connect(server, transport)
    await serve(transport)
    for _ in range(10):
        await asyncio.sleep(0)
    transport.close()
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[Any]:
    """Run uvicorn with the middleware around ``app``."""
    import uvicorn

    from asgi_upgrade import UpgradeMiddleware

    config = uvicorn.Config(UpgradeMiddleware(app), port=0, log_level="warning", access_log=False, http="httptools")
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield server
    server.should_exit = True
    await task


async def count(tree: Path) -> None:
    """Serve each kind of request, and print what was counted."""
    kinds: dict[str, Callable[[Transport], Any]] = {
        "a handshake, an echo and a close": session,
        "a POST whose offer of h2c is not taken": lambda transport: request(transport, POST),
        "a GET": lambda transport: request(transport, GET),
    }
    async with serving(app) as server:
        for name, serve in kinds.items():
            for _ in range(WARM):
                await exchange(server, serve)
            counter = Counter(tree / "asgi_upgrade")
            sys.setprofile(counter)
            await exchange(server, serve)
            sys.setprofile(None)
            print(f"{name}: {counter}")


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=Path(__file__).parents[1], help="the tree to count in")
    tree: Path = parser.parse_args().tree.resolve()
    sys.path.insert(0, str(tree))
    asyncio.run(count(tree))


if __name__ == "__main__":
    main()
